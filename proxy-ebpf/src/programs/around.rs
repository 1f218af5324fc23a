//! Answers that go around us.
//!
//! We connect to an origin from the client's address, and the origin's answer comes to the client
//! by a way that does not pass this host. The client has no such connection and refuses the
//! answer with a reset (RFC 9293 §3.10.7.1: its sequence number is what the answer acknowledged),
//! and that reset is on its way to the origin through us. A socket of ours that is connecting with
//! this very four-tuple, and whose SYN has the number before, makes it a proof: nobody who has not
//! seen the origin's answer knows that number.

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, programs::TcContext};
use proxy_ebpf::{counter::Event, key::Flow, packet::Segment};

use super::{
    maps::{WENT_AROUND, count},
    socket,
};

/// Offset of the sequence number in a TCP header.
const SEQUENCE: u32 = 4;

/// Looks whether `segment`, which belongs to no socket of ours, is such a reset, and tells the
/// daemon of the connect.
#[inline(always)]
pub(super) fn look(ctx: &TcContext, segment: &Segment, reversed: &Flow) {
    if !segment.refuses_an_ack() {
        return;
    }
    let Ok(sequence) = ctx.load::<u32>((segment.offset + SEQUENCE) as usize) else {
        return;
    };
    if socket::has_sent_syn_before(ctx, reversed, u32::from_be(sequence)) {
        count(Event::AsymmetricReturn);
        // A full buffer is the daemon's to empty; the connect comes again.
        let _ = WENT_AROUND.output::<Flow>(&segment.flow, u64::from(BPF_RB_NO_WAKEUP));
    }
}
