//! Connection-level fields: what is said to the next hop and must not go further
//! (RFC 9110 §7.6.1, §7.8, §10.1.4).

use crate::http::{
    field::{Field, FieldTable, Fields},
    scan::Layout,
    syntax::{elements, is_token},
};

/// The connection options that we understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) te: bool,
}

/// What the connection-level fields of a head say, as they are noted one by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hop {
    /// Over all Connection fields.
    pub(super) said: Options,
    /// Number of Connection fields.
    pub(super) lines: usize,
    /// Options beyond [`Options`]; each may name a field that is not to go further.
    named: usize,
    /// There is a field that goes no further, or not as it came.
    dropped: bool,
    te_lines: usize,
    te_trailers: bool,
    upgrade_lines: usize,
    /// Protocols in Upgrade that we would let the two sides switch to.
    protocols: usize,
    /// Upgrade names h2c: that would be HTTP past this codec.
    h2c: bool,
    /// Upgrade is no list of protocols.
    upgrade_malformed: bool,
}

/// Most options of a head that may name fields. Each is compared with each field's name.
pub(super) const MAX_NAMED: usize = 32;

/// Fields that another reader needs to find the end of the message or its addressee, or that ask
/// for a message. Naming one in Connection would make us remove it.
const NEVER_NAMED: [&str; 3] = ["content-length", "host", "expect"];

impl Hop {
    /// Takes note of `field` if it is connection-level.
    pub(super) fn note(&mut self, field: &Field<'_>) -> Result<(), &'static str> {
        match Level::of(field) {
            Level::Connection => {
                self.lines += 1;
                elements(field.value).try_for_each(|option| self.note_option(option))?;
            }
            Level::Hop => self.dropped = true,
            Level::Te => {
                self.te_lines += 1;
                let trailers = |element: &[u8]| element.eq_ignore_ascii_case(b"trailers");
                self.te_trailers |= elements(field.value).any(trailers);
                self.dropped |= self.te_lines > 1 || !trailers(field.value);
            }
            Level::Upgrade => {
                self.upgrade_lines += 1;
                for protocol in elements(field.value) {
                    self.h2c |= is_h2c(protocol);
                    self.upgrade_malformed |= !is_protocol(protocol);
                    self.protocols += usize::from(!is_h2c(protocol));
                }
            }
            Level::End => {}
        }
        Ok(())
    }

    fn note_option(&mut self, option: &[u8]) -> Result<(), &'static str> {
        if option.eq_ignore_ascii_case(b"close") {
            self.said.close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            self.said.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.said.upgrade = true;
        } else if option.eq_ignore_ascii_case(b"te") {
            self.said.te = true;
        } else if NEVER_NAMED
            .iter()
            .any(|name| option.eq_ignore_ascii_case(name.as_bytes()))
        {
            return Err("Connection names a field that is not connection-level");
        } else {
            self.named += 1;
            if self.named > MAX_NAMED {
                return Err("too many connection options");
            }
        }
        Ok(())
    }

    /// Is `field` a Connection that names the field `name`?
    pub(super) fn names(field: &Field<'_>, name: &str) -> bool {
        field.is("connection")
            && elements(field.value).any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Does the sender mean to use the connection again (RFC 9112 §9.3)?
    pub(super) const fn persistent(&self, minor: u8) -> bool {
        !self.said.close && (minor > 0 || self.said.keep_alive)
    }

    /// Is there an Upgrade that goes further, if perhaps without h2c?
    pub(super) const fn upgrade(&self) -> bool {
        self.said.upgrade && self.protocols > 0 && !self.upgrade_malformed
    }

    pub(super) const fn h2c(&self) -> bool {
        self.h2c
    }

    /// Our own Connection for a message that goes on with what its sender said.
    pub(super) const fn options(&self) -> Options {
        Options {
            close: self.said.close,
            keep_alive: self.said.keep_alive && !self.said.close,
            upgrade: self.upgrade(),
            te: self.te_trailers,
        }
    }

    /// Do all connection-level fields go on as they came?
    pub(super) fn is_verbatim(&self, own: Options) -> bool {
        self.connection_is(own)
            && !self.dropped
            && !self.h2c
            && (self.te_lines == 0 || own.te)
            && (self.upgrade_lines == 0 || own.upgrade)
    }

    /// Does Connection, which came once or not at all, say `own` and nothing else?
    pub(super) fn connection_is(&self, own: Options) -> bool {
        match self.lines {
            0 => own == Options::default(),
            1 => own != Options::default() && own == self.said && self.named == 0,
            _ => false,
        }
    }

    /// The fields that Connection names in the head of `layout`, to know them behind it as well.
    pub(super) fn named_fields(&self, buf: &[u8], layout: &Layout) -> Box<[Box<[u8]>]> {
        if self.named == 0 {
            return Box::default();
        }
        let mut table = FieldTable::new();
        let fields = table.split(buf, layout);
        fields.map_or_else(Box::default, |fields| {
            named(&fields).map(Box::from).collect()
        })
    }
}

/// Is the field `name` the next hop's business by its nature?
pub(super) fn is_connection_level(name: &[u8]) -> bool {
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
    ]
    .iter()
    .any(|hop| name.eq_ignore_ascii_case(hop.as_bytes()))
}

/// The connection options of a head that are none of ours, each of which may name a field.
pub(super) fn named<'b>(fields: &Fields<'_, 'b>) -> impl Iterator<Item = &'b [u8]> {
    fields
        .clone()
        .filter(|field| field.is("connection"))
        .flat_map(|field| elements(field.value))
        .filter(|option| !is_known(option))
}

/// How far a field goes.
pub(super) enum Level {
    Connection,
    /// To the next hop only, by its nature.
    Hop,
    Te,
    Upgrade,
    End,
}

impl Level {
    pub(super) fn of(field: &Field<'_>) -> Self {
        match field.name.len() {
            10 if field.is("connection") => Self::Connection,
            10 if field.is("keep-alive") => Self::Hop,
            16 if field.is("proxy-connection") => Self::Hop,
            2 if field.is("te") => Self::Te,
            7 if field.is("upgrade") => Self::Upgrade,
            _ => Self::End,
        }
    }
}

fn is_known(option: &&[u8]) -> bool {
    ["close", "keep-alive", "upgrade", "te"]
        .iter()
        .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
}

/// `token [ "/" token ]` (RFC 9110 §7.8).
fn is_protocol(element: &[u8]) -> bool {
    element.splitn(2, |&byte| byte == b'/').all(is_token)
}

/// h2c, or one of its drafts (`h2c-14`), with or without a version.
pub(super) fn is_h2c(protocol: &[u8]) -> bool {
    let name = protocol
        .split(|byte| matches!(byte, b'/' | b'-'))
        .next()
        .unwrap_or_default();
    name.eq_ignore_ascii_case(b"h2c")
}
