//! Writing a head's fields in place of those that came.

use bytes::BufMut;

use crate::http::{
    edits::Edits,
    field::{Field, Fields},
    hop::{Hop, Level, MAX_NAMED, Options, is_h2c, named},
    syntax::elements,
};

/// What becomes of a head's fields. All others go on as they came, each in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rewrite<'r> {
    /// Our own Connection; stands in the place of the first one, or at the end if there was none.
    pub(super) own: Options,
    /// Connection says that already, in its own order, case and spacing.
    pub(super) keeps_connection: bool,
    /// The transfer coding is taken off.
    pub(super) unwraps: bool,
    /// Host says this instead.
    pub(super) host: Option<&'r [u8]>,
    /// Max-Forwards says this instead.
    pub(super) max_forwards: Option<u64>,
    pub(super) edits: &'r Edits<'r>,
}

impl<'r> Rewrite<'r> {
    pub(super) fn new(hop: &Hop, own: Options, edits: &'r Edits<'r>) -> Self {
        Self {
            own,
            keeps_connection: hop.connection_is(own),
            unwraps: false,
            host: None,
            max_forwards: None,
            edits,
        }
    }

    /// Writes all field lines and the empty line.
    pub(super) fn write(&self, buf: &[u8], fields: &Fields<'_, '_>, out: &mut impl BufMut) {
        let own = self.own;
        let mut slots: [&[u8]; MAX_NAMED] = [&[]; MAX_NAMED];
        let mut count = 0;
        for (slot, option) in slots.iter_mut().zip(named(fields)) {
            *slot = option;
            count += 1;
        }
        let named = &slots[..count];
        let (mut connection, mut te) = (false, false);
        for field in fields.clone() {
            match Level::of(&field) {
                Level::Connection if self.keeps_connection => {
                    connection = true;
                    out.put_slice(field.line.of(buf));
                }
                Level::Connection => {
                    if !std::mem::replace(&mut connection, true) {
                        write_connection(own, out);
                    }
                }
                Level::Hop => {}
                Level::Te => {
                    if own.te && !std::mem::replace(&mut te, true) {
                        out.put_slice(b"TE: trailers\r\n");
                    }
                }
                Level::Upgrade => {
                    if own.upgrade {
                        write_upgrade(buf, &field, out);
                    }
                }
                Level::End => self.write_end_to_end(buf, &field, named, out),
            }
        }
        if !connection {
            write_connection(own, out);
        }
        out.put_slice(self.edits.append);
        out.put_slice(b"\r\n");
    }

    fn write_end_to_end(
        &self,
        buf: &[u8],
        field: &Field<'_>,
        named: &[&[u8]],
        out: &mut impl BufMut,
    ) {
        let is_coding = field.is("transfer-encoding");
        // Without the coding there is no place for trailers.
        if self.unwraps && (is_coding || field.is("trailer")) {
            return;
        }
        let is_named = || {
            let name = field.name.as_bytes();
            named.iter().any(|named| name.eq_ignore_ascii_case(named))
        };
        // The coding goes on with the framing that it speaks of, even if Connection names it.
        if !is_coding && (is_named() || self.edits.removes(field)) {
            return;
        }
        match (self.host, self.max_forwards) {
            (Some(host), _) if field.is("host") => write_field(field.name, host, out),
            (_, Some(left)) if field.is("max-forwards") => {
                write_field(field.name, left.to_string().as_bytes(), out);
            }
            _ => out.put_slice(field.line.of(buf)),
        }
    }
}

fn write_field(name: &str, value: &[u8], out: &mut impl BufMut) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn write_connection(own: Options, out: &mut impl BufMut) {
    let options: [(bool, &[u8]); 4] = [
        (own.close, b"close"),
        (own.keep_alive, b"keep-alive"),
        (own.upgrade, b"upgrade"),
        (own.te, b"TE"),
    ];
    write_list(
        "Connection",
        options
            .iter()
            .filter_map(|(said, option)| said.then_some(*option)),
        out,
    );
}

/// The line as it came, or what is left of it without h2c.
fn write_upgrade(buf: &[u8], field: &Field<'_>, out: &mut impl BufMut) {
    if elements(field.value).any(is_h2c) {
        let protocols = elements(field.value).filter(|protocol| !is_h2c(protocol));
        write_list(field.name, protocols, out);
    } else {
        out.put_slice(field.line.of(buf));
    }
}

/// Nothing if there are no elements.
fn write_list<'e>(name: &str, list: impl Iterator<Item = &'e [u8]>, out: &mut impl BufMut) {
    let mut separator: &[u8] = b": ";
    for element in list {
        if separator == b": " {
            out.put_slice(name.as_bytes());
        }
        out.put_slice(separator);
        out.put_slice(element);
        separator = b", ";
    }
    if separator == b", " {
        out.put_slice(b"\r\n");
    }
}
