//! What the operator wants different about a head, beyond what forwarding it changes.

use crate::http::field::Field;

/// Fields to add to a head and fields to leave out of it.
///
/// The default, [`Edits::NONE`], changes nothing, and is what a head can be forwarded verbatim
/// with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edits<'e> {
    /// Whole field lines, each with its CRLF; put at the end of the field section.
    pub append: &'e [u8],
    /// End-to-end fields to leave out, by name in any letter case. Content-Length,
    /// Transfer-Encoding, Host and the connection-level fields stay what they are: without them
    /// the message would be another one.
    pub remove: &'e [Box<str>],
}

/// Fields that no edit takes away. Connection-level ones never come to the question.
const KEPT: [&str; 3] = ["content-length", "transfer-encoding", "host"];

impl Edits<'_> {
    /// No changes.
    pub const NONE: Self = Self {
        append: &[],
        remove: &[],
    };

    /// Is there nothing to change, whatever the head?
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.append.is_empty() && self.remove.is_empty()
    }

    /// Is the end-to-end field `field` to be left out?
    pub(super) fn removes(&self, field: &Field<'_>) -> bool {
        self.remove.iter().any(|name| field.is(name)) && !KEPT.iter().any(|name| field.is(name))
    }
}
