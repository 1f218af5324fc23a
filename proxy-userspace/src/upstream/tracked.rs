//! Whether conntrack tracks a client's connection.
//!
//! Both legs have one five-tuple where we keep the client's port, and so would share one entry: their
//! sequence numbers do not fit, and a firewall that drops what is invalid drops nearly all of it.
//! What is not tracked (`notrack`, or no rule at all that needs conntrack) has no entry to share.
//! Message formats: `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd as _,
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

/// Entries in this network namespace; there is no such file in a kernel without conntrack.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`.
const GET: u16 = 0x0101;
const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_ACK: u16 = 0x004;
const NLMSG_ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const IPPROTO_TCP: u8 = 6;

/// Whether there is an entry for the connection that `client` has made to `origin`. If that
/// cannot be found out while there are entries at all, there may be.
pub(super) fn is_tracked(client: SocketAddr, origin: SocketAddr) -> bool {
    match fs::read_to_string(COUNT) {
        Ok(count) if count.trim() != "0" => {}
        _ => return false,
    }
    match ask(client, origin) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "conntrack does not say");
            true
        }
    }
}

fn ask(client: SocketAddr, origin: SocketAddr) -> io::Result<bool> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    let request = request(client, origin);
    send(socket.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut answer = [0; 4096];
    let length = recv(socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    let kind = answer
        .get(4..6)
        .map(|kind| u16::from_ne_bytes([kind[0], kind[1]]));
    if kind != Some(NLMSG_ERROR) {
        return Ok(length >= 16);
    }
    let code = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
    match -code {
        0 => Ok(true),
        libc::ENOENT => Ok(false),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn request(client: SocketAddr, origin: SocketAddr) -> Vec<u8> {
    let family = if client.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let addresses = [octets(client.ip()), octets(origin.ip())];
    let [source, destination] = if client.is_ipv4() { [1, 2] } else { [3, 4] };
    let ip = [
        attribute(source, &addresses[0]),
        attribute(destination, &addresses[1]),
    ];
    let proto = [
        attribute(CTA_PROTO_NUM, &[IPPROTO_TCP]),
        attribute(CTA_PROTO_SRC_PORT, &client.port().to_be_bytes()),
        attribute(CTA_PROTO_DST_PORT, &origin.port().to_be_bytes()),
    ];
    let tuple = [
        attribute(CTA_TUPLE_IP | NESTED, &ip.concat()),
        attribute(CTA_TUPLE_PROTO | NESTED, &proto.concat()),
    ];
    // `struct nfgenmsg`: family, version, resource.
    let mut payload = vec![u8::try_from(family).unwrap_or_default(), 0, 0, 0];
    payload.extend(attribute(CTA_TUPLE_ORIG | NESTED, &tuple.concat()));
    let length = u32::try_from(16 + payload.len()).unwrap_or(u32::MAX);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend_from_slice(&GET.to_ne_bytes());
    message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend(payload);
    message
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// `struct nlattr`, padded.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut attribute = length.to_ne_bytes().to_vec();
    attribute.extend_from_slice(&kind.to_ne_bytes());
    attribute.extend_from_slice(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_it_says() {
        for (client, origin, length) in [
            ("10.0.0.2:5", "203.0.113.7:80", 16 + 4 + 4 + 4 + 16 + 4 + 24),
            (
                "[fd00::2]:5",
                "[2001:db8::7]:80",
                16 + 4 + 4 + 4 + 40 + 4 + 24,
            ),
        ] {
            let request = request(client.parse().unwrap(), origin.parse().unwrap());
            assert_eq!(request.len(), length);
            assert_eq!(request[..4], u32::try_from(length).unwrap().to_ne_bytes());
        }
    }

    #[test]
    fn what_is_made_up_is_not_tracked() {
        let client = "192.0.2.1:1".parse().unwrap();
        assert!(!is_tracked(client, "192.0.2.2:80".parse().unwrap()));
    }
}
