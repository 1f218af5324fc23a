//! Where the network header is on links without an Ethernet header.

use aya_ebpf::{
    EbpfContext as _, bindings::bpf_hdr_start_off::BPF_HDR_START_NET,
    helpers::generated::bpf_skb_load_bytes_relative, programs::TcContext,
};
use proxy_ebpf::packet::ETHERNET_LEN;

/// The first octets of a network header: lengths, the sender, and of IPv4 what numbers and checks
/// it. Two headers of one packet differ in them.
type Start = [u64; 2];

#[expect(clippy::cast_possible_truncation, reason = "16 bytes")]
const START_LEN: u32 = size_of::<Start>() as u32;

/// Where it may be. Nearly always nothing is in front of it. But what comes through IPsec keeps
/// the Ethernet header of the packet that it was in (`skb_mac_header_rebuild`), and what comes
/// through a GRE link without a fixed remote the outer headers (`ipgre_header_ops`): IPv4, and
/// GRE with none to three of checksum, key and sequence number.
const PLACES: [u32; 6] = [0, ETHERNET_LEN, 24, 28, 32, 36];

/// It is at none of them.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The offset of the network header from the packet's start, or [`NOWHERE`].
///
/// A program sees the packet from its link-layer header on, and not how long that is. The kernel
/// reads from the network header as well, though only in linear data: the place where the same is
/// read is that of the header.
#[inline(never)]
pub(super) fn network_header(ctx: &TcContext) -> u32 {
    let mut start: Start = [0; 2];
    let read = unsafe {
        bpf_skb_load_bytes_relative(
            ctx.as_ptr(),
            0,
            start.as_mut_ptr().cast(),
            START_LEN,
            BPF_HDR_START_NET,
        )
    };
    if read != 0 {
        // Not linear: it has come right from a driver, and nobody was in front of that.
        return 0;
    }
    for place in PLACES {
        // Not `==`, which would be a call that compares octet by octet.
        if let Ok(there) = ctx.load::<Start>(place as usize)
            && (there[0] ^ start[0]) | (there[1] ^ start[1]) == 0
        {
            return place;
        }
    }
    NOWHERE
}
