//! Room `policy`: what is done with a request, by the rules of the configuration.
//!
//! [`Policy::compile`] turns the rules into something that answers for any of ten thousand in
//! about a microsecond, without allocating: an index (`index.rs`) from what a request is about to
//! the few rules that may be meant, and all regular expressions as one question (`regexes/`).
//! The first rule that holds decides; `docs/RULES.md` says what the conditions mean.
//!
//! Hosts and paths are compared in [normal form](crate::config::normal_path), so that no spelling
//! of them goes around a rule. Nothing here changes what is forwarded.

mod answer;
mod checks;
mod clock;
mod error;
mod hosts;
mod index;
mod nested;
mod numbering;
mod paths;
mod prefixes;
mod query;
mod regexes;
mod rule;

use std::cell::RefCell;

use self::{
    clock::Moment,
    index::Index,
    numbering::Numbering,
    query::{Query, Scratch},
    regexes::Regexes,
};
use crate::{
    addr::{ClientAddr, OriginAddr},
    config,
};

pub use self::{
    error::PolicyError,
    rule::{HeadEdits, Rule},
};
pub use crate::config::{Action, Source};

/// The rules, compiled. Shared by all workers.
pub struct Policy {
    rules: Box<[Rule]>,
    /// For each rule, whether the request must be known.
    concern_request: Box<[bool]>,
    /// All rules.
    of_requests: Index,
    /// Those before `any_connection`, with their conditions on the connection alone.
    of_connections: Index,
    /// The first rule without a condition on the connection.
    any_connection: Option<u32>,
    /// Those without a condition on the request.
    without_request: Index,
    /// Their numbers among all.
    without_request_numbers: Box<[u32]>,
    host_regexes: Regexes,
    path_regexes: Regexes,
}

/// What is known of a connection when it has been accepted.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionFacts {
    /// Who connects.
    pub client: ClientAddr,
    /// Whom the client dialled.
    pub origin: OriginAddr,
}

/// What a request's head says.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'r> {
    /// The method as it came.
    pub method: &'r str,
    /// Host, or the authority of a target in absolute or authority form, as it came, with its
    /// port. An empty one is as good as none.
    pub host: Option<&'r str>,
    /// The target as it came, in whatever form.
    pub target: &'r [u8],
}

impl Policy {
    /// Compiles `rules`, in the order in which they are tried.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] if they are too many together. What can be wrong with a rule has been
    /// refused by `config`.
    pub fn compile(rules: &[config::Rule]) -> Result<Self, PolicyError> {
        check_size(rules)?;
        let numbering = Numbering::new(rules);
        let concern_request = rules
            .iter()
            .map(|rule| rule.conditions.concern_request())
            .collect();
        let concerns_connection = |rule: &config::Rule| {
            let conditions = &rule.conditions;
            !(conditions.clients.is_empty()
                && conditions.destinations.is_empty()
                && conditions.ports.is_empty()
                && conditions.periods.is_empty()
                && conditions.days.is_empty())
        };
        let any_connection = rules.iter().position(|rule| !concerns_connection(rule));
        let all: Vec<_> = rules.iter().collect();
        let before = &all[..any_connection.unwrap_or(rules.len())];
        let (numbers, without_request): (Vec<_>, Vec<_>) = (0..)
            .zip(rules)
            .filter(|(_, rule)| !rule.conditions.concern_request())
            .unzip();
        Ok(Self {
            rules: rules.iter().map(Rule::from).collect(),
            concern_request,
            of_requests: Index::new(&all, true, &numbering),
            of_connections: Index::new(before, false, &numbering),
            any_connection: any_connection.and_then(|rule| u32::try_from(rule).ok()),
            without_request: Index::new(&without_request, false, &numbering),
            without_request_numbers: numbers.into(),
            host_regexes: Regexes::compile(numbering.on_hosts())?,
            path_regexes: Regexes::compile(numbering.on_paths())?,
        })
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rule for a connection before any byte of it was read: the first one that may hold, if
    /// that one asks for nothing of the request. `None`: the request must be looked at, or no
    /// rule holds whatever it is.
    #[must_use]
    pub fn of_connection(&self, connection: &ConnectionFacts) -> Option<&Rule> {
        self.of_connection_at(connection, Moment::now)
    }

    /// The rule for a connection on which there is no request: the first one that holds and asks
    /// for nothing of a request. A condition on the request holds for no such connection, so that
    /// nobody comes past a later rule by not speaking HTTP.
    #[must_use]
    pub fn without_request(&self, connection: &ConnectionFacts) -> Option<&Rule> {
        self.without_request_at(connection, Moment::now)
    }

    /// The rule for a request: the first one that holds. `None`: it goes on as if there were no
    /// rules.
    #[must_use]
    pub fn of_request(
        &self,
        connection: &ConnectionFacts,
        request: &RequestFacts<'_>,
    ) -> Option<&Rule> {
        self.of_request_at(connection, request, Moment::now)
    }

    fn of_connection_at(
        &self,
        connection: &ConnectionFacts,
        clock: fn() -> Moment,
    ) -> Option<&Rule> {
        let first = self.ask(connection, None, clock, |query| {
            self.of_connections.first(query)
        });
        let first = first.or(self.any_connection)? as usize;
        (!self.concern_request[first]).then(|| &self.rules[first])
    }

    fn without_request_at(
        &self,
        connection: &ConnectionFacts,
        clock: fn() -> Moment,
    ) -> Option<&Rule> {
        let first = self.ask(connection, None, clock, |query| {
            self.without_request.first(query)
        })?;
        let number = self.without_request_numbers[first as usize];
        Some(&self.rules[number as usize])
    }

    fn of_request_at(
        &self,
        connection: &ConnectionFacts,
        request: &RequestFacts<'_>,
        clock: fn() -> Moment,
    ) -> Option<&Rule> {
        let request = Some(request);
        let first = self.ask(connection, request, clock, |query| {
            self.of_requests.first(query)
        })?;
        Some(&self.rules[first as usize])
    }

    fn ask<T>(
        &self,
        connection: &ConnectionFacts,
        request: Option<&RequestFacts<'_>>,
        clock: fn() -> Moment,
        answer: impl FnOnce(&Query<'_>) -> T,
    ) -> T {
        thread_local!(static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::new()));

        let regexes = [&self.host_regexes, &self.path_regexes];
        SCRATCH.with_borrow_mut(|scratch| {
            answer(&Query::new(connection, request, regexes, clock, scratch))
        })
    }
}

/// Everything is numbered with 32 bits, and the largest number means none.
fn check_size(rules: &[config::Rule]) -> Result<(), PolicyError> {
    let conditions = rules.iter().map(|rule| {
        let conditions = &rule.conditions;
        conditions.clients.len()
            + conditions.destinations.len()
            + conditions.hosts.len()
            + conditions.paths.len()
    });
    for (what, number) in [
        ("the rules", rules.len()),
        ("the conditions", conditions.sum()),
    ] {
        if u32::try_from(number).is_err() {
            return Err(PolicyError::TooMany { what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
