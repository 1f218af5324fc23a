//! Refusing a SYN on the spot, from LANs that fail closed.

use aya_ebpf::{
    EbpfContext as _,
    bindings::tcx_action_base::TCX_DROP,
    helpers::generated::{
        bpf_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    macros::map,
    maps::PerCpuArray,
    programs::TcContext,
};
use proxy_ebpf::{
    bridge::Mac,
    counter::Event,
    key::IPV4,
    packet::{ETHERNET_LEN, Load as _, Segment},
    refusal::{self, MAX_LEN, Refused},
};

use super::{maps::count, steer::Skb};

/// A refusal in the making: the stack has no room for it.
#[repr(C)]
struct Scratch {
    refused: Refused,
    answer: [u8; MAX_LEN],
}

#[map]
static REFUSAL: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Turns a SYN into the answer to itself, and sends it out of the interface that it came in by.
/// What the program returns.
///
/// A SYN that no answer can be made from is dropped: what is closed lets nothing through.
#[inline(never)]
pub(super) fn refuse(ctx: &TcContext, network: u32, segment: &Segment) -> i32 {
    count(Event::Refused);
    if segment.is_fragment() || (network != 0 && network != ETHERNET_LEN) {
        return TCX_DROP;
    }
    let Some(scratch) = REFUSAL.get_ptr_mut(0) else {
        return TCX_DROP;
    };
    let Scratch { refused, answer } = unsafe { &mut *scratch };
    let skb = ctx.skb.skb;
    let length = refusal::length(segment.flow.family);
    if !read(ctx, network, segment, refused)
        // It gives up offloads and what is shared with others as well.
        || unsafe { bpf_skb_change_tail(skb, network + length, 0) } != 0
        || (network == ETHERNET_LEN && !turn_round(ctx))
    {
        return TCX_DROP;
    }
    write(refused, answer);
    let at = answer.as_ptr().cast();
    if unsafe { bpf_skb_store_bytes(ctx.as_ptr().cast(), network, at, length, 0) } != 0 {
        return TCX_DROP;
    }
    let redirected = unsafe { bpf_redirect((*skb).ifindex, 0) };
    #[expect(clippy::cast_possible_truncation, reason = "an action")]
    {
        redirected as i32
    }
}

/// What of the SYN the answer needs. False if the frame ends before that.
#[inline(never)]
fn read(ctx: &TcContext, network: u32, segment: &Segment, refused: &mut Refused) -> bool {
    let frame = Skb(ctx);
    let Some(header) = frame.load::<20>(segment.offset) else {
        return false;
    };
    let (lead, at) = if segment.flow.family == IPV4 {
        (0, network + 2)
    } else {
        (40, network + 4)
    };
    let Some(length) = frame.load(at) else {
        return false;
    };
    // From the network header to the end of what is no padding.
    let whole = lead + u32::from(u16::from_be_bytes(length));
    let tcp = whole.saturating_sub(segment.offset - network);
    let options = u32::from(header[12] >> 4) * 4;
    let checksum = u16::from_be_bytes([header[16], header[17]]);
    refused.flow = segment.flow;
    refused.sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    refused.data = tcp.saturating_sub(options);
    refused.unfinished = u32::from(refusal::is_unfinished(&segment.flow, tcp, checksum));
    true
}

#[inline(never)]
fn write(refused: &Refused, answer: &mut [u8; MAX_LEN]) {
    refused.answer(answer);
}

/// Exchanges the frame's addresses.
#[inline(never)]
fn turn_round(ctx: &TcContext) -> bool {
    let mut ends: [Mac; 2] = [[0; 6]; 2];
    let at = ends.as_mut_ptr().cast();
    if unsafe { bpf_skb_load_bytes(ctx.as_ptr().cast(), 0, at, 12) } != 0 {
        return false;
    }
    let turned = [ends[1], ends[0]];
    unsafe { bpf_skb_store_bytes(ctx.as_ptr().cast(), 0, turned.as_ptr().cast(), 12, 0) == 0 }
}
