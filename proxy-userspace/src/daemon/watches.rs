//! Those who watch decisions (`weir why --watch`): each has a place in the kernel, as long as its
//! connection lasts and this daemon says so.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use proxy_ebpf::{
    abi::MAX_WATCHES,
    key,
    output::LOOPBACK,
    settings::Settings,
    verdict::Reason,
    watch::{self, Decision, SPAN, Shape, Watch},
};
use serde_json::json;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::keeper::Keeper;
use crate::{
    control::{Answer, Decided, Told, Wanted, Watcher},
    dataplane::{
        DataplaneError,
        watch::{Untold, now},
    },
};

/// How long the programs go on for a daemon that does not say so again, as one that has died.
const LEASE: Duration = Duration::from_secs(5);

/// How often it is said how much is not told.
const REPORT: Duration = Duration::from_secs(1);

/// The most that is looked at in a tick, for the other things that the keeper does.
const AT_ONCE: usize = 8192;

/// The places, of which some are taken.
#[derive(Default)]
pub(super) struct Watches([Option<Held>; MAX_WATCHES as usize]);

/// A place that is taken.
pub(super) struct Held {
    wanted: Wanted,
    told: mpsc::Sender<Told>,
    /// What is older is of whoever had the place before.
    since: u64,
    /// The number of the [`SPAN`] that `count` is of, and how many were told within it.
    span: u64,
    count: u64,
    /// What this daemon itself has not told.
    untold: Untold,
    /// What has been said of that, and when.
    reported: Untold,
    looked: Instant,
}

impl Keeper {
    /// How many watch.
    pub(super) fn watching(&self) -> usize {
        self.watches.0.iter().flatten().count()
    }

    /// Takes one on, or says why not.
    pub(super) fn begin_watch(&mut self, watcher: Watcher) {
        let Watcher {
            wanted,
            reply,
            told,
        } = watcher;
        // Whoever has gone by now is not taken on.
        self.end_watches(|it| it.told.is_closed());
        let answer = match self.give_place(wanted, told) {
            Ok(()) => Answer::Done(json!({ "watching": self.watching() })),
            Err(answer) => answer,
        };
        let _ = reply.send(answer);
    }

    fn give_place(&mut self, wanted: Wanted, told: mpsc::Sender<Told>) -> Result<(), Answer> {
        let reasons = numbers(&wanted.reasons).map_err(Answer::refused)?;
        if let Some(name) = &wanted.interface
            && !self.interfaces.iter().any(|it| it.name == name.to_string())
        {
            let all: Vec<_> = self.interfaces.iter().map(|it| it.name.as_str()).collect();
            return Err(Answer::refused(format!(
                "no such interface of this instance; there are: {}",
                all.join(", ")
            )));
        }
        let Some(place) = self.watches.0.iter().position(Option::is_none) else {
            return Err(Answer::refused(format!(
                "{MAX_WATCHES} watch already: end one of them"
            )));
        };
        let number = u32::try_from(place).unwrap_or_default();
        let watch = self.watch(&wanted, reasons);
        let begun = self
            .dataplane
            .reset_watch(number)
            .and_then(|()| self.dataplane.set_watch(number, watch));
        begun.map_err(Answer::failed)?;
        self.watches.0[place] = Some(Held {
            wanted,
            told,
            since: now(),
            span: 0,
            count: 0,
            untold: Untold::default(),
            reported: Untold::default(),
            looked: Instant::now(),
        });
        self.tell_whether_watched().map_err(|error| {
            self.watches.0[place] = None;
            Answer::failed(error)
        })
    }

    /// Passes decisions on, and holds the places of those who are there still.
    pub(super) fn tend_watches(&mut self) {
        if self.watching() == 0 {
            return;
        }
        self.end_watches(|it| it.told.is_closed());
        self.pass_on();
        for place in 0..self.watches.0.len() {
            let number = u32::try_from(place).unwrap_or_default();
            let Some(held) = &self.watches.0[place] else {
                continue;
            };
            let reasons = numbers(&held.wanted.reasons).unwrap_or(0);
            let watch = self.watch(&held.wanted.clone(), reasons);
            if let Err(error) = self.dataplane.set_watch(number, watch) {
                tracing::debug!(%error, "a watch ends by itself");
            }
            let kernel = self.dataplane.untold(number).unwrap_or_default();
            if let Some(held) = &mut self.watches.0[place] {
                held.report(kernel);
            }
        }
    }

    /// Ends those of which this holds.
    pub(super) fn end_watches(&mut self, ends: impl Fn(&Held) -> bool) {
        for place in 0..self.watches.0.len() {
            if self.watches.0[place].as_ref().is_some_and(&ends) {
                self.watches.0[place] = None;
                let number = u32::try_from(place).unwrap_or_default();
                if let Err(error) = self.dataplane.set_watch(number, Watch::NONE) {
                    tracing::debug!(%error, "a watch ends by itself");
                }
            }
        }
        if let Err(error) = self.tell_whether_watched() {
            tracing::error!(%error, "cannot tell the kernel");
        }
    }

    fn tell_whether_watched(&mut self) -> Result<(), DataplaneError> {
        let settings = Settings {
            watch: u32::from(self.watching() > 0),
            ..*self.dataplane.settings()
        };
        if settings == *self.dataplane.settings() {
            return Ok(());
        }
        self.dataplane.set_settings(settings)
    }

    /// What the programs are told of it. An interface that is not there now may come.
    fn watch(&self, wanted: &Wanted, reasons: u64) -> Watch {
        let mut watch = Watch {
            until: now() + u64::try_from(LEASE.as_nanos()).unwrap_or(u64::MAX),
            reasons,
            sample: wanted.sample.max(1),
            rate: wanted.rate,
            ..Watch::NONE
        };
        let Watch { shape, mask, .. } = &mut watch;
        if let Some(source) = wanted.source {
            (shape.saddr, mask.saddr) = bits(source, shape, mask);
        }
        if let Some(destination) = wanted.destination {
            (shape.daddr, mask.daddr) = bits(destination, shape, mask);
        }
        if let Some(port) = wanted.port {
            (shape.dport, mask.dport) = (u32::from(port.to_be()), u32::MAX);
        }
        if let Some(name) = &wanted.interface {
            let name = name.to_string();
            let found = self.interfaces.iter().find(|it| it.name == name);
            let place = found.and_then(|it| it.place);
            (shape.ifindex, mask.ifindex) = (place.map_or(0, |place| place.index), u32::MAX);
        }
        watch
    }

    fn pass_on(&mut self) {
        let (monotonic, wall) = (now(), since_1970());
        for _ in 0..AT_ONCE {
            let Some(decision) = self.dataplane.next_decision() else {
                return;
            };
            let place = decision.watch as usize;
            let Some(mut held) = self.watches.0.get_mut(place).and_then(Option::take) else {
                continue;
            };
            if decision.time >= held.since {
                let age = Duration::from_nanos(monotonic.saturating_sub(decision.time));
                held.tell(&decision, || {
                    self.decided(&decision, wall.saturating_sub(age))
                });
            }
            self.watches.0[place] = Some(held);
        }
    }

    fn decided(&self, decision: &Decision, at: Duration) -> Decided {
        let index = decision.ifindex;
        let mut all = self.interfaces.iter();
        let found = all.find(|it| it.place.is_some_and(|place| place.index == index));
        let interface = match found {
            Some(found) => found.name.clone(),
            None if index == LOOPBACK => "lo".to_owned(),
            None => index.to_string(),
        };
        Decided {
            time_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            interface,
            client: decision.flow.source(),
            origin: decision.flow.destination(),
            verdict: verdict(decision).to_owned(),
            reason: word(decision.reason).to_owned(),
            vlan: decision.vlan(),
        }
    }
}

impl Held {
    /// The kernel's limit is for each CPU; this is the one for all.
    fn tell(&mut self, decision: &Decision, decided: impl FnOnce() -> Decided) {
        let span = decision.time / SPAN;
        if self.span != span {
            (self.span, self.count) = (span, 0);
        }
        if self.count >= u64::from(self.wanted.rate) {
            self.untold.limited += 1;
            return;
        }
        self.count += 1;
        if let Err(TrySendError::Full(_)) = self.told.try_send(Told::Decision(decided())) {
            self.untold.lost += 1;
        }
    }

    /// Says how much is not told, if that is more than was said last, and that is a while ago.
    fn report(&mut self, kernel: Untold) {
        if self.looked.elapsed() < REPORT {
            return;
        }
        self.looked = Instant::now();
        let all = Untold {
            sampled: kernel.sampled + self.untold.sampled,
            limited: kernel.limited + self.untold.limited,
            lost: kernel.lost + self.untold.lost,
        };
        if all == self.reported {
            return;
        }
        let hidden = Told::Hidden {
            sampled: all.sampled.saturating_sub(self.reported.sampled),
            limited: all.limited.saturating_sub(self.reported.limited),
            lost: all.lost.saturating_sub(self.reported.lost),
        };
        // If there is no room for it, it is said with what comes next.
        if self.told.try_send(hidden).is_ok() {
            self.reported = all;
        }
    }
}

/// What has become of it, in a word.
fn verdict(decision: &Decision) -> &'static str {
    const REFUSED: [u32; 2] = [Reason::NoListener as u32, Reason::StaleHeartbeat as u32];
    match decision.outcome {
        watch::DIRECT => "direct",
        watch::INTERCEPTED => "intercepted",
        _ if REFUSED.contains(&decision.reason) => "refused",
        _ => "dropped",
    }
}

fn word(number: u32) -> &'static str {
    let mut all = watch::reasons();
    all.find(|(it, _)| *it == number)
        .map_or("unknown", |(_, word)| word)
}

/// A bit for each of these reasons; for every one, if there are none.
fn numbers(words: &[String]) -> Result<u64, String> {
    if words.is_empty() {
        return Ok(u64::MAX);
    }
    words.iter().try_fold(0, |bits, word| {
        let mut all = watch::reasons();
        all.find(|(_, it)| it == word)
            .map(|(number, _)| bits | 1 << number)
            .ok_or_else(|| format!("no reason \"{word}\""))
    })
}

/// The bits of a prefix, and which of them count; both have its family.
fn bits(prefix: IpNet, shape: &mut Shape, mask: &mut Shape) -> (key::Address, key::Address) {
    let (family, address) = key::address(prefix.network());
    let (_, bits) = key::address(prefix.netmask());
    (shape.family, mask.family) = (family, u32::MAX);
    (address, bits)
}

fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}
