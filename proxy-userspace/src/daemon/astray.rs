//! Answers that go around us: connects whose answer came to the client by another way.
//!
//! The programs see the client refuse such an answer; the connect ends at once, the client is
//! reset so that it comes again, and the learner makes it go direct. Where it may not, somebody
//! has to be told.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::keeper::Keeper;
use crate::{
    learn::{Lesson, Pair},
    observe::Seldom,
};

/// Pairs that are told of at once; who has more has one trouble, not so many.
const PAIRS: usize = 64;

/// Connects that are looked at with one tick: others go on meanwhile.
const AT_ONCE: usize = 1024;

/// Pairs for which nothing was learned.
#[derive(Debug, Default)]
pub(super) struct Astray(BTreeMap<Pair, Seen>);

#[derive(Debug)]
struct Seen {
    events: u32,
    last: Instant,
}

impl Astray {
    /// An answer went around us, and so much was learned from it. Warns when that has happened to
    /// a pair `enough` times, and nothing is learned.
    pub(super) fn note(&mut self, pair: &Pair, lesson: Option<&Lesson>, enough: u32, now: Instant) {
        if let Some(lesson) = lesson {
            self.0.retain(|other, _| !covers(lesson, other));
            return;
        }
        if self.0.len() >= PAIRS && !self.0.contains_key(pair) {
            return;
        }
        let seen = self.0.entry(*pair).or_insert(Seen {
            events: 0,
            last: now,
        });
        (seen.events, seen.last) = (seen.events.saturating_add(1), now);
        if seen.events == enough {
            static TOLD: Seldom = Seldom::new(10);
            if let Some(held_back) = TOLD.pass() {
                tracing::warn!(held_back, "{}", text(pair));
            }
        }
    }

    /// Forgets what has not happened for a while.
    fn expire(&mut self, now: Instant, window: Duration) {
        self.0
            .retain(|_, seen| now.saturating_duration_since(seen.last) <= window);
    }

    /// What `weir status` warns of.
    fn warnings(&self, enough: u32) -> impl Iterator<Item = String> {
        let often = self.0.iter().filter(move |(_, seen)| seen.events >= enough);
        often.map(|(pair, _)| text(pair))
    }
}

impl Keeper {
    /// Ends the connects whose answers went around us.
    pub(super) fn look_for_strays(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(flow) = self.dataplane.went_around() else {
                break;
            };
            let connects = &self.lasting.connects;
            connects.went_around(flow.source(), flow.destination());
        }
        let window = self.options.config.bypass.learn.window;
        self.astray.expire(Instant::now(), window);
    }

    /// Warnings about answers that go around us, and that nothing is learned from.
    pub(super) fn astray(&self) -> impl Iterator<Item = String> {
        self.astray
            .warnings(self.options.config.bypass.learn.events)
    }
}

fn covers(lesson: &Lesson, pair: &Pair) -> bool {
    lesson.destination.is_none_or(|to| to == pair.destination)
        && lesson.source.is_none_or(|from| from == pair.client)
}

fn text(pair: &Pair) -> String {
    let Pair {
        client,
        destination,
    } = pair;
    format!(
        "asymmetric return: what {destination} answers comes to {client} by a way that does not \
         pass this host, so connections between them cannot be intercepted; let them go direct \
         (weir bypass add {} --src {client}), have them learned (bypass.learn.enabled), or \
         lead the answers through here",
        destination.ip()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Cause;

    fn pair(client: &str, destination: &str) -> Pair {
        Pair::new(client.parse().unwrap(), destination.parse().unwrap())
    }

    fn lesson(client: &str, destination: Option<&str>) -> Lesson {
        Lesson {
            destination: destination.map(|it| it.parse().unwrap()),
            source: Some(client.parse().unwrap()),
            reason: Cause::AsymmetricReturn,
            clients: 1,
            events: 3,
            lifetime: Duration::from_secs(1),
            replaces: vec![],
        }
    }

    #[test]
    fn what_is_not_learned_is_told_of_for_a_while() {
        let now = Instant::now();
        let mut astray = Astray::default();
        let one = pair("10.0.0.2", "203.0.113.7:80");
        for count in 1..=3 {
            astray.note(&one, None, 3, now);
            assert_eq!(astray.warnings(3).count(), usize::from(count == 3));
        }
        let told: Vec<_> = astray.warnings(3).collect();
        assert!(
            told[0].contains("203.0.113.7:80 answers comes to 10.0.0.2 "),
            "{told:?}"
        );
        astray.expire(now + Duration::from_secs(5), Duration::from_secs(5));
        assert_eq!(astray.warnings(3).count(), 1);
        astray.expire(now + Duration::from_secs(6), Duration::from_secs(5));
        assert_eq!(astray.warnings(3).count(), 0);
    }

    #[test]
    fn what_is_learned_is_told_of_no_more() {
        let now = Instant::now();
        let mut astray = Astray::default();
        let pairs = ["203.0.113.7:80", "203.0.113.8:80"].map(|to| pair("10.0.0.2", to));
        let other = pair("10.0.0.3", "203.0.113.7:80");
        for pair in pairs.iter().chain([&other]) {
            astray.note(pair, None, 1, now);
        }
        assert_eq!(astray.warnings(1).count(), 3);
        let narrow = lesson("10.0.0.2", Some("203.0.113.7:80"));
        astray.note(&pairs[0], Some(&narrow), 1, now);
        assert_eq!(astray.warnings(1).count(), 2);
        astray.note(&pairs[1], Some(&lesson("10.0.0.2", None)), 1, now);
        assert_eq!(astray.warnings(1).count(), 1);
    }

    #[test]
    fn no_more_are_remembered_than_are_told_of() {
        let now = Instant::now();
        let mut astray = Astray::default();
        for port in 1..1000 {
            let to = format!("203.0.113.7:{port}");
            astray.note(&pair("10.0.0.2", &to), None, 1, now);
        }
        assert_eq!(astray.warnings(1).count(), PAIRS);
    }
}
