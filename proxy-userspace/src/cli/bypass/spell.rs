//! How durations, moments and numbers are written.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::bypass::Timestamp;

/// Seconds of `90s`, `2h`, `1d12h`; units from weeks to seconds.
pub(super) fn duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("\"{text}\" is no duration; write such as 90s, 30m, 2h, 1d12h or 4w");
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = match behind.chars().next() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 24 * 3600,
            Some('w') => 7 * 24 * 3600,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(unit);
        let sum = part.and_then(|part| seconds.checked_add(part));
        seconds = sum.ok_or_else(wrong)?;
        rest = &behind[1..];
    }
    if seconds == 0 {
        return Err(wrong());
    }
    Ok(seconds)
}

/// The first whole second that is at least so many seconds away.
pub(super) fn after(seconds: u64) -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.unwrap_or_default();
    let begun = u64::from(now.subsec_nanos() > 0);
    Timestamp::from_unix(now.as_secs().saturating_add(seconds).saturating_add(begun))
}

/// `2h`, of seconds: the two largest units.
pub(super) fn seconds(mut seconds: u64) -> String {
    let mut text = String::new();
    let mut parts = 0;
    for (unit, length) in [("d", 24 * 3600), ("h", 3600), ("m", 60), ("s", 1)] {
        let number = seconds / length;
        seconds %= length;
        if number > 0 && parts < 2 {
            text.push_str(&format!("{number}{unit}"));
        }
        parts += usize::from(number > 0 || parts > 0);
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// `3m12s ago`, or `never`.
pub(super) fn ago(moment: Option<Timestamp>, now: Timestamp) -> String {
    moment.map_or_else(
        || "never".to_owned(),
        |moment| format!("{} ago", seconds(now.unix().saturating_sub(moment.unix()))),
    )
}

/// `1 entry`, `2 entries`.
pub(super) fn entries(count: usize) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in [
            ("90s", 90),
            ("2h", 7200),
            ("1d12h", 129_600),
            ("4w", 2_419_200),
        ] {
            assert_eq!(duration(text), Ok(seconds));
        }
        for text in [
            "",
            "0s",
            "2",
            "h",
            "2 h",
            "-2h",
            "1.5h",
            "2hh",
            "99999999999999999999s",
            "ä",
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains("1d12h"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_shown() {
        for (given, shown) in [
            (0, "0s"),
            (59, "59s"),
            (3600, "1h"),
            (3661, "1h1m"),
            (90_061, "1d1h"),
        ] {
            assert_eq!(seconds(given), shown);
        }
        assert_eq!(entries(1), "1 entry");
        assert_eq!(entries(0), "0 entries");
    }
}
