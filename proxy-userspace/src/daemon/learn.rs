//! What sessions have seen becomes lessons.

use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::{Value, json};

use super::keeper::Keeper;
use crate::{
    bypass::Timestamp,
    config::Config,
    learn::{Kind, Lesson, Prefixes, Terms},
    observe::Seldom,
};

impl Keeper {
    /// Takes in what sessions have seen. With each tick and not with each event: nothing is so
    /// urgent that a busy router should wake the keeper thousands of times a second for it.
    pub(super) fn learn(&mut self) {
        let now = Instant::now();
        // Sessions go on reporting meanwhile: no more than what could have been waiting.
        for _ in 0..self.seen.max_capacity() {
            let Ok(event) = self.seen.try_recv() else {
                return;
            };
            let lesson = self.learner.observe(&event, now);
            if event.kind == Kind::WentAround {
                let events = self.options.config.bypass.learn.events;
                self.astray
                    .note(&event.pair(), lesson.as_ref(), events, now);
            }
            if let Some(lesson) = lesson {
                self.learned(&lesson);
            }
        }
    }

    /// `learn` of `weir status --json`.
    pub(super) fn learn_status(&self) -> Value {
        json!({
            "enabled": self.options.config.bypass.learn.enabled,
            "lessons": self.learner.lessons(),
            "events_lost": self.lasting.reports.lost(),
        })
    }

    /// A destination had better be left alone.
    fn learned(&mut self, lesson: &Lesson) {
        let ends = Timestamp::from_unix(Timestamp::now().unix() + lesson.lifetime.as_secs());
        match self.lists.learned(&mut self.dataplane, lesson, ends) {
            Ok(entry) => {
                static TOLD: Seldom = Seldom::new(20);
                if let Some(held_back) = TOLD.pass() {
                    tracing::info!(%entry, held_back, "learned: this goes direct from now on");
                }
            }
            Err(error) => {
                let (destination, source) = (lesson.destination, lesson.source);
                static TOLD: Seldom = Seldom::new(1);
                if let Some(held_back) = TOLD.pass() {
                    tracing::warn!(%error, ?destination, ?source, held_back, "not learned");
                }
                self.learner.forget(destination, source);
            }
        }
    }

    /// What was learned before the start counts on.
    pub(super) fn remember_lessons(&mut self) {
        let now = Timestamp::now().unix();
        for (destination, source, cause, ends) in self.lists.lessons() {
            let left = Duration::from_secs(ends.unix().saturating_sub(now));
            self.learner
                .remember(destination, source, cause, Instant::now() + left);
        }
    }
}

/// What it takes to learn something, by the configuration.
///
/// A rule names a destination by a prefix. One that is about hosts cannot be meant: what is not
/// HTTP has none, and neither has a connect that failed.
pub(super) fn terms(config: &Config) -> Terms {
    let learn = &config.bypass.learn;
    let named = config
        .rules
        .iter()
        .flat_map(|rule| &rule.conditions.destinations);
    Terms {
        enabled: learn.enabled,
        events: learn.events,
        window: learn.window,
        lifetime: learn.lifetime,
        clients: learn.clients,
        limit: learn.limit,
        never: Prefixes::new(learn.never.iter().copied()),
        named: Prefixes::new(named.copied().filter(names_something)),
    }
}

/// A prefix of everything is no more of a name than none.
fn names_something(prefix: &IpNet) -> bool {
    prefix.prefix_len() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_destinations_by_prefixes() {
        let text = r#"
            [[rule]]
            action = "deny"
            destination = ["192.0.2.0/24", "2001:db8::7"]
            [[rule]]
            action = "deny"
            destination = "0.0.0.0/0"
            host = "198.51.100.7"
        "#;
        let named = terms(&Config::parse(text, "weir.toml").unwrap()).named;
        for (address, is_named) in [
            ("192.0.2.9", true),
            ("2001:db8::7", true),
            ("2001:db8::8", false),
            ("198.51.100.7", false),
        ] {
            assert_eq!(
                named.contains(address.parse().unwrap()),
                is_named,
                "{address}"
            );
        }
    }
}
