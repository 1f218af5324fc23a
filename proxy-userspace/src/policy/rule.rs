//! What a rule says is to be done.

use crate::config::{self, Action, FieldEdits, Source};

/// What is done with a request, or with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its label in logs.
    pub name: Box<str>,
    /// What is done.
    pub action: Action,
    /// Where the connection to the origin comes from.
    pub source: Source,
    /// Whether it stands in the access log.
    pub log: bool,
    /// Changes of the request's head.
    pub request: HeadEdits,
    /// Changes of the response's head.
    pub response: HeadEdits,
    /// Bits for the mark of the origin's socket, besides ours.
    pub mark: Option<u32>,
    /// Type of service or traffic class of packets to the origin.
    pub tos: Option<u8>,
}

/// Changes of a head: fields that go, then lines that come. Setting a field is both.
///
/// None of the names is one that frames a message, belongs to a connection or routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadEdits {
    /// Whole lines, each with its CRLF, to be put behind the last field.
    pub append: Box<[u8]>,
    /// Names of fields to be left out, in any case of letters.
    pub remove: Box<[Box<str>]>,
}

impl Rule {
    /// Why a request ends with this rule, as one word for logs; `None` if it goes on.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        match self.action {
            Action::Deny { .. } => Some("denied"),
            Action::Redirect { .. } => Some("redirected"),
            Action::Allow | Action::Tunnel => None,
        }
    }
}

impl From<&config::Rule> for Rule {
    fn from(rule: &config::Rule) -> Self {
        Self {
            name: rule.name.as_str().into(),
            action: rule.action.clone(),
            source: rule.source,
            log: rule.log,
            request: HeadEdits::from(&rule.request),
            response: HeadEdits::from(&rule.response),
            mark: rule.mark,
            tos: rule.tos,
        }
    }
}

impl HeadEdits {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.append.is_empty() && self.remove.is_empty()
    }

    /// Whether a field of this name is to be left out.
    #[must_use]
    pub fn removes(&self, name: &str) -> bool {
        self.remove
            .iter()
            .any(|removed| removed.eq_ignore_ascii_case(name))
    }
}

impl From<&FieldEdits> for HeadEdits {
    fn from(edits: &FieldEdits) -> Self {
        let lines = edits
            .set
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let set = edits.set.iter().map(|(name, _)| name);
        Self {
            append: lines.collect::<String>().into_bytes().into(),
            remove: set
                .chain(&edits.remove)
                .map(|name| name.as_str().into())
                .collect(),
        }
    }
}
