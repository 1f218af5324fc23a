//! What happens to a SYN, and every reason for it.

use crate::{
    key::{self, Address, Flow, IPV4},
    settings::{MODE_DRAIN, MODE_SHADOW, Settings},
};

/// Why a flow is intercepted or left alone. One kebab-case word each ([`Reason::as_str`]), the
/// same in `weir status`, logs and docs, and one slot each of
/// [`map::FLOWS`](crate::abi::map::FLOWS).
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Handed to the daemon.
    Intercepted = 0,
    /// Opened from somewhere else than a LAN of ours: inbound to a server behind us.
    NotFromLan = 1,
    /// The family is not in `intercept.families`.
    FamilyOff = 2,
    /// The destination is this host (a route of type local).
    OwnAddress = 3,
    /// The destination is link-local, loopback, multicast, broadcast or unspecified.
    LocalScope = 4,
    /// Our own SYN to an origin came back to us; forwarded again, not intercepted again.
    SelfLoop = 5,
    /// The daemon is stopping.
    Draining = 6,
    /// The route leads out of an interface that is no WAN of ours: the answer would not come
    /// back through our program.
    RouteNotWan = 7,
    /// The kernel has no route for it, or refuses it; the client gets the kernel's own answer.
    NoRoute = 8,
    /// Any other bypass entry.
    BypassDestination = 9,
    /// A bypass entry that names clients, but no destinations.
    BypassSource = 10,
    /// The valve is open: steered SYNs did not reach the listener (a firewall's INPUT chain).
    NotDelivered = 11,
    /// The valve is open: origins do not answer our connections (NAT, asymmetric return).
    NoReturnPath = 12,
    /// At the connection limit.
    Overload = 13,
    /// No listener in the slot: the daemon is gone.
    NoListener = 14,
    /// The worker has not written its heartbeat in time: the daemon hangs.
    StaleHeartbeat = 15,
    /// On a bridge: the same client and origin are in use in another VLAN.
    VlanConflict = 16,
    /// A connection of this host itself, whose socket has a mark or a device of its own.
    OwnWay = 17,
    /// Our own connections to this origin, or all of a LAN's, come back to us: a router sends them
    /// here again.
    Looping = 18,
    /// It would have been intercepted, but for the mode.
    Shadow = 19,
    /// The client is not among the share of those that are intercepted.
    Canary = 20,
}

impl Reason {
    /// Number of reasons.
    pub const COUNT: u32 = 21;

    /// Every reason, in the order of their slots.
    pub const ALL: [Self; Self::COUNT as usize] = [
        Self::Intercepted,
        Self::NotFromLan,
        Self::FamilyOff,
        Self::OwnAddress,
        Self::LocalScope,
        Self::SelfLoop,
        Self::Draining,
        Self::RouteNotWan,
        Self::NoRoute,
        Self::BypassDestination,
        Self::BypassSource,
        Self::NotDelivered,
        Self::NoReturnPath,
        Self::Overload,
        Self::NoListener,
        Self::StaleHeartbeat,
        Self::VlanConflict,
        Self::OwnWay,
        Self::Looping,
        Self::Shadow,
        Self::Canary,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intercepted => "intercepted",
            Self::NotFromLan => "not-from-lan",
            Self::FamilyOff => "family-off",
            Self::OwnAddress => "own-address",
            Self::LocalScope => "local-scope",
            Self::SelfLoop => "self-loop",
            Self::Draining => "draining",
            Self::RouteNotWan => "route-not-wan",
            Self::NoRoute => "no-route",
            Self::BypassDestination => "bypass-destination",
            Self::BypassSource => "bypass-source",
            Self::NotDelivered => "not-delivered",
            Self::NoReturnPath => "no-return-path",
            Self::Overload => "overload",
            Self::NoListener => "no-listener",
            Self::StaleHeartbeat => "stale-heartbeat",
            Self::VlanConflict => "vlan-conflict",
            Self::OwnWay => "own-way",
            Self::Looping => "looping",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
        }
    }
}

/// Where a packet to the origin would be forwarded to.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Out of a WAN of ours.
    Wan = 0,
    /// Out of another interface.
    Elsewhere = 1,
    /// Nowhere.
    None = 2,
    /// Forwarding is off, so nothing would be forwarded anyway; nothing is lost by intercepting.
    ForwardingOff = 3,
    /// On a bridge: client and origin are in use in another VLAN.
    OtherVlan = 4,
}

/// The state of the listener that `sk_lookup` would choose for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// There, and its worker's heartbeat is fresh.
    Alive,
    /// The slot is empty.
    None,
    /// There, but its worker has been silent for too long.
    Stale,
}

/// What the bypass lists say of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Nothing, or an `intercept` entry that it is to be intercepted.
    No,
    /// An entry: it goes direct.
    Destination,
    /// An entry that names clients, but no destinations: it goes direct.
    Source,
}

/// What the decision asks about the world; each is asked only when what came before did not
/// decide, since each costs a lookup.
pub trait Facts {
    /// Whether the SYN arrived on a LAN of ours.
    fn arrived_on_lan(&self) -> bool;
    /// Whether `address` is this host's.
    fn is_own(&self, family: u32, address: &Address) -> bool;
    /// Whether a socket of ours is connecting with this flow, reversed: the SYN is our own.
    fn is_our_syn(&self) -> bool;
    /// Where the flow's packets would be forwarded to.
    fn route(&self, flow: &Flow) -> Route;
    /// What the bypass lists say of the flow; counts the entry's hit.
    fn bypass(&self, flow: &Flow) -> Bypass;
    /// Why the valve for this LAN, family or origin is open, if it is.
    fn valve(&self, flow: &Flow) -> Option<Reason>;
    /// Whether this SYN is the one in [`Settings::probe`] that is let through an open valve.
    fn is_probe(&self, one_in: u32) -> bool;
    /// The listener for the flow.
    fn listener(&self, flow: &Flow) -> Listener;
}

/// Decides about a SYN to a watched port. [`Reason::Intercepted`] means that it is ours.
#[inline(always)]
pub fn decide(settings: &Settings, flow: &Flow, facts: &impl Facts) -> Reason {
    if !facts.arrived_on_lan() {
        return Reason::NotFromLan;
    }
    let family_bit = if flow.family == IPV4 { 1 } else { 2 };
    if settings.families & family_bit == 0 {
        return Reason::FamilyOff;
    }
    if is_local_scope(flow.family, &flow.daddr) {
        return Reason::LocalScope;
    }
    if facts.is_own(flow.family, &flow.daddr) {
        return Reason::OwnAddress;
    }
    if facts.is_our_syn() {
        return Reason::SelfLoop;
    }
    if settings.mode == MODE_DRAIN {
        return Reason::Draining;
    }
    match facts.route(flow) {
        Route::Wan | Route::ForwardingOff => {}
        Route::Elsewhere => return Reason::RouteNotWan,
        Route::None => return Reason::NoRoute,
        Route::OtherVlan => return Reason::VlanConflict,
    }
    match facts.bypass(flow) {
        Bypass::No => {}
        Bypass::Destination => return Reason::BypassDestination,
        Bypass::Source => return Reason::BypassSource,
    }
    if key::bucket(&flow.saddr) >= settings.share {
        return Reason::Canary;
    }
    // Before what a daemon that is dead, or hangs, may have said last.
    match facts.listener(flow) {
        Listener::Alive => {}
        Listener::None => return Reason::NoListener,
        Listener::Stale => return Reason::StaleHeartbeat,
    }
    if let Some(reason) = facts.valve(flow)
        && !facts.is_probe(settings.probe)
    {
        return reason;
    }
    if settings.overload != 0 {
        return Reason::Overload;
    }
    if settings.mode == MODE_SHADOW {
        return Reason::Shadow;
    }
    Reason::Intercepted
}

/// Whether nothing beyond a link can have this destination: RFC 6890's registries, as far as
/// no router forwards them.
#[inline(always)]
#[must_use]
pub fn is_local_scope(family: u32, address: &Address) -> bool {
    let first = address[0].to_ne_bytes();
    if family == IPV4 {
        return first[0] == 0
            || first[0] == 127
            || (first[0] == 169 && first[1] == 254)
            || first[0] >= 224;
    }
    let upper_zero = address[0] == 0 && address[1] == 0 && address[2] == 0;
    first[0] == 0xff
        || (first[0] == 0xfe && first[1] & 0xc0 == 0x80)
        || (upper_zero && (address[3] == 0 || address[3] == 1u32.to_be()))
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;
    use crate::settings::{FAMILY_IPV4, FAMILY_IPV6, MODE_ENFORCE};

    struct World {
        arrived_on_lan: bool,
        own: bool,
        our_syn: bool,
        route: Route,
        bypass: Bypass,
        valve: Option<Reason>,
        probe: bool,
        listener: Listener,
    }

    const OPEN: World = World {
        arrived_on_lan: true,
        own: false,
        our_syn: false,
        route: Route::Wan,
        bypass: Bypass::No,
        valve: None,
        probe: false,
        listener: Listener::Alive,
    };

    impl Facts for World {
        fn arrived_on_lan(&self) -> bool {
            self.arrived_on_lan
        }
        fn is_own(&self, _: u32, _: &Address) -> bool {
            self.own
        }
        fn is_our_syn(&self) -> bool {
            self.our_syn
        }
        fn route(&self, _: &Flow) -> Route {
            self.route
        }
        fn bypass(&self, _: &Flow) -> Bypass {
            self.bypass
        }
        fn valve(&self, _: &Flow) -> Option<Reason> {
            self.valve
        }
        fn is_probe(&self, _: u32) -> bool {
            self.probe
        }
        fn listener(&self, _: &Flow) -> Listener {
            self.listener
        }
    }

    fn settings() -> Settings {
        Settings {
            mode: MODE_ENFORCE,
            families: FAMILY_IPV4 | FAMILY_IPV6,
            ..Settings::IDLE
        }
    }

    fn flow(destination: &str) -> Flow {
        let (family, daddr) = key::address(destination.parse::<IpAddr>().unwrap());
        Flow {
            family,
            saddr: [1; 4],
            daddr,
            sport: 1,
            dport: 80u16.to_be(),
        }
    }

    fn verdict(world: &World) -> Reason {
        decide(&settings(), &flow("203.0.113.7"), world)
    }

    #[test]
    fn an_ordinary_flow_is_intercepted() {
        assert_eq!(verdict(&OPEN), Reason::Intercepted);
        assert_eq!(
            decide(&settings(), &flow("2001:db8::7"), &OPEN),
            Reason::Intercepted
        );
    }

    /// The order of the issue: whatever stands earlier wins over all that stands later.
    #[test]
    fn reasons_are_given_in_order() {
        let mut world = World {
            arrived_on_lan: false,
            own: true,
            our_syn: true,
            route: Route::Elsewhere,
            bypass: Bypass::Destination,
            valve: None,
            probe: false,
            listener: Listener::None,
        };
        assert_eq!(verdict(&world), Reason::NotFromLan);
        world.arrived_on_lan = true;
        assert_eq!(verdict(&world), Reason::OwnAddress);
        world.own = false;
        assert_eq!(verdict(&world), Reason::SelfLoop);
        world.our_syn = false;
        assert_eq!(verdict(&world), Reason::RouteNotWan);
        world.route = Route::None;
        assert_eq!(verdict(&world), Reason::NoRoute);
        world.route = Route::OtherVlan;
        assert_eq!(verdict(&world), Reason::VlanConflict);
        world.route = Route::ForwardingOff;
        assert_eq!(verdict(&world), Reason::BypassDestination);
        world.bypass = Bypass::Source;
        assert_eq!(verdict(&world), Reason::BypassSource);
        world.bypass = Bypass::No;
        assert_eq!(verdict(&world), Reason::NoListener);
        world.listener = Listener::Stale;
        assert_eq!(verdict(&world), Reason::StaleHeartbeat);
        world.listener = Listener::Alive;
        assert_eq!(verdict(&world), Reason::Intercepted);
    }

    #[test]
    fn modes_valve_and_overload_let_flows_pass() {
        let f = flow("203.0.113.7");
        let draining = Settings {
            mode: crate::settings::MODE_DRAIN,
            ..settings()
        };
        assert_eq!(decide(&draining, &f, &OPEN), Reason::Draining);
        for reason in [Reason::NoReturnPath, Reason::NotDelivered, Reason::Looping] {
            let open = World {
                valve: Some(reason),
                ..OPEN
            };
            assert_eq!(decide(&settings(), &f, &open), reason);
            let probe = World {
                probe: true,
                ..open
            };
            assert_eq!(decide(&settings(), &f, &probe), Reason::Intercepted);
        }
        let full = Settings {
            overload: 1,
            ..settings()
        };
        assert_eq!(decide(&full, &f, &OPEN), Reason::Overload);
        // What a dead daemon has said last does not hide that it is dead.
        let dead = World {
            valve: Some(Reason::NotDelivered),
            listener: Listener::None,
            ..OPEN
        };
        assert_eq!(decide(&full, &f, &dead), Reason::NoListener);
        let v4_only = Settings {
            families: FAMILY_IPV4,
            ..settings()
        };
        assert_eq!(
            decide(&v4_only, &flow("2001:db8::7"), &OPEN),
            Reason::FamilyOff
        );
    }

    #[test]
    fn shadow_says_what_would_be_intercepted_and_nothing_else() {
        let f = flow("203.0.113.7");
        let shadow = Settings {
            mode: crate::settings::MODE_SHADOW,
            ..settings()
        };
        assert_eq!(decide(&shadow, &f, &OPEN), Reason::Shadow);
        for (world, reason) in [
            (
                World {
                    bypass: Bypass::Source,
                    ..OPEN
                },
                Reason::BypassSource,
            ),
            (
                World {
                    listener: Listener::Stale,
                    ..OPEN
                },
                Reason::StaleHeartbeat,
            ),
        ] {
            assert_eq!(decide(&shadow, &f, &world), reason);
        }
    }

    #[test]
    fn a_larger_share_only_adds_clients() {
        let mut before = 0;
        for share in 0..=100 {
            let settings = Settings {
                share,
                ..settings()
            };
            let taken = (0..2000u32).filter(|client| {
                let flow = Flow {
                    saddr: [(0x0a00_0000 + client).to_be(), 0, 0, 0],
                    ..flow("203.0.113.7")
                };
                let taken = decide(&settings, &flow, &OPEN) == Reason::Intercepted;
                assert_eq!(taken, key::bucket(&flow.saddr) < share);
                taken
            });
            let taken = taken.count();
            assert!(taken >= before);
            // Neighbours are no more likely to be in it than others.
            assert!(
                taken.abs_diff(20 * share as usize) < 150,
                "{share}: {taken}"
            );
            before = taken;
        }
        assert_eq!(before, 2000);
    }

    #[test]
    fn local_scope_never_leaves_the_link() {
        for local in [
            "0.0.0.0",
            "127.0.0.2",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
        ] {
            assert_eq!(
                decide(&settings(), &flow(local), &OPEN),
                Reason::LocalScope,
                "{local}"
            );
        }
        for global in [
            "1.1.1.1",
            "10.0.0.1",
            "169.253.0.1",
            "223.255.255.255",
            "::2",
            "fec0::1",
        ] {
            assert_eq!(
                decide(&settings(), &flow(global), &OPEN),
                Reason::Intercepted,
                "{global}"
            );
        }
    }

    #[test]
    fn slots_and_words_agree_with_the_list() {
        for (slot, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, slot);
        }
        for (slot, event) in crate::counter::Event::ALL.iter().enumerate() {
            assert_eq!(*event as usize, slot);
        }
    }
}
