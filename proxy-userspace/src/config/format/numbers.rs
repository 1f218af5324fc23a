//! Numbers: plain, with a unit, ports and marks.

use std::{fmt, ops::RangeInclusive};

use super::{Fault, Value, fault, integer, list, string};

/// A count that fits the host's word.
pub(in crate::config) mod count {
    use super::*;

    pub(in crate::config) fn read(
        value: &Value<'_>,
        bounds: RangeInclusive<usize>,
    ) -> Result<usize, Fault> {
        within(value, &bounds)
    }

    pub(in crate::config) fn show(count: &usize) -> String {
        count.to_string()
    }
}

/// A number of 32 bits, as the kernel has them.
pub(in crate::config) mod number {
    use super::*;

    pub(in crate::config) fn read(
        value: &Value<'_>,
        bounds: RangeInclusive<u32>,
    ) -> Result<u32, Fault> {
        within(value, &bounds)
    }

    pub(in crate::config) fn show(number: &u32) -> String {
        number.to_string()
    }
}

/// Bytes, such as `"64KiB"`.
pub(in crate::config) mod size {
    use super::*;

    const UNITS: [(&str, u64); 4] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("B", 1),
    ];
    const EXPECTED: &str = "a size with a unit (B, KiB, MiB, GiB), such as \"64KiB\"";

    pub(in crate::config) fn read(
        value: &Value<'_>,
        bounds: RangeInclusive<usize>,
    ) -> Result<usize, Fault> {
        let text = string(value, EXPECTED)?;
        let size = with_unit(text, &UNITS)
            .and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| fault(value, format!("expected {EXPECTED}, found \"{text}\"")))?;
        if !bounds.contains(&size) {
            let (low, high) = (written(*bounds.start()), written(*bounds.end()));
            return Err(fault(
                value,
                format!("{text} is not between {low} and {high}"),
            ));
        }
        Ok(size)
    }

    pub(in crate::config) fn show(size: &usize) -> String {
        format!("\"{}\"", written(*size))
    }

    fn written(size: usize) -> String {
        in_largest_unit(size as u64, &UNITS)
    }
}

/// A length of time, such as `"30s"`.
pub(in crate::config) mod duration {
    use std::time::Duration;

    use super::*;

    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    const EXPECTED: &str = "a duration with a unit (ms, s, m, h), such as \"30s\"";

    pub(in crate::config) fn read(
        value: &Value<'_>,
        bounds: RangeInclusive<Duration>,
    ) -> Result<Duration, Fault> {
        let text = string(value, EXPECTED)?;
        let duration = with_unit(text, &UNITS)
            .map(Duration::from_millis)
            .ok_or_else(|| fault(value, format!("expected {EXPECTED}, found \"{text}\"")))?;
        if !bounds.contains(&duration) {
            let (low, high) = (written(*bounds.start()), written(*bounds.end()));
            return Err(fault(
                value,
                format!("{text} is not between {low} and {high}"),
            ));
        }
        Ok(duration)
    }

    pub(in crate::config) fn show(duration: &Duration) -> String {
        format!("\"{}\"", written(*duration))
    }

    fn written(duration: Duration) -> String {
        in_largest_unit(
            u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            &UNITS,
        )
    }
}

/// Ports to watch.
pub(in crate::config) mod ports {
    use super::*;
    use crate::config::settings::MAX_PORTS;

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<Vec<u16>, Fault> {
        let elements = list(value, "a list of ports")?;
        if elements.is_empty() || elements.len() > MAX_PORTS {
            let found = elements.len();
            return Err(fault(
                value,
                format!("expected 1 to {MAX_PORTS} ports, found {found}"),
            ));
        }
        let mut ports = Vec::with_capacity(elements.len());
        for element in elements {
            let port = within(element, &(1..=u16::MAX))?;
            if ports.contains(&port) {
                return Err(fault(element, format!("port {port} is listed twice")));
            }
            ports.push(port);
        }
        Ok(ports)
    }

    pub(in crate::config) fn show(ports: &[u16]) -> String {
        format!("{ports:?}")
    }
}

/// First and last port, such as `"10000-32767"`.
pub(in crate::config) mod port_range {
    use super::*;

    /// Below are the ports of services, which origins and firewalls treat differently.
    const LOWEST: u16 = 1024;
    const EXPECTED: &str = "a range of ports, such as \"10000-32767\"";

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<RangeInclusive<u16>, Fault> {
        let text = string(value, EXPECTED)?;
        let (low, high) = text
            .split_once('-')
            .and_then(|(low, high)| Some((decimal(low)?, decimal(high)?)))
            .ok_or_else(|| fault(value, format!("expected {EXPECTED}, found \"{text}\"")))?;
        if low > high {
            let message = format!("the range {text} is inverted; write \"{high}-{low}\"");
            return Err(fault(value, message));
        }
        if low < LOWEST {
            let message = format!("the range {text} must not begin below {LOWEST}");
            return Err(fault(value, message));
        }
        Ok(low..=high)
    }

    pub(in crate::config) fn show(range: &RangeInclusive<u16>) -> String {
        format!("\"{}-{}\"", range.start(), range.end())
    }
}

/// A mark of exactly one bit.
pub(in crate::config) mod mark {
    use super::*;

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<u32, Fault> {
        let mark = within(value, &(0..=u32::MAX))?;
        if mark.count_ones() != 1 {
            let bits = mark.count_ones();
            let message = format!("a mark is exactly one bit, {mark:#x} has {bits}");
            return Err(fault(value, format!("{message}; write e.g. 0x10000000")));
        }
        Ok(mark)
    }

    pub(in crate::config) fn show(mark: &u32) -> String {
        format!("{mark:#x}")
    }
}

/// The number of a routing table of our own.
pub(in crate::config) mod table {
    use super::*;

    pub(in crate::config) fn read(value: &Value<'_>) -> Result<u32, Fault> {
        let table = within(value, &(0..=u32::MAX))?;
        let used_as = match table {
            0 => "means no table",
            253 => "is the kernel's table \"default\"",
            254 => "is the kernel's table \"main\"",
            255 => "is the kernel's table \"local\"",
            _ => return Ok(table),
        };
        Err(fault(
            value,
            format!("{table} {used_as}; choose a number that nobody else uses"),
        ))
    }

    pub(in crate::config) fn show(table: &u32) -> String {
        table.to_string()
    }
}

/// An integer between `bounds`, with which the message tells what would be right.
pub(in crate::config) fn within<T>(
    value: &Value<'_>,
    bounds: &RangeInclusive<T>,
) -> Result<T, Fault>
where
    T: TryFrom<i128> + PartialOrd + fmt::Display,
{
    let expected = format!("an integer between {} and {}", bounds.start(), bounds.end());
    let found = integer(value, &expected)?;
    match T::try_from(found) {
        Ok(number) if bounds.contains(&number) => Ok(number),
        _ => Err(fault(value, format!("expected {expected}, found {found}"))),
    }
}

/// `text` as decimal digits alone; `FromStr` would take a sign as well.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// Digits and a unit, multiplied; `None` if it is neither or too much.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    decimal::<u64>(number)?.checked_mul(*factor)
}

/// The shortest exact way to write `amount`; `units` go from large to small and end with 1.
fn in_largest_unit(amount: u64, units: &[(&str, u64)]) -> String {
    let exact = units
        .iter()
        .find(|(_, unit)| amount >= *unit && amount.is_multiple_of(*unit));
    match exact.or(units.last()) {
        Some((name, unit)) => format!("{}{name}", amount / unit),
        None => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_exactly() {
        let units = [("m", 60), ("s", 1)];
        assert_eq!(with_unit("2m", &units), Some(120));
        assert_eq!(with_unit("90s", &units), Some(90));
        assert_eq!(with_unit("0s", &units), Some(0));
        for wrong in [
            "", "2", "m", "-2m", "+2m", "2 m", "1.5m", "2M", "2mm", " 2m", "2m ",
        ] {
            assert_eq!(with_unit(wrong, &units), None, "{wrong:?}");
        }
        assert_eq!(with_unit("18446744073709551615m", &units), None, "overflow");
        assert_eq!(
            with_unit("99999999999999999999s", &units),
            None,
            "too many digits"
        );
    }

    #[test]
    fn amounts_are_written_in_the_largest_unit_that_is_exact() {
        let units = [("m", 60), ("s", 1)];
        assert_eq!(in_largest_unit(120, &units), "2m");
        assert_eq!(in_largest_unit(90, &units), "90s");
        assert_eq!(in_largest_unit(0, &units), "0s");
    }
}
