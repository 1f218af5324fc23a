//! What becomes of a request, before an origin is connected for it.

use super::{Session, Shared, host, record::Transaction, request::Request};
use crate::{
    config::{Forwarded, HostCheck},
    http::{self, Edits},
    observe::HostLabel,
    reason::Reason,
    upstream::Way,
};

/// What becomes of a request.
pub(super) enum Decision {
    /// It goes to the origin.
    Forward(Plan),
    /// It is answered here, and the connection ends.
    Answer {
        status: u16,
        reason: Reason,
        bytes: Vec<u8>,
    },
}

/// How a request goes to its origin, and its response to the client.
pub(super) struct Plan {
    pub(super) way: Way,
    request_lines: Vec<u8>,
    response_lines: Vec<u8>,
}

impl Plan {
    pub(super) fn request_edits(&self) -> Edits<'_> {
        Edits {
            append: &self.request_lines,
            ..Edits::NONE
        }
    }

    pub(super) fn response_edits(&self) -> Edits<'_> {
        Edits {
            append: &self.response_lines,
            ..Edits::NONE
        }
    }
}

impl Session {
    pub(super) async fn decide(
        &mut self,
        shared: &Shared,
        request: &Request,
        transaction: &mut Transaction,
    ) -> Decision {
        let Request { head, received, .. } = request;
        if shared.http.host_check != HostCheck::Off {
            let label = self.host_label(shared, head.host(received)).await;
            shared.stats.host(label);
            transaction.host_checked(label);
            if label == HostLabel::Mismatch && self.is_strict(shared) {
                let mut bytes = Vec::new();
                let body = !head.context().head;
                http::answer(421, Reason::HostMismatch, body, &mut bytes);
                return Decision::Answer {
                    status: 421,
                    reason: Reason::HostMismatch,
                    bytes,
                };
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
        Decision::Forward(self.plan(shared, Way::default(), head.minor))
    }

    fn plan(&self, shared: &Shared, way: Way, minor: u8) -> Plan {
        let mut plan = Plan {
            way,
            request_lines: Vec::new(),
            response_lines: Vec::new(),
        };
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
        plan
    }

    /// How the request's Host goes with the address that was dialled. Waits for a resolver only
    /// where the answer decides.
    async fn host_label(&self, shared: &Shared, host: Option<&str>) -> HostLabel {
        let name = match host::compare(host, self.to.0) {
            host::Named::Known(label) => return label,
            host::Named::Name(name) => name.to_ascii_lowercase(),
        };
        if !shared.http.host_dns {
            return HostLabel::Unverified;
        }
        let addresses = match shared.names.cached(&name) {
            Some(addresses) => addresses,
            None if self.is_strict(shared) => shared.names.resolve(&name).await,
            None => {
                let names = std::sync::Arc::clone(&shared.names);
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
