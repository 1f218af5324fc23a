//! Whether conntrack tracks a connection.
//!
//! Both legs have one five-tuple where we keep the client's port, and so would share one entry: their
//! sequence numbers do not fit, and a firewall that drops what is invalid drops nearly all of it.
//! What is not tracked (`notrack`, or no rule at all that needs conntrack) has no entry to share.
//! Message formats: `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use nix::sys::socket::SockProtocol;

use crate::sys::netlink::{
    Raw,
    attribute::{find, put},
};

/// Entries in this network namespace; there is no such file in a kernel without conntrack.
const COUNT: &str = "/proc/sys/net/netfilter/nf_conntrack_count";

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`.
const GET: u16 = 0x0101;
/// `struct nfgenmsg`.
const GENERIC_HEADER: usize = 4;
/// `NLA_F_NESTED`, no part of an attribute's type.
const NESTED: u16 = 0x8000;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const IPPROTO_TCP: u8 = 6;
/// `TCP_CONNTRACK_LAST_ACK`, `_TIME_WAIT` and `_CLOSE`: both sides have ended it.
const OVER: std::ops::RangeInclusive<u8> = 6..=8;

/// Conntrack of the network namespace, as far as clients' connections are asked about.
#[derive(Debug, Default)]
pub struct Conntrack {
    found: AtomicU64,
}

impl Conntrack {
    /// Whether it has entries at all. Without any, nothing under way is tracked.
    #[must_use]
    pub fn is_in_use() -> bool {
        fs::read_to_string(COUNT).is_ok_and(|count| count.trim() != "0")
    }

    /// Whether it has an entry for the connection that `client` has made to `origin`. If that
    /// cannot be found out while there are entries at all, there may be. A yes is counted.
    pub(super) fn tracks(&self, client: SocketAddr, origin: SocketAddr) -> bool {
        let tracks = Self::is_in_use()
            && Inquiry::open()
                .and_then(|mut inquiry| inquiry.has(client, origin))
                .unwrap_or_else(|error| {
                    tracing::debug!(%error, "conntrack does not say");
                    true
                });
        if tracks {
            self.found.fetch_add(1, Relaxed);
        }
        tracks
    }

    /// How many clients' connections were found to be tracked.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.found.load(Relaxed)
    }
}

/// Questions to ctnetlink (`CONFIG_NF_CT_NETLINK`).
pub struct Inquiry(Raw);

impl Inquiry {
    /// Begins one, in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// If there is no such socket.
    pub fn open() -> io::Result<Self> {
        Raw::open(SockProtocol::NetlinkNetFilter).map(Self)
    }

    /// Whether there is an entry for the TCP connection of these two that is not over.
    ///
    /// # Errors
    ///
    /// If ctnetlink does not answer: `EINVAL` where the kernel does not have it, `EPERM` without
    /// `CAP_NET_ADMIN`.
    pub fn has(&mut self, client: SocketAddr, origin: SocketAddr) -> io::Result<bool> {
        found(self.0.ask(GET, 0, &request(client, origin)))
    }
}

/// What an answer says.
fn found(answer: io::Result<Vec<u8>>) -> io::Result<bool> {
    let entry = match answer {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
        answer => answer?,
    };
    // An entry that is offloaded to a flowtable has no state to show.
    let state = entry
        .get(GENERIC_HEADER..)
        .and_then(|attributes| find(attributes, CTA_PROTOINFO))
        .and_then(|info| find(info, CTA_PROTOINFO_TCP))
        .and_then(|tcp| find(tcp, CTA_PROTOINFO_TCP_STATE))
        .and_then(|state| state.first());
    Ok(state.is_none_or(|state| !OVER.contains(state)))
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
    put(&mut payload, CTA_TUPLE_ORIG | NESTED, &tuple.concat());
    payload
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = Vec::new();
    put(&mut attribute, kind, value);
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_long_as_it_says() {
        for (client, origin, length) in [
            ("10.0.0.2:5", "203.0.113.7:80", 4 + 4 + 4 + 16 + 4 + 24),
            ("[fd00::2]:5", "[2001:db8::7]:80", 4 + 4 + 4 + 40 + 4 + 24),
        ] {
            let request = request(client.parse().unwrap(), origin.parse().unwrap());
            assert_eq!(request.len(), length);
            let tuple = u16::try_from(length - GENERIC_HEADER).unwrap();
            assert_eq!(request[GENERIC_HEADER..6], tuple.to_ne_bytes());
        }
    }

    #[test]
    fn what_is_made_up_is_not_tracked() {
        let client = "192.0.2.1:1".parse().unwrap();
        let conntrack = Conntrack::default();
        assert!(!conntrack.tracks(client, "192.0.2.2:80".parse().unwrap()));
        assert_eq!(conntrack.found(), 0);
    }

    fn entry(state: u8) -> Vec<u8> {
        let state = attribute(CTA_PROTOINFO_TCP_STATE, &[state]);
        let tcp = attribute(CTA_PROTOINFO_TCP | NESTED, &state);
        let info = attribute(CTA_PROTOINFO | NESTED, &tcp);
        let other = attribute(3, &[0; 4]);
        [vec![2, 0, 0, 0], other, info].concat()
    }

    #[test]
    fn an_entry_counts_until_it_is_over() {
        for (state, counts) in [(1, true), (3, true), (4, true), (6, false), (7, false)] {
            assert_eq!(found(Ok(entry(state))).unwrap(), counts, "{state}");
        }
        // Without a state, as it is with an offloaded one.
        assert!(found(Ok(vec![2, 0, 0, 0])).unwrap());
    }

    #[test]
    fn errors_are_told_from_entries() {
        let error = |errno: i32| found(Err(io::Error::from_raw_os_error(errno)));
        assert!(!error(libc::ENOENT).unwrap());
        assert_eq!(
            error(libc::EINVAL).unwrap_err().raw_os_error(),
            Some(libc::EINVAL)
        );
    }

    #[test]
    fn what_is_cut_short_is_no_panic() {
        let whole = entry(3);
        for length in 0..whole.len() {
            let _ = found(Ok(whole[..length].to_vec()));
        }
        let loops = vec![2, 0, 0, 0, 0, 0, 9, 0];
        assert!(found(Ok(loops)).unwrap());
    }
}
