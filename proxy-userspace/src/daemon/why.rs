//! `weir why`: what becomes of a connection, and what decides that.

use std::net::{IpAddr, SocketAddr};

use proxy_ebpf::{
    key,
    settings::{MODE_DRAIN, MODE_SHADOW, ROLE_LAN},
    trail::Trail,
    verdict::{self, Reason, Route},
};
use serde_json::{Value, json};

use super::{interfaces::Interface, keeper::Keeper};
use crate::{
    bypass::InterfaceName,
    config::OnOverload,
    control::{Answer, Query},
};

/// A client's port; which it is decides about the worker alone.
const PORT: u16 = 50_000;

/// A line of the story.
struct Step {
    /// Whether it goes on here.
    passed: bool,
    text: String,
}

impl Keeper {
    pub(super) fn why(&mut self, query: &Query) -> Answer {
        let (source, destination) = (
            query.source.to_canonical(),
            query.destination.to_canonical(),
        );
        if source.is_ipv4() != destination.is_ipv4() {
            return Answer::refused(format!(
                "{source} and {destination} are of different families, and no connection is"
            ));
        }
        let (lan, ifindex) = match self.entrance(query.interface.as_ref()) {
            Ok(entrance) => entrance,
            Err(refused) => return refused,
        };
        let bridge = self
            .interfaces
            .bridge()
            .and_then(|bridge| bridge.place)
            .map(|place| place.index);
        let client = SocketAddr::new(source, PORT);
        let origin = SocketAddr::new(destination, query.port);
        let trail = match self.dataplane.why(client, origin, ifindex, bridge) {
            Ok(trail) => trail,
            Err(error) => return Answer::failed(error),
        };
        let reason = Reason::ALL
            .into_iter()
            .find(|it| *it as u32 == trail.reason);
        let Some(reason) = reason else {
            return Answer::failed("the program did not take the frame for a SYN");
        };
        let asked = Query {
            interface: (trail.lan == 1).then(|| lan.parse().ok()).flatten(),
            ..query.clone()
        };
        let lists = match self.lists.test(Some(&mut self.dataplane), &asked) {
            Answer::Done(lists) => lists,
            failed => return failed,
        };
        let watched = trail.watched == 1;
        let steps = self.steps(&lan, source, destination, query.port, &trail, &lists);
        let verdict = match (watched, reason) {
            (false, _) => "direct",
            (true, Reason::Intercepted) => "intercepted",
            (true, Reason::NoListener | Reason::StaleHeartbeat) if self.is_closed(&lan) => {
                "refused"
            }
            (true, _) => "direct",
        };
        Answer::Done(json!({
            "client": source,
            "origin": origin,
            "interface": lan,
            "verdict": verdict,
            "reason": if watched { reason.as_str() } else { "port-not-watched" },
            "steps": steps.into_iter()
                .map(|step| json!({ "passed": step.passed, "text": step.text }))
                .collect::<Value>(),
            "then": self.then(verdict, source, &trail),
            "entry": lists["decides"],
            "others": lists["others"],
        }))
    }

    /// The LAN that is meant, and its index.
    fn entrance(&self, named: Option<&InterfaceName>) -> Result<(String, u32), Answer> {
        let names = |them: Vec<&Interface>| {
            let names: Vec<_> = them.iter().map(|it| it.name.as_str()).collect();
            names.join(", ")
        };
        let all: Vec<_> = self.interfaces.iter().collect();
        let lans: Vec<_> = all
            .iter()
            .copied()
            .filter(|it| it.role & ROLE_LAN != 0)
            .collect();
        let found = match named {
            // Also one that is no LAN: that is a reason, too.
            Some(name) => all.iter().copied().find(|it| it.name == name.to_string()),
            None if lans.len() > 1 => {
                return Err(Answer::refused(format!(
                    "there are several LANs ({}): say with --in which one it comes from",
                    names(lans)
                )));
            }
            None => lans.first().copied(),
        };
        let Some(interface) = found else {
            return Err(Answer::refused(format!(
                "no such interface of this instance; there are: {}",
                names(all)
            )));
        };
        match &interface.place {
            Some(place) => Ok((interface.name.clone(), place.index)),
            None => Err(Answer::refused(format!(
                "interface {} is not there now, so nothing comes from it",
                interface.name
            ))),
        }
    }

    fn is_closed(&self, lan: &str) -> bool {
        let mut all = self.interfaces.iter();
        all.any(|it| it.name == lan && it.on_failure() == Some("closed"))
    }

    /// The questions in the order in which they were asked, as far as they were.
    fn steps(
        &self,
        lan: &str,
        source: IpAddr,
        destination: IpAddr,
        port: u16,
        trail: &Trail,
        lists: &Value,
    ) -> Vec<Step> {
        let settings = self.dataplane.settings();
        let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
        let mut story = Story(Vec::new());
        story.ask(
            trail.watched == 1,
            format!("port {port} is watched"),
            || format!("port {port} is not watched: intercept.ports"),
        );
        story.ask(trail.lan == 1, format!("{lan} is a LAN"), || {
            format!("{lan} is no LAN: connections from there are not intercepted")
        });
        let bit = if source.is_ipv4() { 1 } else { 2 };
        story.ask(
            settings.families & bit != 0,
            format!("{family} is intercepted"),
            || format!("{family} is not intercepted: intercept.families, or off on this host"),
        );
        let (number, address) = key::address(destination);
        let is_local = verdict::is_local_scope(number, &address);
        story.ask(
            !is_local,
            format!("{destination} is beyond the link"),
            || format!("{destination} is link-local, loopback or multicast"),
        );
        story.ask(
            trail.own == 0,
            format!("{destination} is not this host's"),
            || format!("{destination} is this host's own address"),
        );
        story.ask(
            trail.our_syn == 0,
            "it is no connection of ours".to_owned(),
            || "a socket of ours is connecting with it: our own SYN came back".to_owned(),
        );
        story.ask(
            settings.mode != MODE_DRAIN,
            "the daemon is not stopping".to_owned(),
            || "the daemon is stopping: new flows go direct".to_owned(),
        );
        let (routed, text) = self.routed(trail);
        story.answer(routed, text);
        let entry = lists["decides"]["entry"].as_str();
        let list = lists["decides"]["list"].as_str().unwrap_or("?");
        let action = lists["decides"]["action"].as_str();
        story.answer(
            action != Some("bypass"),
            match entry {
                None => "no bypass entry matches".to_owned(),
                Some(entry) if action == Some("bypass") => {
                    format!("bypassed by {entry} (list {list})")
                }
                Some(entry) => format!("{entry} (list {list}) says intercept"),
            },
        );
        let (_, address) = key::address(source);
        let bucket = key::bucket(&address);
        let share = settings.share;
        story.ask(
            bucket < share,
            format!("{source} is among the share of {share} % (its number is {bucket})"),
            || format!("{source} is not among the share of {share} % (its number is {bucket})"),
        );
        story.answer(
            trail.listener == 1,
            match trail.listener {
                0 => format!(
                    "worker {} has no listener: the daemon is gone",
                    trail.worker
                ),
                2 => format!(
                    "worker {} has given no sign of life for {} ms: the daemon hangs",
                    trail.worker, trail.silent_ms
                ),
                _ => format!(
                    "its worker listens and lives (for port {PORT} of the client: worker {}, last \
                     sign of life {} ms ago)",
                    trail.worker, trail.silent_ms
                ),
            },
        );
        let valve = Reason::ALL
            .into_iter()
            .find(|reason| *reason as u32 + 1 == trail.valve);
        story.answer(
            valve.is_none(),
            match valve {
                None => "no valve is open".to_owned(),
                Some(why) => format!(
                    "a valve is open: {why} (one SYN in {probe} is tried)",
                    why = why.as_str(),
                    probe = settings.probe
                ),
            },
        );
        story.ask(
            settings.overload == 0,
            "no limit is reached".to_owned(),
            || {
                let reached: Vec<_> = self.overload.reached().collect();
                format!("a limit is reached: {}", reached.join(", "))
            },
        );
        story.ask(
            settings.mode != MODE_SHADOW,
            "the mode is enforce".to_owned(),
            || "the mode is shadow: it is only counted".to_owned(),
        );
        story.0
    }

    fn routed(&self, trail: &Trail) -> (bool, String) {
        const WAN: u32 = Route::Wan as u32;
        const ELSEWHERE: u32 = Route::Elsewhere as u32;
        const OFF: u32 = Route::ForwardingOff as u32;
        let all = || self.interfaces.iter();
        let out = all().find(|it| it.place.is_some_and(|place| place.index == trail.out));
        let named = out.map_or_else(|| format!("interface {}", trail.out), |it| it.name.clone());
        match trail.route {
            WAN if trail.out == 0 => (
                true,
                "taken to be behind a WAN port: which station it is sent to is not known here"
                    .to_owned(),
            ),
            WAN => (true, format!("the route leads out of {named}, a WAN")),
            ELSEWHERE => (
                false,
                format!("the route leads out of {named}, which is no WAN"),
            ),
            OFF => (
                true,
                "forwarding is off, so nothing could go direct".to_owned(),
            ),
            _ => (
                false,
                "the kernel has no route for it, or refuses it".to_owned(),
            ),
        }
    }

    /// What the kernel, and the daemon, do with it then.
    fn then(&self, verdict: &str, source: IpAddr, trail: &Trail) -> String {
        let plan = &self.plan;
        match verdict {
            "intercepted" => {
                let queue = match self.options.config.intercept.on_overload {
                    OnOverload::Queue => ", or waits at a limit",
                    OnOverload::Open => "",
                };
                format!(
                    "marked {:#x}, by rule {} to table {}, delivered to the listener of worker \
                     {}{queue}; the origin is connected from {}",
                    plan.steer_mark,
                    plan.priority,
                    plan.table,
                    trail.worker,
                    match self.options.config.spoof.source {
                        crate::config::SpoofSource::Proxy => "this host's address".to_owned(),
                        _ => format!("{source}, unless a rule says otherwise"),
                    }
                )
            }
            "refused" => {
                "answered with a reset by the kernel program: the LAN fails closed".to_owned()
            }
            _ => "forwarded by the kernel as without weir".to_owned(),
        }
    }
}

/// The lines, up to the one that decides.
struct Story(Vec<Step>);

impl Story {
    fn answer(&mut self, passed: bool, text: String) {
        if self.0.last().is_none_or(|step| step.passed) {
            self.0.push(Step { passed, text });
        }
    }

    fn ask(&mut self, passed: bool, yes: String, no: impl FnOnce() -> String) {
        self.answer(passed, if passed { yes } else { no() });
    }
}
