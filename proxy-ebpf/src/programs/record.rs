//! `weir_record`: TC egress of WANs. Records the translation of our connections to origins.
//!
//! It runs behind netfilter's POSTROUTING: a SYN whose tuple is not its socket's has been
//! translated. It changes no packet, and costs one comparison where nothing is translated.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{bpf_hdr_start_off::BPF_HDR_START_NET, tcx_action_base::TCX_NEXT},
    helpers::generated::{bpf_sk_fullsock, bpf_skb_load_bytes_relative},
    macros::{classifier, map},
    maps::PerCpuArray,
    programs::TcContext,
};
use proxy_ebpf::{
    counter::Event,
    key::{Flow, IPV4, IPV6},
    packet::{self, Kind, Load, Segment},
    settings::Settings,
};

use super::{
    maps::{SETTINGS, TRANSLATING, TRANSLATIONS, count},
    translation,
};

const AF_INET: u32 = 2;
/// `TCP_SYN_SENT`.
const SYN_SENT: u32 = 2;

/// Working memory: a program's stack has 512 bytes.
#[repr(C)]
struct Work {
    segment: Segment,
    /// Answers, as they will come in.
    outside: Flow,
    /// Answers, as the socket knows them.
    inside: Flow,
}

#[map(name = "RECORD")]
static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);

#[classifier]
pub(super) fn weir_record(ctx: TcContext) -> i32 {
    record(&ctx);
    TCX_NEXT
}

#[inline(always)]
fn record(ctx: &TcContext) {
    let (Some(settings), Some(work)) = (SETTINGS.get(0), WORK.get_ptr_mut(0)) else {
        return;
    };
    let Work {
        segment,
        outside,
        inside,
    } = unsafe { &mut *work };
    if connecting(ctx, settings, inside) {
        if read_syn(ctx, settings, segment, outside) && *outside != *inside {
            unsafe { insert(outside, inside) };
        }
    } else if translation::is_any() && read_syn(ctx, settings, segment, outside) {
        // Somebody else's: what we knew of this tuple is over.
        let _ = TRANSLATIONS.remove(&*outside);
    }
}

#[inline(always)]
unsafe fn insert(outside: &Flow, inside: &Flow) {
    if let Some(any) = TRANSLATING.get_ptr_mut(0) {
        unsafe { *any = 1 };
    }
    if TRANSLATIONS.insert(outside, inside, 0).is_err() {
        count(Event::TranslationLost);
    }
}

/// Whether the packet leaves a connecting socket of ours; then `answers` are those that it waits
/// for.
#[inline(never)]
fn connecting(ctx: &TcContext, settings: &Settings, answers: &mut Flow) -> bool {
    let socket = unsafe { (*ctx.skb.skb).__bindgen_anon_2.sk };
    if socket.is_null() {
        return false;
    }
    let socket = unsafe { bpf_sk_fullsock(socket) };
    if socket.is_null() {
        return false;
    }
    // Volatile, and all of them: the verifier allows no address within a socket to be computed, as
    // the compiler would to choose between two.
    macro_rules! field {
        ($($name:tt)+) => {
            unsafe { (&raw const (*socket).$($name)+).read_volatile() }
        };
    }
    if field!(state) != SYN_SENT || field!(mark) & settings.socket_mark == 0 {
        return false;
    }
    let (near, far) = (field!(src_ip4), field!(dst_ip4));
    #[expect(clippy::cast_possible_truncation, reason = "a port, 16 bits in a u32")]
    let port = field!(src_port) as u16;
    answers.sport = field!(dst_port);
    answers.dport = port.to_be();
    if field!(family) == AF_INET {
        answers.family = IPV4;
        answers.saddr = [far, 0, 0, 0];
        answers.daddr = [near, 0, 0, 0];
    } else {
        answers.family = IPV6;
        answers.saddr = [
            field!(dst_ip6[0]),
            field!(dst_ip6[1]),
            field!(dst_ip6[2]),
            field!(dst_ip6[3]),
        ];
        answers.daddr = [
            field!(src_ip6[0]),
            field!(src_ip6[1]),
            field!(src_ip6[2]),
            field!(src_ip6[3]),
        ];
    }
    true
}

/// Whether the packet is a SYN to a watched port; then `answers` are those that will come in.
#[inline(never)]
fn read_syn(
    ctx: &TcContext,
    settings: &Settings,
    segment: &mut Segment,
    answers: &mut Flow,
) -> bool {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an EtherType, 16 bits in a u32"
    )]
    let ethertype = unsafe { (*ctx.skb.skb).protocol } as u16;
    let kind = packet::parse(&FromNetwork(ctx), ethertype, 0, segment);
    if kind != Kind::Tcp || !segment.opens() || !settings.follows(segment.flow.dport) {
        return false;
    }
    *answers = segment.flow.reversed();
    true
}

/// A socket buffer as something to load from, beginning with its network header, whatever is in
/// front of that. What is not linear there is not a SYN of ours.
struct FromNetwork<'a>(&'a TcContext);

impl Load for FromNetwork<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut octets = [0; N];
        #[expect(clippy::cast_possible_truncation, reason = "a header's length")]
        let read = unsafe {
            bpf_skb_load_bytes_relative(
                self.0.as_ptr(),
                offset,
                octets.as_mut_ptr().cast(),
                N as u32,
                BPF_HDR_START_NET,
            )
        };
        (read == 0).then_some(octets)
    }
}
