//! What becomes of a connection and of each request, before an origin is connected for it.

use std::sync::Arc;

use super::{Session, Shared, host, record::Transaction, request::Request};
use crate::{
    config::{Forwarded, HostCheck},
    http::{self, Edits, RequestHead},
    observe::HostLabel,
    policy::{Action, ConnectionFacts, RequestFacts, Rule, Source},
    reason::Reason,
    upstream::{self, Way},
};

/// What becomes of a request.
pub(super) enum Decision<'s> {
    /// It goes to the origin.
    Forward(Plan<'s>),
    /// It goes there unread, as does all that follows on its connection.
    Tunnel(Way),
    /// It is answered here, and the connection ends.
    Answer {
        status: u16,
        reason: Reason,
        bytes: Vec<u8>,
    },
}

/// What becomes of a connection on which there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its bytes, and the options for them, decide.
    Open,
    /// It is relayed, whatever it is.
    Tunnel,
    /// It is not relayed.
    Refused,
}

/// How a request goes to its origin, and its response to the client.
pub(super) struct Plan<'s> {
    pub(super) way: Way,
    rule: Option<&'s Rule>,
    request_lines: Vec<u8>,
    response_lines: Vec<u8>,
}

impl Plan<'_> {
    pub(super) fn request_edits(&self) -> Edits<'_> {
        Edits {
            append: &self.request_lines,
            remove: self.rule.map_or(&[], |rule| &rule.request.remove),
        }
    }

    pub(super) fn response_edits(&self) -> Edits<'_> {
        Edits {
            append: &self.response_lines,
            remove: self.rule.map_or(&[], |rule| &rule.response.remove),
        }
    }
}

impl Session {
    /// Whether the rules say, before any byte was read, that all is to be relayed unread.
    pub(super) fn is_tunnel(&self) -> bool {
        let rule = self.shared.policy.of_connection(&self.facts());
        rule.is_some_and(|rule| matches!(rule.action, Action::Tunnel))
    }

    /// What the rules say of a connection without a request, and how the connection to the origin
    /// would go for it.
    pub(super) fn fate(&self) -> (Fate, Way) {
        match self.shared.policy.without_request(&self.facts()) {
            None => (Fate::Open, self.usual_way()),
            Some(rule) => {
                let fate = match rule.action {
                    Action::Allow => Fate::Open,
                    Action::Tunnel => Fate::Tunnel,
                    Action::Deny { .. } | Action::Redirect { .. } => Fate::Refused,
                };
                (fate, self.way(rule))
            }
        }
    }

    /// What is to be written of a connection without a request.
    pub(super) fn transaction_without_request(&self) -> Transaction {
        let mut transaction = self.transaction();
        if let Some(rule) = self.shared.policy.without_request(&self.facts()) {
            transaction.ruled_by(&rule.name, rule.log);
        }
        transaction
    }

    /// What becomes of a request.
    pub(super) async fn decide<'s>(
        &mut self,
        shared: &'s Shared,
        request: &Request,
        transaction: &mut Transaction,
    ) -> Decision<'s> {
        let Request { head, received, .. } = request;
        if shared.http.host_check != HostCheck::Off {
            let label = self.host_label(shared, head.host(received)).await;
            shared.stats.host(label);
            transaction.host_checked(label);
            if label == HostLabel::Mismatch && self.is_strict(shared) {
                let mut bytes = Vec::new();
                let body = !head.context().head;
                http::answer(403, Reason::HostMismatch, body, &mut bytes);
                return Decision::Answer {
                    status: 403,
                    reason: Reason::HostMismatch,
                    bytes,
                };
            }
        }
        let mut plan = Plan {
            way: self.usual_way(),
            rule: None,
            request_lines: Vec::new(),
            response_lines: Vec::new(),
        };
        if !shared.policy.is_empty() {
            let facts = self.facts();
            let asked = request_facts(head, received);
            if let Some(rule) = shared.policy.of_request(&facts, &asked) {
                transaction.ruled_by(&rule.name, rule.log);
                if let Some(answer) = refusal(rule, &facts, &asked) {
                    return answer;
                }
                if matches!(rule.action, Action::Tunnel) {
                    return Decision::Tunnel(self.way(rule));
                }
                plan.way = self.way(rule);
                plan.request_lines.extend_from_slice(&rule.request.append);
                plan.response_lines.extend_from_slice(&rule.response.append);
                plan.rule = Some(rule);
            }
        }
        if head.is_final_recipient() {
            let mut bytes = Vec::new();
            head.write_final_answer(received, &mut bytes);
            return Decision::Answer {
                status: 200,
                reason: Reason::MaxForwards,
                bytes,
            };
        }
        self.announce(shared, head.minor, &mut plan);
        Decision::Forward(plan)
    }

    /// Adds the lines by which we, or the client, are made known, if they are wanted.
    fn announce(&self, shared: &Shared, minor: u8, plan: &mut Plan<'_>) {
        if shared.http.via {
            http::via_line(minor, &mut plan.request_lines);
            http::via_line(1, &mut plan.response_lines);
        }
        let client = self.from.0.ip().to_canonical();
        match shared.http.forwarded {
            Forwarded::Off => {}
            Forwarded::XForwardedFor => {
                http::x_forwarded_for_line(client, &mut plan.request_lines);
            }
            Forwarded::Forwarded => http::forwarded_line(client, &mut plan.request_lines),
        }
    }

    /// How the connection to the origin goes by that rule.
    fn way(&self, rule: &Rule) -> Way {
        let address = rule.source.address(self.from.0.ip(), self.to.0.ip());
        let source = match (rule.source, address) {
            (Source::Client, _) => self.shared.source,
            (_, Some(address)) => upstream::Source::Address(address),
            (_, None) => upstream::Source::Own,
        };
        Way {
            source,
            mark: rule.mark.unwrap_or(0),
            tos: rule.tos.or(self.tos),
            ttl: self.ttl,
        }
    }

    /// How it goes without a rule.
    fn usual_way(&self) -> Way {
        Way {
            source: self.shared.source,
            mark: 0,
            tos: self.tos,
            ttl: self.ttl,
        }
    }

    const fn facts(&self) -> ConnectionFacts {
        ConnectionFacts {
            client: self.from,
            origin: self.to,
        }
    }

    /// How the request's Host goes with the address that was dialled. Waits for a resolver only
    /// where the answer decides.
    async fn host_label(&self, shared: &Shared, host: Option<&str>) -> HostLabel {
        let name = match host::compare(host, self.to.0) {
            host::Named::Known(label) => return label,
            host::Named::Name(_) if !shared.http.host_dns => return HostLabel::Unverified,
            host::Named::Name(name) => name.to_ascii_lowercase(),
        };
        let addresses = match shared.names.cached(&name) {
            Some(addresses) => addresses,
            None if self.is_strict(shared) => shared.names.resolve(&name).await,
            None => {
                let names = Arc::clone(&shared.names);
                tokio::task::spawn_local(async move { names.resolve(&name).await });
                return HostLabel::Unverified;
            }
        };
        HostLabel::by_addresses(&addresses, self.to.0)
    }

    /// Is this a client whose mismatches are refused?
    fn is_strict(&self, shared: &Shared) -> bool {
        let clients = &shared.http.host_strict_clients;
        let client = self.from.0.ip().to_canonical();
        shared.http.host_check == HostCheck::Strict
            && (clients.is_empty() || clients.iter().any(|prefix| prefix.contains(&client)))
    }
}

fn request_facts<'r>(head: &RequestHead, received: &'r [u8]) -> RequestFacts<'r> {
    RequestFacts {
        method: head.method(received),
        host: head.host(received),
        target: head.target_bytes(received),
    }
}

/// The answer of a rule that does not let the request go on.
fn refusal<'s>(
    rule: &Rule,
    connection: &ConnectionFacts,
    request: &RequestFacts<'_>,
) -> Option<Decision<'s>> {
    let mut bytes = Vec::new();
    let status = rule.answer(connection, request, &mut bytes)?;
    let reason = match rule.action {
        Action::Redirect { .. } => Reason::Redirected,
        _ => Reason::Denied,
    };
    Some(Decision::Answer {
        status,
        reason,
        bytes,
    })
}
