//! Names of network interfaces.

use std::{fmt, num::NonZeroU8, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::EntryError;

/// Most bytes of a name: the kernel's `IFNAMSIZ` less the final zero.
const LONGEST: usize = 15;

/// The name of a Linux network interface: 1 to 15 bytes without `/`, `:`, blanks and control
/// characters, and neither `.` nor `..`. It need not exist.
///
/// It is kept in place, as there may be a million of them; the first byte is never 0, so that an
/// `Option` of one is no larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName {
    first: NonZeroU8,
    rest: [u8; LONGEST],
}

impl InterfaceName {
    /// The name's bytes, of which there are 1 to 15.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        std::iter::once(self.first.get()).chain(self.rest.iter().copied().take_while(|&b| b != 0))
    }
}

impl FromStr for InterfaceName {
    type Err = EntryError;

    fn from_str(text: &str) -> Result<Self, EntryError> {
        let refused = || EntryError::Interface(text.to_owned());
        let strange = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if text.len() > LONGEST || matches!(text, "." | "..") || text.contains(strange) {
            return Err(refused());
        }
        let (&first, others) = text.as_bytes().split_first().ok_or_else(refused)?;
        let mut rest = [0; LONGEST];
        rest[..others.len()].copy_from_slice(others);
        Ok(Self {
            first: NonZeroU8::new(first).ok_or_else(refused)?,
            rest,
        })
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; LONGEST + 1];
        let mut length = 0;
        for (place, byte) in bytes.iter_mut().zip(self.bytes()) {
            *place = byte;
            length += 1;
        }
        // It was made of a `str`, so nothing is lost here.
        f.pad(&String::from_utf8_lossy(&bytes[..length]))
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InterfaceName({self})")
    }
}

impl Serialize for InterfaceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InterfaceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_linux_allows_come_back() {
        for name in [
            "lo",
            "e",
            "eth0.100",
            "wlan-guest",
            "fifteen-bytes-x",
            "ü0",
            "...",
        ] {
            let read: InterfaceName = name.parse().unwrap();
            assert_eq!(read.to_string(), name);
            let json = serde_json::to_string(&read).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<InterfaceName>(&json).unwrap(), read);
        }
    }

    #[test]
    fn names_that_linux_refuses_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a\tb",
            "a:1",
            "a\0",
            "\0",
            "sixteen-bytes-xx",
            "ü\u{a0}",
        ] {
            let error = name.parse::<InterfaceName>().unwrap_err();
            assert!(error.to_string().contains("1 to 15 bytes"), "{error}");
            assert!(serde_json::from_value::<InterfaceName>(name.into()).is_err());
        }
    }

    #[test]
    fn the_order_is_that_of_the_text_and_an_option_is_free() {
        let name = |text: &str| text.parse::<InterfaceName>().unwrap();
        assert!(name("a") < name("aa") && name("aa") < name("b"));
        assert_eq!(size_of::<Option<InterfaceName>>(), 16);
    }
}
