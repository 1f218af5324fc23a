//! Numbers for human eyes.

/// Bytes, in three digits and a unit: `999B`, `1.50K`, `12.3M`.
pub(in crate::cli) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    // Hundredths of the unit, so that nothing is lost to floating point.
    let mut hundredths = u128::from(bytes) * 100 / 1024;
    let mut unit = 0;
    while hundredths >= 100_000 {
        hundredths /= 1024;
        unit += 1;
    }
    let (whole, rest) = (hundredths / 100, hundredths % 100);
    match whole {
        0..10 => format!("{whole}.{rest:02}{}", UNITS[unit]),
        10..100 => format!("{whole}.{}{}", rest / 10, UNITS[unit]),
        _ => format!("{whole}{}", UNITS[unit]),
    }
}

/// How long: `850ms`, `12s`, `3m12s`, `2h05m`, `4d03h`.
pub(in crate::cli) fn age(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "0.97K"),
            (1024, "1.00K"),
            (1536, "1.50K"),
            (12_900_000, "12.3M"),
            (1_000 * 1024 - 1, "999K"),
            (1_000 * 1024, "0.97M"),
            (u64::MAX, "15.9E"),
        ] {
            assert_eq!(bytes(number), text, "{number}");
        }
        for (ms, text) in [
            (0, "0ms"),
            (850, "850ms"),
            (12_000, "12s"),
            (192_000, "3m12s"),
            (7_500_000, "2h05m"),
            (356_400_000, "4d03h"),
        ] {
            assert_eq!(age(ms), text, "{ms}");
        }
    }
}
