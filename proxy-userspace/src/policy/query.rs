//! A connection and perhaps a request, in the form in which rules look at them.

use std::{
    cell::{Cell, OnceCell, Ref, RefCell},
    net::IpAddr,
};

use super::{
    ConnectionFacts, RequestFacts,
    clock::Moment,
    regexes::{Matches, Regexes},
};
use crate::config::{normal_host, normal_path};

/// What is asked about. What costs time is found out when it is first needed.
pub(super) struct Query<'q> {
    pub(super) client: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) port: u16,
    pub(super) method: &'q str,
    /// In normal form; empty if the request names none.
    pub(super) host: &'q [u8],
    /// In normal form; empty if the request names none.
    pub(super) path: &'q [u8],
    pub(super) host_regexes: Lazy<'q>,
    pub(super) path_regexes: Lazy<'q>,
    clock: fn() -> Moment,
    moment: OnceCell<Moment>,
}

/// Buffers, so that no question allocates.
#[derive(Debug)]
pub(super) struct Scratch {
    host: Vec<u8>,
    path: Vec<u8>,
    host_matches: Matches,
    path_matches: Matches,
}

/// The regular expressions that match a text.
pub(super) struct Lazy<'q> {
    regexes: &'q Regexes,
    text: &'q [u8],
    matches: RefCell<&'q mut Matches>,
    known: Cell<bool>,
}

impl<'q> Query<'q> {
    pub(super) fn new(
        connection: &ConnectionFacts,
        request: Option<&RequestFacts<'q>>,
        regexes: [&'q Regexes; 2],
        clock: fn() -> Moment,
        scratch: &'q mut Scratch,
    ) -> Self {
        let Scratch {
            host,
            path,
            host_matches,
            path_matches,
        } = scratch;
        host.clear();
        path.clear();
        if let Some(request) = request {
            normal_host(request.host.unwrap_or_default(), host);
            normal_path(request.target, path);
        }
        let [of_hosts, of_paths] = regexes;
        Self {
            client: connection.client.0.ip().to_canonical(),
            destination: connection.origin.0.ip().to_canonical(),
            port: connection.origin.0.port(),
            method: request.map_or("", |request| request.method),
            host,
            path,
            host_regexes: Lazy::new(of_hosts, host, host_matches),
            path_regexes: Lazy::new(of_paths, path, path_matches),
            clock,
            moment: OnceCell::new(),
        }
    }

    /// Now. The same throughout, so that no question falls between two rules.
    pub(super) fn moment(&self) -> Moment {
        *self.moment.get_or_init(self.clock)
    }
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            host: Vec::new(),
            path: Vec::new(),
            host_matches: Matches::new(),
            path_matches: Matches::new(),
        }
    }
}

impl<'q> Lazy<'q> {
    fn new(regexes: &'q Regexes, text: &'q [u8], matches: &'q mut Matches) -> Self {
        Self {
            regexes,
            text,
            matches: RefCell::new(matches),
            known: Cell::new(false),
        }
    }

    /// Those that match. None does where there is no text: a request without a host has none
    /// that could match.
    pub(super) fn matches(&self) -> Ref<'_, Matches> {
        if !self.known.replace(true) {
            let mut matches = self.matches.borrow_mut();
            if self.text.is_empty() {
                matches.clear(self.regexes);
            } else {
                self.regexes.find(self.text, &mut matches);
            }
        }
        Ref::map(self.matches.borrow(), |matches| &**matches)
    }
}
