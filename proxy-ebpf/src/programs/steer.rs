//! `weir_steer` and `weir_steer_l3`: TC ingress, one of them on every interface with a role.
//!
//! The two differ in where a packet's network header is, and are the same code otherwise; one for
//! both would look for it on Ethernet, too.
//!
//! It marks what belongs to the daemon, for local delivery by `ip rule iif … fwmark …`, and
//! touches nothing else. It returns `TCX_NEXT`, so that other programs on the interface see every
//! packet, marked or not; what goes round in a loop alone is dropped.

use aya_ebpf::{
    bindings::{bpf_tunnel_key, tcx_action_base::TCX_NEXT},
    helpers::bpf_skb_set_tunnel_key,
    macros::classifier,
    programs::TcContext,
};
use proxy_ebpf::{
    counter::{Delivery, Event},
    key::Flow,
    looping::What,
    packet::{self, ETHERNET_LEN, Kind, Load, Segment},
    settings::Settings,
    verdict::{self, Facts as _, Reason},
    watch::{DIRECT, INTERCEPTED, PORT_NOT_WATCHED, STOPPED},
};

use super::{
    around,
    bare::{NOWHERE, network_header},
    bridge::Port,
    fragment,
    maps::{self, DIRECT_FLOWS, SCRATCH, SETTINGS, Scratch, count, count_flow},
    refuse,
    socket::{self, Found},
    translation,
    watch::{Fate, tell},
};

/// `PACKET_HOST` of `skb->pkt_type`: addressed to us at the link layer.
const PACKET_HOST: u32 = 0;

#[expect(clippy::cast_possible_truncation, reason = "44 bytes")]
const TUNNEL_KEY_LEN: u32 = size_of::<bpf_tunnel_key>() as u32;

#[classifier]
pub(super) fn weir_steer(ctx: TcContext) -> i32 {
    steer_addressed(&ctx, ETHERNET_LEN)
}

#[classifier]
pub(super) fn weir_steer_l3(ctx: TcContext) -> i32 {
    match network_header(&ctx) {
        NOWHERE => passed(Event::Malformed),
        network => steer_addressed(&ctx, network),
    }
}

#[inline(always)]
fn steer_addressed(ctx: &TcContext, network: u32) -> i32 {
    let skb = unsafe { &*ctx.skb.skb };
    // A tag here means a VLAN of this interface, whose own device comes with a role of its own.
    if skb.pkt_type == PACKET_HOST && skb.vlan_present == 0 {
        steer(ctx, network, None)
    } else {
        TCX_NEXT
    }
}

/// The network header is at `network` bytes into the frame.
#[inline(always)]
pub(super) fn steer<'a>(ctx: &'a TcContext, network: u32, mut port: Option<&'a mut Port>) -> i32 {
    let skb = unsafe { &*ctx.skb.skb };
    let Some(settings) = SETTINGS.get(0) else {
        return TCX_NEXT;
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an EtherType, 16 bits in a u32"
    )]
    let ethertype = skb.protocol as u16;
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
        return TCX_NEXT;
    };
    let Scratch { segment, reversed } = unsafe { &mut *scratch };
    let kind = packet::parse(&Skb(ctx), ethertype, network, segment);
    match kind {
        Kind::Tcp | Kind::IcmpError => {}
        Kind::LaterFragment => {
            if fragment::is_steered(segment) {
                mark(ctx, settings, port.as_deref());
            }
            return TCX_NEXT;
        }
        Kind::TinyFragment => return passed(Event::TinyFragment),
        Kind::Malformed => return passed(Event::Malformed),
        Kind::Other => return TCX_NEXT,
    }
    if settings.watch != 0
        && kind == Kind::Tcp
        && segment.opens()
        && !settings.watches(segment.flow.dport)
    {
        let fate = Fate {
            ifindex: skb.ifindex,
            reason: PORT_NOT_WATCHED,
            outcome: DIRECT,
            tag: tag(&port),
        };
        tell(&segment.flow, &fate);
    }
    let mut action = TCX_NEXT;
    if settings.follows(segment.flow.dport) || settings.follows(segment.flow.sport) {
        *reversed = segment.flow.reversed();
        if let Some(port) = &mut port {
            port.of(if kind == Kind::IcmpError {
                reversed
            } else {
                &segment.flow
            });
        }
        let mut packet = Seen {
            ctx,
            settings,
            network,
            segment,
            reversed,
            port,
            action,
        };
        if kind == Kind::IcmpError {
            packet.icmp_error();
        } else if !segment.opens() {
            packet.following();
        } else if settings.watches(segment.flow.dport) {
            packet.opening();
        }
        action = packet.action;
    }
    if kind == Kind::Tcp && segment.is_fragment() {
        let mark = unsafe { (*ctx.skb.skb).mark };
        fragment::first(segment, mark & settings.steer_mark != 0);
    }
    action
}

/// Counts what is none of ours.
#[inline(always)]
fn passed(event: Event) -> i32 {
    count(event);
    TCX_NEXT
}

/// Has the packet delivered locally; on a bridge, has it passed up.
#[inline(always)]
fn mark(ctx: &TcContext, settings: &Settings, port: Option<&Port>) {
    if let Some(port) = port {
        port.take_up(ctx);
    }
    let mark = unsafe { (*ctx.skb.skb).mark };
    ctx.set_mark(mark | settings.steer_mark);
}

/// The VLAN tag that it came with, across a bridge.
#[inline(always)]
fn tag(port: &Option<&mut Port>) -> u32 {
    port.as_ref().map_or(0, |port| port.tag())
}

/// A packet of a watched port, and the facts about it as the kernel has them.
pub(super) struct Seen<'a> {
    pub(super) ctx: &'a TcContext,
    pub(super) settings: &'a Settings,
    /// Offset of the network header from the frame's start, in bytes.
    pub(super) network: u32,
    pub(super) segment: &'a Segment,
    pub(super) reversed: &'a Flow,
    /// The port of a bridge that it came in by, if it did.
    pub(super) port: Option<&'a mut Port>,
    /// What the program returns.
    pub(super) action: i32,
}

impl Seen<'_> {
    /// A SYN: the only packet that policy decides about.
    #[inline(always)]
    fn opening(&mut self) {
        let flow = &self.segment.flow;
        let reason = verdict::decide(self.settings, flow, self);
        count_flow(reason);
        #[cfg(feature = "log")]
        self.log(reason);
        match reason {
            Reason::Intercepted => {
                let _ = DIRECT_FLOWS.remove(flow);
                // A SYN whose tuple has a socket already (a retransmission, a reused TIME_WAIT)
                // is handled by that socket and says nothing about the way to the listener.
                if !socket::find(self.ctx, flow).is_connection()
                    && let Some(lan) = maps::interface(self.entrance())
                {
                    maps::count_delivery(lan.slot, flow.family, Delivery::Marked);
                }
                self.learn();
                self.mark();
            }
            // Nothing of ours can have these tuples, or it is ours itself.
            // A SYN to a server behind us, unless it is ours.
            Reason::NotFromLan => {
                if self.is_our_syn() {
                    self.break_loop(&flow.daddr, What::Ours);
                }
            }
            Reason::OwnAddress | Reason::LocalScope | Reason::FamilyOff => {}
            Reason::NoListener | Reason::StaleHeartbeat if self.fails_closed() => self.refuse(),
            Reason::Shadow => {
                maps::count_shadowed(flow);
                self.opening_direct();
            }
            Reason::SelfLoop => self.break_loop(&flow.daddr, What::Ours),
            Reason::Looping => {
                self.break_loop(&flow.daddr, What::Direct);
                self.opening_direct();
            }
            _ => self.opening_direct(),
        }
        if self.settings.watch != 0 {
            self.tell(reason);
        }
    }

    /// Tells those who watch of the decision, and what has come of it.
    #[inline(always)]
    fn tell(&self, reason: Reason) {
        let mark = unsafe { (*self.ctx.skb.skb).mark };
        let fate = Fate {
            ifindex: self.ifindex(),
            reason: reason as u32,
            outcome: if self.action != TCX_NEXT {
                STOPPED
            } else if mark & self.settings.steer_mark != 0 {
                INTERCEPTED
            } else {
                DIRECT
            },
            tag: tag(&self.port),
        };
        tell(&self.segment.flow, &fate);
    }

    /// Whether what comes in by this interface and cannot be intercepted is refused.
    #[inline(always)]
    fn fails_closed(&self) -> bool {
        maps::interface(self.ifindex()).is_some_and(|lan| lan.closed != 0)
    }

    /// A SYN that nobody takes, from a LAN that fails closed.
    #[inline(always)]
    fn refuse(&mut self) {
        match socket::find(self.ctx, &self.segment.flow) {
            // A retransmission: the connection was intercepted before.
            Found::Connecting | Found::Live => self.mark(),
            _ => self.action = refuse::refuse(self.ctx, self.network, self.segment),
        }
    }

    /// A SYN that goes direct. The client may reuse a tuple that a socket of ours still has,
    /// mostly in TIME_WAIT. Left alone, early demux would give the packet to that socket, and
    /// `ip_forward` drops packets that have one.
    #[inline(always)]
    fn opening_direct(&mut self) {
        let flow = &self.segment.flow;
        match socket::find(self.ctx, flow) {
            // A retransmission: the connection has been intercepted, whatever policy says now.
            Found::Connecting | Found::Live => return self.mark(),
            Found::Dying => {}
            _ if socket::find(self.ctx, self.reversed).is_connection() => {}
            _ => return,
        }
        let _ = DIRECT_FLOWS.insert(flow, 1u32, 0);
        self.around_socket();
    }

    /// Any other segment is ours exactly if a socket of ours has its four-tuple.
    #[inline(always)]
    fn following(&mut self) {
        let flow = &self.segment.flow;
        if self.is_apart() {
            return count(Event::PacketPassed);
        }
        let found = if self.segment.acknowledges() {
            socket::find_for_ack(self.ctx, flow, self.network, self.segment.offset)
        } else {
            socket::find(self.ctx, flow)
        };
        match found {
            Found::Connecting | Found::Live => {
                self.learn();
                self.steer(Event::PacketSteered);
            }
            Found::Cookie => self.steer(Event::CookieSteered),
            Found::Dying if self.goes_direct() => self.around_socket(),
            Found::Dying => self.steer(Event::PacketSteered),
            Found::Listener | Found::Nothing if translation::has_socket(self.ctx, flow) => {
                self.steer(Event::PacketSteered);
            }
            Found::Listener | Found::Nothing => {
                count(Event::PacketPassed);
                around::look(self.ctx, self.segment, self.reversed);
                if self.segment.accepts() && socket::find(self.ctx, self.reversed).is_connection() {
                    self.break_loop(&flow.saddr, What::Answer);
                }
            }
        }
    }

    /// An error about a segment that a socket of ours sent is for that socket (path MTU,
    /// unreachable): the host that it is addressed to is the one that we speak for.
    #[inline(always)]
    fn icmp_error(&mut self) {
        let answer = self.reversed;
        if self.is_apart() {
            return;
        }
        if (socket::find(self.ctx, answer).is_connection() && !self.goes_direct())
            || translation::has_socket(self.ctx, answer)
        {
            self.steer(Event::IcmpSteered);
        }
    }

    /// A debug event for each verdict, through aya-log.
    #[cfg(feature = "log")]
    #[inline(never)]
    fn log(&self, reason: Reason) {
        let flow = &self.segment.flow;
        let (ifindex, reason) = (self.ifindex(), reason.as_str());
        let (sport, dport) = (u16::from_be(flow.sport), u16::from_be(flow.dport));
        macro_rules! say {
            ($from:expr, $to:expr) => {
                aya_log_ebpf::debug!(
                    self.ctx,
                    "interface {}: {:i} {} -> {:i} {}: {}",
                    ifindex,
                    $from,
                    sport,
                    $to,
                    dport,
                    reason
                )
            };
        }
        if flow.family == proxy_ebpf::key::IPV4 {
            say!(u32::from_be(flow.saddr[0]), u32::from_be(flow.daddr[0]));
        } else {
            say!(octets(&flow.saddr), octets(&flow.daddr));
        }
    }

    #[inline(always)]
    fn steer(&mut self, event: Event) {
        count(event);
        self.mark();
    }

    /// On a bridge: whether it is of another VLAN than the connection, of which sockets know nothing.
    #[inline(always)]
    fn is_apart(&self) -> bool {
        self.port.as_ref().is_some_and(|port| port.is_apart())
    }

    /// On a bridge: remembers the way back to who sent this.
    #[inline(always)]
    fn learn(&mut self) {
        if let Some(port) = &mut self.port {
            port.learn();
        }
    }

    #[inline(always)]
    fn mark(&mut self) {
        mark(self.ctx, self.settings, self.port.as_deref());
    }

    /// Whether this flow was let go while a socket of ours had its tuple.
    #[inline(always)]
    fn goes_direct(&self) -> bool {
        DIRECT_FLOWS.get_ptr(&self.segment.flow).is_some()
            || DIRECT_FLOWS.get_ptr(self.reversed).is_some()
    }

    /// Keeps early demux away from a packet that is to be forwarded: with a (meaningless)
    /// metadata destination attached the kernel skips early demux, while routing, TTL, conntrack
    /// and NAT run as ever. See `ip_rcv_finish_core` and `skb_valid_dst`.
    #[inline(always)]
    fn around_socket(&self) {
        count(Event::PacketAroundSocket);
        if self.port.is_some() {
            // It is not routed.
            return;
        }
        let mut key: bpf_tunnel_key = unsafe { core::mem::zeroed() };
        unsafe { bpf_skb_set_tunnel_key(self.ctx.skb.skb, &raw mut key, TUNNEL_KEY_LEN, 0) };
    }

    /// Index of the interface that it would be delivered from.
    #[inline(always)]
    pub(super) fn entrance(&self) -> u32 {
        match &self.port {
            None => self.ifindex(),
            Some(port) => port.bridge(),
        }
    }

    #[inline(always)]
    pub(super) fn ifindex(&self) -> u32 {
        unsafe { (*self.ctx.skb.skb).ifindex }
    }
}

#[cfg(feature = "log")]
fn octets(address: &proxy_ebpf::key::Address) -> [u8; 16] {
    let mut octets = [0; 16];
    for (chunk, word) in octets.chunks_exact_mut(4).zip(address) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    octets
}

/// A socket buffer as something to load from; works on non-linear ones too.
pub(super) struct Skb<'a>(pub(super) &'a TcContext);

impl Load for Skb<'_> {
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        self.0.load::<[u8; N]>(offset as usize).ok()
    }
}
