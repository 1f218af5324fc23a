//! Names of lists.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The list of entries that an operator makes by hand.
pub const MANUAL: &str = "manual";

/// The list of entries that the daemon learned.
pub const LEARNED: &str = "learned";

/// Most bytes of a name.
const LONGEST: usize = 32;

/// A list's name: 1 to 32 of `a-z`, `0-9`, `.`, `_` and `-`, the first a letter or a digit. It is
/// the first part of a file name, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListName(Box<str>);

/// What cannot be a list's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" cannot be a list's name; write 1 to {LONGEST} of a-z, 0-9, \".\", \"_\" and \"-\", \
     the first a letter or a digit"
)]
pub struct NameError(String);

impl ListName {
    /// [`MANUAL`].
    #[must_use]
    pub fn manual() -> Self {
        Self(MANUAL.into())
    }

    /// [`LEARNED`].
    #[must_use]
    pub fn learned() -> Self {
        Self(LEARNED.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ListName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let sound = text.len() <= LONGEST
            && text.bytes().next().is_some_and(first)
            && text
                .bytes()
                .all(|byte| first(byte) || b"._-".contains(&byte));
        if sound {
            Ok(Self(text.into()))
        } else {
            Err(NameError(text.to_owned()))
        }
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for ListName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ListName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths() {
        for name in ["manual", "learned", "0", "a.b_c-d", "x".repeat(32).as_str()] {
            assert_eq!(name.parse::<ListName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            ".",
            "..",
            ".a",
            "-a",
            "_a",
            "A",
            "a/b",
            "a b",
            "ü",
            "a\n",
            "x".repeat(33).as_str(),
        ] {
            let error = name.parse::<ListName>().unwrap_err().to_string();
            assert!(error.contains("cannot be a list's name"), "{error}");
            assert!(serde_json::from_value::<ListName>(name.into()).is_err());
        }
        assert_eq!(ListName::manual().as_str(), MANUAL);
        assert_eq!(ListName::learned().as_str(), LEARNED);
    }
}
