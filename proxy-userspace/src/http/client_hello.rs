//! The beginning of TLS, as far as it names a server: no HTTP, but often met on its port.

use std::borrow::Cow;

/// What the first bytes of a connection are, if they are TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientHello<'b> {
    /// They are not.
    NotTls,
    /// They are so far; the whole message is still to come.
    NeedMore,
    /// A whole one, and the host name in it (RFC 6066 §3), if there is a valid one. Also one that
    /// is longer than would be waited for, without a name.
    Complete(Option<Cow<'b, str>>),
}

/// By how many bytes it is decided at the latest, all headers included.
const MAX_HELLO: usize = 16 * 1024;

/// Longest record (RFC 8446 §5.1).
const MAX_RECORD: usize = 1 << 14;

/// Content type, version, length.
const RECORD_HEADER: usize = 5;

/// Message type, length.
const MESSAGE_HEADER: usize = 4;

/// Reads the ClientHello (RFC 8446 §4.1.2) that `buf`, all the bytes of a connection so far,
/// begins with. However they arrive the answer is the same, and once it is not
/// [`NeedMore`](ClientHello::NeedMore) it stays.
///
/// A message that is divided among several records is put together, which is the only case that
/// copies it.
#[must_use]
pub fn client_hello(buf: &[u8]) -> ClientHello<'_> {
    // Content type handshake, major version 3; behind the header, message type client_hello.
    let begins_tls = [0x16, 3].iter().zip(buf).all(|(tls, byte)| tls == byte);
    if !begins_tls || buf.get(RECORD_HEADER).is_some_and(|&message| message != 1) {
        return ClientHello::NotTls;
    }
    let known = &buf[..buf.len().min(MAX_HELLO)];
    match message(known) {
        Ok(Some(Cow::Borrowed(message))) => {
            ClientHello::Complete(server_name(message).map(Cow::Borrowed))
        }
        Ok(Some(Cow::Owned(message))) => {
            let name = server_name(&message).map(str::to_owned);
            ClientHello::Complete(name.map(Cow::Owned))
        }
        Ok(None) if known.len() < MAX_HELLO => ClientHello::NeedMore,
        Ok(None) => ClientHello::Complete(None),
        Err(Malformed { first: true }) => ClientHello::NotTls,
        Err(Malformed { .. }) => ClientHello::Complete(None),
    }
}

/// A record that cannot be one of a handshake's.
struct Malformed {
    /// It is the connection's first, so that nothing says that there is TLS.
    first: bool,
}

/// The connection's first message, without its header. `None` if it is not complete.
fn message(buf: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Malformed> {
    let (mut rest, mut joined) = (buf, Cow::Borrowed(&[][..]));
    loop {
        let first = joined.is_empty();
        if [0x16, 3].iter().zip(rest).any(|(tls, byte)| tls != byte) {
            return Err(Malformed { first });
        }
        let Some((header, behind)) = rest.split_at_checked(RECORD_HEADER) else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if !(1..=MAX_RECORD).contains(&length) {
            return Err(Malformed { first });
        }
        let fragment = &behind[..behind.len().min(length)];
        if first {
            joined = Cow::Borrowed(fragment);
        } else {
            joined.to_mut().extend_from_slice(fragment);
        }
        if let &[_, a, b, c, ..] = &*joined {
            let end = MESSAGE_HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
            if end <= joined.len() {
                return Ok(Some(match joined {
                    Cow::Borrowed(joined) => Cow::Borrowed(&joined[MESSAGE_HEADER..end]),
                    Cow::Owned(joined) => Cow::Owned(joined[MESSAGE_HEADER..end].to_vec()),
                }));
            }
        }
        if behind.len() < length {
            return Ok(None);
        }
        rest = &behind[length..];
    }
}

/// The host name in a ClientHello.
fn server_name(message: &[u8]) -> Option<&str> {
    let mut rest = Reader(message);
    let _version_and_random = rest.take(2 + 32)?;
    let (session, suites, compressions) = (rest.vector8()?, rest.vector16()?, rest.vector8()?);
    let mut extensions = Reader(rest.vector16()?);
    let well_formed = session.len() <= 32
        && suites.len() % 2 == 0
        && !suites.is_empty()
        && !compressions.is_empty()
        && rest.0.is_empty();
    if !well_formed {
        return None;
    }
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let extension = extensions.vector16()?;
        if kind == 0 {
            let mut extension = Reader(extension);
            let mut names = Reader(extension.vector16()?);
            // The only kind of name there is, and there is one of a kind only.
            let is_host = *names.take(1)?.first()? == 0;
            let name = names.vector16()?;
            let is_all = names.0.is_empty() && extension.0.is_empty();
            return std::str::from_utf8(name)
                .ok()
                .filter(|name| is_host && is_all && is_host_name(name));
        }
    }
    None
}

/// Labels of letters, digits and hyphens (RFC 1123 §2.1), and of the underscore that many names
/// have all the same; without the dot at the end (RFC 6066 §3).
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        matches!(label.len(), 1..=63)
            && label.bytes().all(is_letter)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 255 && name.split('.').all(is_label)
}

/// What is still to be read.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes behind their count, which has one byte itself.
    fn vector8(&mut self) -> Option<&'b [u8]> {
        let count = *self.take(1)?.first()?;
        self.take(count.into())
    }

    /// Bytes behind their count, which has two bytes.
    fn vector16(&mut self) -> Option<&'b [u8]> {
        let count = self.number16()?;
        self.take(count.into())
    }
}

#[cfg(test)]
mod tests;
