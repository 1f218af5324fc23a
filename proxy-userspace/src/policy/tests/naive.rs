//! Rules one after the other, each condition by itself: slow, and plainly right.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::IpAddr,
};

use regex_automata::{meta, util::syntax};

use crate::{
    config::{Conditions, Day, HostPattern, PathPattern, Rule, normal_host, normal_path},
    policy::{ConnectionFacts, RequestFacts, clock::Moment},
};

thread_local!(static NOW: Cell<Moment> = const { Cell::new(Moment { day: Day::Monday, minute: 0 }) });

/// What the clock shows in the tests of this thread.
pub(super) fn now() -> Moment {
    NOW.get()
}

pub(super) fn set_now(day: Day, minute: u16) {
    NOW.set(Moment { day, minute });
}

/// The first rule that holds.
pub(super) fn of_request(
    rules: &[Rule],
    connection: &ConnectionFacts,
    request: &RequestFacts<'_>,
) -> Option<usize> {
    rules.iter().position(|rule| {
        connection_holds(&rule.conditions, connection) && request_holds(&rule.conditions, request)
    })
}

/// The first rule that may hold, if it asks for nothing of the request.
pub(super) fn of_connection(rules: &[Rule], connection: &ConnectionFacts) -> Option<usize> {
    let first = rules
        .iter()
        .position(|rule| connection_holds(&rule.conditions, connection))?;
    let Conditions {
        hosts,
        methods,
        paths,
        ..
    } = &rules[first].conditions;
    (hosts.is_empty() && methods.is_empty() && paths.is_empty()).then_some(first)
}

/// The first rule that holds where there is no request.
pub(super) fn without_request(rules: &[Rule], connection: &ConnectionFacts) -> Option<usize> {
    rules.iter().position(|rule| {
        let Conditions {
            hosts,
            methods,
            paths,
            ..
        } = &rule.conditions;
        hosts.is_empty()
            && methods.is_empty()
            && paths.is_empty()
            && connection_holds(&rule.conditions, connection)
    })
}

fn connection_holds(conditions: &Conditions, connection: &ConnectionFacts) -> bool {
    let within = |prefixes: &[ipnet::IpNet], address: IpAddr| {
        prefixes.is_empty() || prefixes.iter().any(|prefix| prefix.contains(&address))
    };
    let (client, origin) = (connection.client.0, connection.origin.0);
    within(&conditions.clients, client.ip().to_canonical())
        && within(&conditions.destinations, origin.ip().to_canonical())
        && (conditions.ports.is_empty() || conditions.ports.contains(&origin.port()))
        && now().is_in(conditions)
}

fn request_holds(conditions: &Conditions, request: &RequestFacts<'_>) -> bool {
    let (mut host, mut path) = (Vec::new(), Vec::new());
    normal_host(request.host.unwrap_or_default(), &mut host);
    normal_path(request.target, &mut path);
    let (host, path) = (
        String::from_utf8(host).unwrap(),
        String::from_utf8(path).unwrap(),
    );
    let is_host = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => host == *name,
        HostPattern::Below(domain) => host == *domain || host.ends_with(&format!(".{domain}")),
        HostPattern::Regex(regex) => !host.is_empty() && matches(regex.as_str(), true, &host),
    };
    let is_path = |pattern: &PathPattern| match pattern {
        PathPattern::Prefix(prefix) => path.starts_with(prefix),
        PathPattern::Regex(regex) => !path.is_empty() && matches(regex.as_str(), false, &path),
    };
    let is_method = |method: &String| method.eq_ignore_ascii_case(request.method);
    (conditions.hosts.is_empty() || conditions.hosts.iter().any(is_host))
        && (conditions.paths.is_empty() || conditions.paths.iter().any(is_path))
        && (conditions.methods.is_empty() || conditions.methods.iter().any(is_method))
}

/// By the engine that the `regex` crate is made of, alone and from the text.
pub(super) fn matches(regex: &str, ignore_case: bool, text: &str) -> bool {
    thread_local!(static MADE: RefCell<HashMap<(String, bool), meta::Regex>> = RefCell::default());

    MADE.with_borrow_mut(|made| {
        let regex = made
            .entry((regex.to_owned(), ignore_case))
            .or_insert_with(|| {
                let syntax = syntax::Config::new()
                    .unicode(false)
                    .utf8(false)
                    .case_insensitive(ignore_case);
                meta::Builder::new()
                    .syntax(syntax)
                    .configure(meta::Config::new().utf8_empty(false))
                    .build(regex)
                    .unwrap()
            });
        regex.is_match(text)
    })
}
