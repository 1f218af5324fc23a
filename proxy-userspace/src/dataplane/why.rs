//! Asks the kernel what it would decide about a connection.

use std::net::{IpAddr, SocketAddr};

use aya::programs::{TestRun as _, TestRunOptions};
use proxy_ebpf::{abi, trail::Trail};

use super::{Dataplane, DataplaneError, chain, classifier};

/// Places in `struct __sk_buff`: what of it a test run may be given.
mod context {
    pub(super) const IFINDEX: usize = 40;
    pub(super) const CB: usize = 48;
    pub(super) const LENGTH: usize = 68;
}

/// An Ethernet header, and one of TCP without options.
const ETHERNET: usize = 14;
const TCP: usize = 20;

/// Longer than any SYN of ours, and than the answer.
const FRAME: usize = 160;
const _: () = assert!(size_of::<Trail>() <= FRAME);

impl Dataplane {
    /// What is decided about a SYN from `client` to `origin` that comes in by the interface of
    /// that index, a port of `bridge` if there is one: the code that decides about packets, on
    /// the maps as they are. Nothing is counted. Both are of one family.
    ///
    /// # Errors
    ///
    /// If the kernel does not run the program.
    pub fn why(
        &mut self,
        client: SocketAddr,
        origin: SocketAddr,
        ifindex: u32,
        bridge: Option<u32>,
    ) -> Result<Trail, DataplaneError> {
        let frame = syn(client, origin);
        let mut ctx = [0; context::LENGTH];
        ctx[context::IFINDEX..][..4].copy_from_slice(&ifindex.to_ne_bytes());
        ctx[context::CB..][..4].copy_from_slice(&bridge.unwrap_or(0).to_ne_bytes());
        let mut out = [0; FRAME];
        classifier(&mut self.ebpf, abi::PROGRAM_WHY)?
            .test_run(TestRunOptions {
                data_in: Some(&frame),
                data_out: Some(&mut out),
                ctx_in: Some(&ctx),
                ..TestRunOptions::new()
            })
            .map_err(|error| DataplaneError::Map {
                operation: "decide about a connection by",
                map: abi::PROGRAM_WHY,
                cause: chain(&error),
            })?;
        let answer = out.first_chunk();
        Ok(answer.map_or(Trail::EMPTY, Trail::read))
    }
}

/// A frame with the first segment of that connection.
fn syn(client: SocketAddr, origin: SocketAddr) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    let (ethertype, header): (u16, Vec<u8>) = match (client, origin) {
        (SocketAddr::V4(client), SocketAddr::V4(origin)) => {
            // RFC 791 §3.1: version 4, 5 words, 40 octets in all, 64 hops, TCP.
            let mut header = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
            header.extend(client.ip().octets());
            header.extend(origin.ip().octets());
            (0x0800, header)
        }
        (client, origin) => {
            // RFC 8200 §3: version 6, 20 octets behind the header, TCP, 64 hops.
            let mut header = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
            for address in [client, origin] {
                header.extend(match address.ip() {
                    IpAddr::V6(ip) => ip.octets(),
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                });
            }
            (0x86dd, header)
        }
    };
    frame[12..ETHERNET].copy_from_slice(&ethertype.to_be_bytes());
    frame[ETHERNET..][..header.len()].copy_from_slice(&header);
    let tcp = &mut frame[ETHERNET + header.len()..][..TCP];
    tcp[..2].copy_from_slice(&client.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&origin.port().to_be_bytes());
    // RFC 9293 §3.1: 5 words, SYN.
    tcp[12] = 5 << 4;
    tcp[13] = 0x02;
    frame
}
