//! What has been seen, and what would follow from it: the dry run.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    event::{Cause, Pair},
    learner::Learner,
};

/// A candidate as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// It would be a bypass of this destination,
    pub destination: IpAddr,
    /// of this port,
    pub port: u16,
    /// for this client; for all if there is none.
    pub source: Option<IpAddr>,
    /// Flows within the window that were not HTTP.
    pub not_http: u32,
    /// Failed connects within the window, as far as they count.
    pub connect_failed: u32,
    /// Connects within the window whose answer went to the client by a way that does not pass us.
    pub asymmetric_return: u32,
    /// Clients that have shown it.
    pub clients: usize,
    /// Why it is not learned; `None`: the next event does it.
    pub obstacle: Option<Obstacle>,
}

/// Why something is not learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// `bypass.learn.enabled` is false, or it would be.
    Disabled,
    /// There were not enough events within the window.
    FewEvents,
    /// Connects failed, but none to anywhere else has succeeded meanwhile.
    NoConnectWorks,
    /// `bypass.learn.never` has the destination or the client.
    NeverList,
    /// A `[[rule]]` names the destination.
    NamedByRule,
    /// `bypass.learn.limit` is reached.
    Limit,
    /// The client has used up its share of that.
    ClientLimit,
    /// For some clients it is, or would be; for all it is not, as it works for somebody.
    WorksForSomebody,
}

impl Obstacle {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::FewEvents => "few-events",
            Self::NoConnectWorks => "no-connect-works",
            Self::NeverList => "never-list",
            Self::NamedByRule => "named-by-rule",
            Self::Limit => "limit",
            Self::ClientLimit => "client-limit",
            Self::WorksForSomebody => "works-for-somebody",
        }
    }
}

/// What clients have of one destination.
#[derive(Default)]
struct Together {
    clients: usize,
    works: bool,
    not_http: u32,
    connect_failed: u32,
    asymmetric_return: u32,
}

impl Learner {
    /// Everything that has been seen within the window and is not learned: pairs, and destinations
    /// at which enough pairs are ripe. In the order of destination and source.
    #[must_use]
    pub fn candidates(&self, now: Instant) -> Vec<View> {
        let window = self.terms.window;
        let mut views = Vec::new();
        let mut destinations: HashMap<SocketAddr, Together> = HashMap::new();
        for (pair, candidate) in self.table.iter() {
            let Pair {
                client,
                destination,
            } = *pair;
            let [not_http, connect_failed, asymmetric_return] =
                Cause::ALL.map(|cause| candidate.counted(cause, now, window));
            let uncounted = candidate
                .uncounted
                .is_some_and(|last| super::candidate::within(last, now, window));
            if (not_http, connect_failed, asymmetric_return, uncounted) == (0, 0, 0, false) {
                continue;
            }
            let obstacle = self.judge(pair, now).err();
            if matches!(obstacle, None | Some(Obstacle::Disabled)) {
                let together = destinations.entry(destination).or_default();
                let cause = if not_http >= self.terms.events {
                    Cause::NotHttp
                } else {
                    Cause::ConnectFailed
                };
                together.clients += 1;
                together.works |= self.works_for_somebody(destination, cause, now);
                together.not_http += not_http;
                together.connect_failed += connect_failed;
                together.asymmetric_return += asymmetric_return;
            }
            views.push(View {
                destination: destination.ip(),
                port: destination.port(),
                source: Some(client),
                not_http,
                connect_failed,
                asymmetric_return,
                clients: 1,
                obstacle,
            });
        }
        views.extend(
            destinations
                .into_iter()
                .filter_map(|(destination, together)| self.for_all(destination, &together, now)),
        );
        views.sort_by_key(|view| (view.destination, view.port, view.source));
        views
    }

    fn for_all(&self, destination: SocketAddr, ripe: &Together, now: Instant) -> Option<View> {
        let (mut clients, mut works) = (ripe.clients, ripe.works);
        for (_, cause) in self.known.holders(destination) {
            clients += 1;
            works |= self.works_for_somebody(destination, cause, now);
        }
        (clients >= self.terms.clients.max(2)).then(|| View {
            destination: destination.ip(),
            port: destination.port(),
            source: None,
            not_http: ripe.not_http,
            connect_failed: ripe.connect_failed,
            asymmetric_return: ripe.asymmetric_return,
            clients,
            obstacle: if works {
                Some(Obstacle::WorksForSomebody)
            } else {
                (!self.terms.enabled).then_some(Obstacle::Disabled)
            },
        })
    }
}
