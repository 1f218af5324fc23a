//! Changes of the fields of a request or response.

use super::{Fault, Faults};
use crate::config::{
    document::{Value, unknown_key},
    format::{self, fault, list, mistyped, string},
};

/// What is changed in a head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits {
    /// Names and values of fields that stand in it afterwards, each once, with this value.
    pub set: Vec<(String, String)>,
    /// Names of fields that do not stand in it afterwards. None is in `set`.
    pub remove: Vec<String>,
}

/// Fields that say where a message ends, how it travels or whom it is for. They are ours to
/// write, or the next reader would see another message than we do (RFC 9110 §7.6.1, §7.2,
/// RFC 9112 §6).
pub(super) const OURS: [&str; 14] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Octets of a value. Heads are limited on the way (`limits.head`, and those of origins).
const MAX_VALUE: usize = 4096;

impl FieldEdits {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// Reads `{ set = { Name = "value" }, remove = ["Name"] }`, the value of `owner`.
    pub(super) fn read(value: &Value<'_>, owner: &str) -> Result<Self, Faults> {
        const EXPECTED: &str =
            "a table, such as { set = { X-From = \"weir\" }, remove = [\"Cookie\"] }";
        let table = value
            .get_ref()
            .as_table()
            .ok_or_else(|| vec![mistyped(value, EXPECTED)])?;
        let (mut edits, mut faults) = (Self::default(), Faults::new());
        for (key, value) in table {
            let read = match key.get_ref().as_ref() {
                "set" => edits.read_set(value),
                "remove" => edits.read_remove(value),
                other => {
                    let known = ["set", "remove"].into_iter();
                    Err(Fault::new(key.span(), unknown_key(other, owner, known)))
                }
            };
            faults.extend(read.err());
        }
        if faults.is_empty() {
            Ok(edits)
        } else {
            Err(faults)
        }
    }

    fn read_set(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        const EXPECTED: &str = "a table of fields, such as { X-From = \"weir\" }";
        let table = value
            .get_ref()
            .as_table()
            .ok_or_else(|| mistyped(value, EXPECTED))?;
        for (name, value) in table {
            let at = name.span();
            let name = name.get_ref().as_ref();
            self.check_name(name)
                .map_err(|message| Fault::new(at, message))?;
            let text = string(value, "the value of a field")?;
            check_value(text).map_err(|message| fault(value, message))?;
            self.set.push((name.to_owned(), text.to_owned()));
        }
        Ok(())
    }

    fn read_remove(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        for element in list(value, "a list of field names, such as [\"Cookie\"]")? {
            let name = string(element, "the name of a field")?;
            self.check_name(name)
                .map_err(|message| fault(element, message))?;
            self.remove.push(name.to_owned());
        }
        Ok(())
    }

    /// What is wrong with another edit of the field `name`.
    fn check_name(&self, name: &str) -> Result<(), String> {
        if !is_token(name) {
            return Err(format!("{} is no name of a field", format::quote(name)));
        }
        if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            return Err(format!(
                "{name} says how messages are framed, carried or routed and is not for rules to \
                 change"
            ));
        }
        let is_same = |other: &str| other.eq_ignore_ascii_case(name);
        let mut names = self.set.iter().map(|(name, _)| name).chain(&self.remove);
        if names.any(|other| is_same(other)) {
            return Err(format!(
                "{name} is mentioned twice; what is set replaces what was there"
            ));
        }
        Ok(())
    }
}

fn check_value(value: &str) -> Result<(), String> {
    if value.chars().any(|c| c.is_ascii_control() && c != '\t') {
        return Err("the value of a field has no control characters in it".to_owned());
    }
    if value != value.trim_matches([' ', '\t']) {
        return Err("white space around the value of a field is not kept; leave it out".to_owned());
    }
    if value.len() > MAX_VALUE {
        return Err(format!("the value is longer than {MAX_VALUE} bytes"));
    }
    Ok(())
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}
