//! Numbers, times and addresses as text, without the detour of a formatter: a line has a dozen of
//! them, and is written while a worker's other connections wait.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use time::OffsetDateTime;

/// The number, filled up to `width` from the left with `fill`.
pub(super) fn padded(mut number: u64, width: usize, fill: u8, out: &mut Vec<u8>) {
    // u64::MAX has 20 digits.
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let digits = &digits[start..];
    out.extend(std::iter::repeat_n(
        fill,
        width.saturating_sub(digits.len()),
    ));
    out.extend_from_slice(digits);
}

/// The number.
pub(super) fn number(number: impl Into<u64>, out: &mut Vec<u8>) {
    padded(number.into(), 0, b'0', out);
}

/// The port, or a dash.
pub(super) fn port(address: Option<SocketAddr>, out: &mut Vec<u8>) {
    match address {
        Some(address) => number(address.port(), out),
        None => out.push(b'-'),
    }
}

/// An address; one of IPv4 that came as IPv6 is one of IPv4.
pub(super) fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for (place, octet) in address.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                number(octet, out);
            }
        }
        IpAddr::V6(address) => {
            let _ = write!(out, "{address}");
        }
    }
}

/// Milliseconds with one to three decimals, rounded down: `12.345`, `0.0`.
pub(super) fn milliseconds(duration: Duration, out: &mut Vec<u8>) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    number(micros / 1000, out);
    out.push(b'.');
    match micros % 1000 {
        tenths if tenths % 100 == 0 => padded(tenths / 100, 1, b'0', out),
        hundredths if hundredths % 10 == 0 => padded(hundredths / 10, 2, b'0', out),
        thousandths => padded(thousandths, 3, b'0', out),
    }
}

/// `2026-01-31T08:15:00.042Z`. Always three decimals: lines sort as text.
pub(super) fn rfc3339(time: SystemTime, out: &mut Vec<u8>) {
    let time = utc(time);
    padded(time.year().unsigned_abs().into(), 4, b'0', out);
    for (before, part, width) in [
        (b'-', u16::from(u8::from(time.month())), 2),
        (b'-', time.day().into(), 2),
        (b'T', time.hour().into(), 2),
        (b':', time.minute().into(), 2),
        (b':', time.second().into(), 2),
        (b'.', time.millisecond(), 3),
    ] {
        out.push(before);
        padded(part.into(), width, b'0', out);
    }
    out.push(b'Z');
}

/// `31/Jan/2026:08:15:00 +0000`
pub(super) fn clf(time: SystemTime, out: &mut Vec<u8>) {
    const MONTHS: [&[u8; 3]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let time = utc(time);
    padded(time.day().into(), 2, b'0', out);
    out.push(b'/');
    out.extend_from_slice(MONTHS[usize::from(u8::from(time.month())) - 1]);
    out.push(b'/');
    padded(time.year().unsigned_abs().into(), 4, b'0', out);
    for part in [time.hour(), time.minute(), time.second()] {
        out.push(b':');
        padded(part.into(), 2, b'0', out);
    }
    out.extend_from_slice(b" +0000");
}

/// A clock that stands outside of the years that the formats can tell is not worth a lost line:
/// it is told as standing at the epoch.
fn utc(time: SystemTime) -> OffsetDateTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    let nanos = i128::try_from(since.unwrap_or_default().as_nanos());
    nanos
        .ok()
        .and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers() {
        assert_eq!(text(|out| number(0u8, out)), "0");
        assert_eq!(text(|out| number(u64::MAX, out)), u64::MAX.to_string());
        assert_eq!(text(|out| padded(12, 6, b' ', out)), "    12");
        assert_eq!(text(|out| padded(1_234_567, 6, b' ', out)), "1234567");
    }

    #[test]
    fn addresses() {
        for (address, expected) in [
            ("10.0.255.7", "10.0.255.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(
                text(|out| super::address(address.parse().unwrap(), out)),
                expected
            );
        }
    }

    #[test]
    fn durations_have_one_to_three_decimals() {
        for (micros, expected) in [
            (0, "0.0"),
            (1, "0.001"),
            (10, "0.01"),
            (100, "0.1"),
            (1_000, "1.0"),
            (1_230, "1.23"),
            (12_345, "12.345"),
            (3_600_000_001, "3600000.001"),
        ] {
            let duration = Duration::from_micros(micros) + Duration::from_nanos(999);
            assert_eq!(text(|out| milliseconds(duration, out)), expected);
        }
    }

    #[test]
    fn times() {
        let at = |duration| SystemTime::UNIX_EPOCH + duration;
        for (time, iso, apache) in [
            (
                at(Duration::ZERO),
                "1970-01-01T00:00:00.000Z",
                "01/Jan/1970:00:00:00 +0000",
            ),
            (
                at(Duration::from_nanos(1_999_999)),
                "1970-01-01T00:00:00.001Z",
                "01/Jan/1970:00:00:00 +0000",
            ),
            (
                at(Duration::from_millis(1_709_251_199_999)),
                "2024-02-29T23:59:59.999Z",
                "29/Feb/2024:23:59:59 +0000",
            ),
            (
                at(Duration::from_secs(253_402_300_799)),
                "9999-12-31T23:59:59.000Z",
                "31/Dec/9999:23:59:59 +0000",
            ),
            // Beyond what there are four digits for, and before the epoch.
            (
                at(Duration::from_secs(253_402_300_800)),
                "1970-01-01T00:00:00.000Z",
                "01/Jan/1970:00:00:00 +0000",
            ),
            (
                SystemTime::UNIX_EPOCH - Duration::from_secs(1),
                "1970-01-01T00:00:00.000Z",
                "01/Jan/1970:00:00:00 +0000",
            ),
        ] {
            assert_eq!(text(|out| rfc3339(time, out)), iso);
            assert_eq!(text(|out| clf(time, out)), apache);
        }
    }

    proptest! {
        #[test]
        fn as_the_standard_library_does(any in any::<u64>(), width in 0..25usize, ip in any::<IpAddr>()) {
            prop_assert_eq!(text(|out| padded(any, width, b'0', out)), format!("{any:0width$}"));
            prop_assert_eq!(text(|out| address(ip, out)), ip.to_canonical().to_string());
        }
    }
}
