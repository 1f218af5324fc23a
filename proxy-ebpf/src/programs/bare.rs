//! Where the network header is on links without an Ethernet header.

use aya_ebpf::{
    EbpfContext as _, bindings::bpf_hdr_start_off::BPF_HDR_START_NET,
    helpers::generated::bpf_skb_load_bytes_relative, programs::TcContext,
};
use proxy_ebpf::packet::ETHERNET_LEN;

/// An IPv4 header without options, and half of an IPv6 one: what two offsets are compared by.
const LEN: u32 = 20;

/// Where it may be. Nearly always nothing is in front of it. But what comes through IPsec keeps
/// the Ethernet header of the packet that it was in (`skb_mac_header_rebuild`), and what comes
/// through a GRE link without a fixed remote the outer headers (`ipgre_header_ops`): IPv4, and
/// GRE with none to three of checksum, key and sequence number.
const PLACES: [u32; 6] = [0, ETHERNET_LEN, 24, 28, 32, 36];

/// The offset of the network header from the packet's start; `None` if it cannot be told.
///
/// A program sees the packet from its link-layer header on, and not how long that is. The kernel
/// reads from the network header as well, though only in linear data: the place where the same is
/// read is that of the header.
#[inline(never)]
pub(super) fn network_header(ctx: &TcContext) -> Option<u32> {
    let mut header = [0u32; LEN as usize / 4];
    let read = unsafe {
        bpf_skb_load_bytes_relative(
            ctx.as_ptr(),
            0,
            header.as_mut_ptr().cast(),
            LEN,
            BPF_HDR_START_NET,
        )
    };
    if read != 0 {
        // Not linear: it has come right from a driver, and nobody was in front of that.
        return Some(0);
    }
    for place in PLACES {
        if ctx
            .load::<[u32; LEN as usize / 4]>(place as usize)
            .is_ok_and(|there| there == header)
        {
            return Some(place);
        }
    }
    None
}
