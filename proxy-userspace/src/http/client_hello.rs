//! The beginning of TLS, as far as it names a server: no HTTP, but often met on its port.

/// What the first bytes of a connection are, if they are TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientHello<'b> {
    /// They are not.
    NotTls,
    /// They are so far; the whole message is still to come.
    NeedMore,
    /// A whole one, and the host name in it (RFC 6066 §3), if there is a valid one.
    Complete(Option<&'b str>),
}

/// Longest ClientHello that is waited for, bytes: one record.
const MAX_HELLO: usize = 16 * 1024;

/// Reads the ClientHello (RFC 8446 §4.1.2) that `buf` begins with. One that is divided among
/// several records is complete without a name: nobody divides them but to hide it.
#[must_use]
pub fn client_hello(buf: &[u8]) -> ClientHello<'_> {
    // Content type handshake, major version 3, length, message type client_hello.
    let begins_tls = [0x16, 3].iter().zip(buf).all(|(tls, byte)| tls == byte);
    if !begins_tls || buf.get(5).is_some_and(|&message| message != 1) {
        return ClientHello::NotTls;
    }
    let Some(&[high, low]) = buf.get(3..5) else {
        return ClientHello::NeedMore;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HELLO {
        return ClientHello::NotTls;
    }
    match buf.get(5..5 + length) {
        Some(message) => ClientHello::Complete(server_name(message)),
        None => ClientHello::NeedMore,
    }
}

/// The host name in a ClientHello.
fn server_name(message: &[u8]) -> Option<&str> {
    // Type, length, version, random; then session, cipher suites, compression methods.
    let mut rest = Reader(message.get(4 + 2 + 32..)?);
    rest.vector8()?;
    rest.vector16()?;
    rest.vector8()?;
    let mut extensions = Reader(rest.vector16()?);
    loop {
        let kind = extensions.number16()?;
        let extension = extensions.vector16()?;
        if kind == 0 {
            let mut names = Reader(Reader(extension).vector16()?);
            // The only kind of name there is.
            let is_host = *names.take(1)?.first()? == 0;
            let name = names.vector16()?;
            return (is_host && is_host_name(name))
                .then(|| std::str::from_utf8(name).ok())
                .flatten();
        }
    }
}

fn is_host_name(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    matches!(name.len(), 1..=255) && name.iter().all(is_letter)
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A ClientHello for the server of that name, behind another extension.
    fn hello(name: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let name = [&[0], &length(name)[..], name].concat();
        let names = [&length(&name)[..], &name].concat();
        let extensions = [&[0, 10, 0, 2, 0, 0, 0, 0][..], &length(&names), &names].concat();
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([1, 9]);
        body.extend([0, 2, 0x13, 1]);
        body.extend([1, 0]);
        body.extend(length(&extensions));
        body.extend(extensions);
        let [high, low] = length(&body);
        let message = [&[1, 0, high, low][..], &body].concat();
        [&[0x16, 3, 1][..], &length(&message), &message].concat()
    }

    #[test]
    fn names_of_servers() {
        let bytes = hello(b"www.example.com");
        assert_eq!(
            client_hello(&bytes),
            ClientHello::Complete(Some("www.example.com"))
        );
        for name in [&b""[..], b"a b", b"\xff", &[b'a'; 256]] {
            assert_eq!(client_hello(&hello(name)), ClientHello::Complete(None));
        }
        for end in 0..bytes.len() {
            assert_eq!(client_hello(&bytes[..end]), ClientHello::NeedMore, "{end}");
        }
        for other in [
            &b"GET / HTTP/1.1"[..],
            b"SSH-2.0-x",
            b"\x16\x03\x01\0\x05\x02",
            b"\x16\x04",
        ] {
            assert_eq!(client_hello(other), ClientHello::NotTls);
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_survived(at in 0..90usize, octets in prop::collection::vec(any::<u8>(), 0..8)) {
            let mut bytes = hello(b"www.example.com");
            for (offset, octet) in octets.into_iter().enumerate() {
                if let Some(place) = bytes.get_mut(at + offset) {
                    *place = octet;
                }
            }
            if let ClientHello::Complete(Some(name)) = client_hello(&bytes) {
                prop_assert!(is_host_name(name.as_bytes()));
            }
        }
    }
}
