//! Field lines by which a proxy makes itself and its client known. None is sent unless the
//! operator asks for it; they go into [`Edits::append`](super::Edits::append).
//!
//! Each is a line of its own, which means the same as an element more in a line that came
//! (RFC 9110 §5.3, RFC 7239 §4).

use std::net::IpAddr;

use bytes::BufMut;

/// Writes `Via: 1.1 weir` (RFC 9110 §7.6.3).
///
/// `minor` is the minor version that the message came with: [`RequestHead::minor`],
/// [`ResponseHead::minor`]. The pseudonym tells nothing of the network.
///
/// [`RequestHead::minor`]: super::RequestHead::minor
/// [`ResponseHead::minor`]: super::ResponseHead::minor
pub fn via_line(minor: u8, out: &mut impl BufMut) {
    out.put_slice(format!("Via: 1.{minor} weir\r\n").as_bytes());
}

/// Writes `Forwarded: for=…` with the client's address (RFC 7239 §4, §6). An IPv4 address that is
/// mapped into IPv6 is written as what it is.
pub fn forwarded_line(client: IpAddr, out: &mut impl BufMut) {
    let line = match client.to_canonical() {
        IpAddr::V4(client) => format!("Forwarded: for={client}\r\n"),
        IpAddr::V6(client) => format!("Forwarded: for=\"[{client}]\"\r\n"),
    };
    out.put_slice(line.as_bytes());
}

/// Writes `X-Forwarded-For: …` with the client's address, as [`forwarded_line`] does; in no
/// standard, and IPv6 addresses are without brackets.
pub fn x_forwarded_for_line(client: IpAddr, out: &mut impl BufMut) {
    let line = format!("X-Forwarded-For: {}\r\n", client.to_canonical());
    out.put_slice(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn via() {
        assert_eq!(line(|out| via_line(0, out)), "Via: 1.0 weir\r\n");
        assert_eq!(line(|out| via_line(1, out)), "Via: 1.1 weir\r\n");
    }

    #[test]
    fn clients() {
        let cases = [
            ("1.2.3.4", "for=1.2.3.4", "1.2.3.4"),
            ("2001:db8::1", "for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("::ffff:1.2.3.4", "for=1.2.3.4", "1.2.3.4"),
        ];
        for (client, forwarded, for_) in cases {
            let client: IpAddr = client.parse().unwrap();
            assert_eq!(
                line(|out| forwarded_line(client, out)),
                format!("Forwarded: {forwarded}\r\n")
            );
            assert_eq!(
                line(|out| x_forwarded_for_line(client, out)),
                format!("X-Forwarded-For: {for_}\r\n")
            );
        }
    }
}
