//! Field lines by which an intermediary makes itself or its client known, if it is told to.

use std::net::IpAddr;

use bytes::BufMut;

/// What Via calls us: a pseudonym, as a host name would say more than others need to know
/// (RFC 9110 §7.6.3).
const PSEUDONYM: &str = "weir";

/// Writes a Via line for a message that came as HTTP/1.`minor` (RFC 9110 §7.6.3).
pub fn via_line(minor: u8, out: &mut impl BufMut) {
    out.put_slice(format!("Via: 1.{minor} {PSEUDONYM}\r\n").as_bytes());
}

/// Writes a Forwarded line for a request of `client` (RFC 7239 §4, §6).
pub fn forwarded_line(client: IpAddr, out: &mut impl BufMut) {
    let line = match client {
        IpAddr::V4(address) => format!("Forwarded: for={address}\r\n"),
        IpAddr::V6(address) => format!("Forwarded: for=\"[{address}]\"\r\n"),
    };
    out.put_slice(line.as_bytes());
}

/// Writes an X-Forwarded-For line for a request of `client`.
pub fn x_forwarded_for_line(client: IpAddr, out: &mut impl BufMut) {
    out.put_slice(format!("X-Forwarded-For: {client}\r\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mut out = Vec::new();
        let [v4, v6] = ["10.0.0.2", "2001:db8::1"].map(|text| text.parse().unwrap());
        via_line(0, &mut out);
        forwarded_line(v4, &mut out);
        forwarded_line(v6, &mut out);
        x_forwarded_for_line(v4, &mut out);
        x_forwarded_for_line(v6, &mut out);
        let expected = "Via: 1.0 weir\r\nForwarded: for=10.0.0.2\r\n\
            Forwarded: for=\"[2001:db8::1]\"\r\nX-Forwarded-For: 10.0.0.2\r\n\
            X-Forwarded-For: 2001:db8::1\r\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
