//! Connections of ours that come back to us: a router that sends port 80 to Weir does so with
//! Weir's own.
//!
//! The programs see a packet that goes round, and break the loop there. The origin that it was for
//! is gone to directly for a while, and who waits for it is reset, so as to come again. Once so
//! many different origins are like that, and none has answered meanwhile, it is not an origin's
//! fault: the valve of the family opens. One origin is not enough, as any client can ask for an
//! address that some network behind us has a routing loop for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::Result;
use proxy_ebpf::{
    looping::{Looping, MEMORY_NS, What},
    verdict::Reason,
};

use super::{keeper::Keeper, valves::FAMILIES};
use crate::observe::Seldom;

/// Whoever sends our packets back can have the valve of a family open and close.
static TURNS: [Seldom; 2] = [Seldom::new(10), Seldom::new(10)];

/// Different origins that our packets come back from before the valve opens.
const ORIGINS: usize = 3;

/// How long a loop is told of after it was seen.
const MEMORY: Duration = Duration::from_nanos(MEMORY_NS);

/// What is known of loops.
#[derive(Default)]
pub(super) struct Loops {
    /// When the last one was seen that has been looked at, by the programs' clock.
    looked: u64,
    /// IPv4, IPv6.
    families: [Family; 2],
    /// What goes round where, and when it was seen last.
    told: BTreeMap<(String, Told), Instant>,
}

#[derive(Default)]
struct Family {
    /// Origins whose SYNs have come back since then, and none has answered.
    silent: Option<(Instant, BTreeSet<IpAddr>)>,
    /// When the valve opened, if it is open.
    opened: Option<Instant>,
}

/// What an operator is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    Ours,
    Direct,
    Answer,
}

impl Told {
    const ALL: [(Self, What); 3] = [
        (Self::Ours, What::Ours),
        (Self::Direct, What::Direct),
        (Self::Answer, What::Answer),
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::Ours => {
                "weir's connections to origins come back to it: the router that sends it port 80 has \
                 to exempt what comes from weir, by interface or MAC address, not by its addresses, \
                 which are the clients'; until then, those origins are gone to directly"
            }
            Self::Direct => {
                "connections that weir lets go direct come back to it, too: the router exempts \
                 nothing that comes from weir, and nobody gets through"
            }
            Self::Answer => {
                "weir's answers to clients come back to it: the router that sends it origins' \
                 answers has to exempt what comes from weir, by interface or MAC address, not by its \
                 addresses, which are the origins'"
            }
        }
    }
}

impl Family {
    /// Notes that our SYN to `origin` came back. `answered_since` says whether any origin has
    /// answered since a moment. True if the valve opens.
    fn note(
        &mut self,
        now: Instant,
        origin: IpAddr,
        answered_since: impl Fn(Instant) -> bool,
    ) -> bool {
        if self
            .silent
            .as_ref()
            .is_some_and(|(since, _)| answered_since(*since))
        {
            self.silent = None;
        }
        let (_, origins) = self.silent.get_or_insert_with(|| (now, BTreeSet::new()));
        origins.insert(origin);
        let opens = self.opened.is_none() && origins.len() >= ORIGINS;
        if opens {
            self.opened = Some(now);
        }
        opens
    }
}

impl Loops {
    /// IPv4, IPv6: whether the valve is open.
    pub(super) fn open_valves(&self) -> [bool; 2] {
        [0, 1].map(|place| self.families[place].opened.is_some())
    }

    /// What `weir status` warns of.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let told = self.told.keys();
        told.map(|(interface, what)| format!("interface {interface}: {}", what.text()))
    }
}

impl Keeper {
    /// Opens and closes what has to be; true if the warnings have changed.
    pub(super) fn look_at_loops(&mut self) -> bool {
        let found = match self.new_loops() {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "loops may go unnoticed");
                return false;
            }
        };
        let now = Instant::now();
        let before = self.loops.told.len();
        let given_up: Vec<_> = found
            .iter()
            .filter(|(_, _, what)| *what == Told::Ours)
            .map(|(origin, ..)| *origin)
            .collect();
        for origin in &given_up {
            self.note_loop(now, *origin);
        }
        if !given_up.is_empty() {
            self.lasting.pending.give_up(given_up);
        }
        let mut changed = false;
        for (_, interface, what) in found {
            changed |= self.loops.told.insert((interface, what), now).is_none();
        }
        self.close_looping(now);
        let any_open = self.loops.open_valves() != [false; 2];
        let memory = |last: &Instant| any_open || now.duration_since(*last) < MEMORY;
        self.loops.told.retain(|_, last| memory(last));
        changed || self.loops.told.len() < before
    }

    /// What has come round since the last look: the origin, the interface by which, and what.
    fn new_loops(&mut self) -> Result<Vec<(IpAddr, String, Told)>> {
        let last = self.dataplane.looped()?;
        if last == self.loops.looked {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (origin, looping) in self.dataplane.looping()? {
            let name = self.name_of(&looping);
            for (told, what) in Told::ALL {
                if looping.seen[what as usize] > self.loops.looked {
                    found.push((origin, name.clone(), told));
                }
            }
        }
        self.loops.looked = last;
        Ok(found)
    }

    fn name_of(&self, looping: &Looping) -> String {
        let at = |index: Option<u32>| index == Some(looping.ifindex);
        let interface = self
            .interfaces
            .iter()
            .find(|it| at(it.place.map(|p| p.index)));
        interface.map_or_else(|| format!("#{}", looping.ifindex), |it| it.name.clone())
    }

    fn note_loop(&mut self, now: Instant, origin: IpAddr) {
        let ipv6 = origin.is_ipv6();
        let pending = &self.lasting.pending;
        let family = &mut self.loops.families[usize::from(ipv6)];
        tracing::debug!(%origin, "our SYN came back");
        if family.note(now, origin, |since| pending.answered_since(ipv6, since))
            && self.options.config.valve.enabled
            && let Some(held_back) = TURNS[usize::from(ipv6)].pass()
        {
            tracing::error!(
                held_back,
                reason = Reason::Looping.as_str(),
                family = FAMILIES[usize::from(ipv6)].1,
                "valve opened: our connections to origins come back to us; new flows go direct, \
                 one in {} is tried",
                self.options.config.valve.probe
            );
        }
    }

    /// Closes the valves of families in which an origin has answered.
    fn close_looping(&mut self, now: Instant) {
        for (place, (_, name)) in FAMILIES.into_iter().enumerate() {
            let family = &mut self.loops.families[place];
            let pending = &self.lasting.pending;
            let answered = |then| pending.answered_since(place == 1, then);
            if !family.opened.is_some_and(answered) {
                continue;
            }
            *family = Family::default();
            if let Some(held_back) = TURNS[place].pass() {
                tracing::warn!(family = name, held_back, "valve closed: intercepting again");
            }
            self.loops.told.retain(|_, last| *last == now);
            if let Err(error) = self.dataplane.forget_looping() {
                tracing::error!(%error, "some origins are gone to directly for a minute");
            }
        }
    }

    /// As if none had ever been seen.
    pub(super) fn forget_loops(&mut self) {
        let looked = self.loops.looked;
        self.loops = Loops {
            looked,
            ..Loops::default()
        };
        if let Err(error) = self.dataplane.forget_looping() {
            tracing::error!(%error, "some origins are gone to directly for a minute");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> IpAddr {
        IpAddr::from([203, 0, 113, last])
    }

    #[test]
    fn several_origins_open_the_valve_and_one_does_not() {
        let now = Instant::now();
        let mut family = Family::default();
        for _ in 0..9 {
            assert!(!family.note(now, origin(1), |_| false));
        }
        assert!(!family.note(now, origin(2), |_| false));
        assert!(family.note(now, origin(3), |_| false));
        assert!(family.opened.is_some());
        assert!(!family.note(now, origin(4), |_| false), "it is open");
    }

    #[test]
    fn an_origin_that_answers_is_a_way_out() {
        let now = Instant::now();
        let mut family = Family::default();
        for last in 1..9 {
            assert!(!family.note(now, origin(last), |_| true));
        }
    }
}
