//! What can be wrong with an entry, and where in a text.

use ipnet::IpNet;

/// What cannot be an entry, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Neither an address nor a prefix.
    #[error("\"{0}\" is neither an address nor a prefix; write e.g. 192.0.2.7 or 2001:db8::/32")]
    NotAPrefix(String),
    /// Bits are set behind the prefix.
    #[error("prefix {given} has host bits set; write {right}, or {} for the address", given.addr())]
    HostBits {
        /// The prefix as it was given.
        given: IpNet,
        /// The prefix that contains it.
        right: IpNet,
    },
    /// An IPv4 address in IPv6 clothes, which no packet carries.
    #[error("{given} is never seen on the wire; write {right}")]
    Mapped {
        /// The prefix as it was given.
        given: IpNet,
        /// The IPv4 prefix that is meant.
        right: IpNet,
    },
    /// A connection's ends are of one family.
    #[error(
        "destination {destination} and source {source_prefix} are of different families, and no \
         connection is; write two prefixes of one family, or two entries"
    )]
    Mixed {
        /// The destination.
        destination: IpNet,
        /// The source.
        source_prefix: IpNet,
    },
    /// A port that no connection can have.
    #[error("\"{0}\" is not a port; write a number from 1 to 65535")]
    Port(String),
    /// No name that an interface can have.
    #[error(
        "\"{0}\" cannot be an interface's name; write 1 to 15 bytes without blanks, \"/\" and \":\""
    )]
    Interface(String),
    /// Not a moment.
    #[error("\"{0}\" is not a moment from 1970 to 9999; write e.g. 2026-12-01T00:00:00Z")]
    Moment(String),
    /// The moment at which the entry ends is over.
    #[error("the entry ended at {0}, which is past; write a later moment, or none")]
    Over(super::Timestamp),
    /// A comment or an owner that would break lines or terminals.
    #[error("{what} has a control character in it (U+{:04X}); leave it out", u32::from(*character))]
    Control {
        /// `comment` or `owner`, with its article.
        what: &'static str,
        /// The character.
        character: char,
    },
    /// A comment or an owner that is too long.
    #[error(
        "{what} has {length} characters; at most {} are kept",
        super::entry::LONGEST_NOTE
    )]
    Long {
        /// `comment` or `owner`, with its article.
        what: &'static str,
        /// How many characters it has.
        length: usize,
    },
    /// The entry covers every connection of a family, and that was not forced.
    #[error(
        "entry {0} covers every connection and would end interception of them; \
         use --yes if that is meant"
    )]
    Everything(super::Key),
    /// Nothing is said of what the entry matches.
    #[error("an entry needs a destination, a source, a port or an interface")]
    Nothing,
}

/// What is wrong in a text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TextError {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1: in text the character that the offending word begins with, in JSON the
    /// byte behind what was read last.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
}
