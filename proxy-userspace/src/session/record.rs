//! What an exchange leaves behind: a line in the access log and the counters.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;

use super::{Shared, vitals::Vitals};
use crate::{
    addr::{ClientAddr, OriginAddr, SpoofedAddr},
    http::RequestHead,
    observe::{AccessRecord, HostLabel},
    reason::Reason,
};

/// A request and what became of it, so far.
pub(super) struct Transaction {
    time: SystemTime,
    started: Instant,
    client: ClientAddr,
    origin: OriginAddr,
    pub(super) spoofed: Option<SpoofedAddr>,
    request: Option<(RequestHead, Bytes)>,
    refused_line: Option<Vec<u8>>,
    pub(super) status: Option<u16>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Of these, the head of the response.
    pub(super) head_out: u64,
    host_check: Option<HostLabel>,
    sni: Option<Box<str>>,
    rule: Option<Box<str>>,
    content_type: Option<Vec<u8>>,
    is_silent: bool,
    /// Of the flow that it is on: some of its bytes may have been counted on the way.
    vitals: Option<Arc<Vitals>>,
}

impl Transaction {
    pub(super) fn new(
        client: ClientAddr,
        origin: OriginAddr,
        spoofed: Option<SpoofedAddr>,
    ) -> Self {
        Self {
            time: SystemTime::now(),
            started: Instant::now(),
            client,
            origin,
            spoofed,
            request: None,
            refused_line: None,
            status: None,
            bytes_in: 0,
            bytes_out: 0,
            head_out: 0,
            host_check: None,
            sni: None,
            rule: None,
            content_type: None,
            is_silent: false,
            vitals: None,
        }
    }

    /// It is on a flow whose bytes are counted as they go.
    pub(super) fn of(mut self, vitals: &Arc<Vitals>) -> Self {
        self.vitals = Some(Arc::clone(vitals));
        self
    }

    /// It is about a TLS connection to the server of that name.
    pub(super) fn named_by_tls(&mut self, name: Option<Cow<'_, str>>) {
        self.sni = name.map(Into::into);
    }

    /// A rule has decided; `logged` if it leaves a line.
    pub(super) fn ruled_by(&mut self, rule: &str, logged: bool) {
        self.rule = Some(rule.into());
        self.is_silent = !logged;
    }

    /// How its Host goes with the address that was dialled.
    pub(super) fn host_checked(&mut self, label: HostLabel) {
        self.host_check = Some(label);
    }

    /// What its response says it holds.
    pub(super) fn content_type(&mut self, content_type: Option<Vec<u8>>) {
        self.content_type = content_type;
    }

    /// It is about this request, whose head came as `received`.
    pub(super) fn describe(&mut self, head: &RequestHead, received: &Bytes) {
        self.bytes_in = received.len() as u64;
        self.request = Some((head.clone(), received.clone()));
    }

    /// It is about a request that could not be read; its first line is all there is to say.
    pub(super) fn describe_refused(&mut self, received: &[u8]) {
        let line = received
            .split(|byte| matches!(byte, b'\r' | b'\n'))
            .next()
            .unwrap_or_default();
        self.refused_line = Some(line[..line.len().min(1024)].to_vec());
    }

    /// Writes it down.
    pub(super) fn end(self, shared: &Shared, reason: Reason) {
        shared.stats.ended(reason);
        let (bytes_in, bytes_out) = match &self.vitals {
            Some(vitals) => vitals.settle(self.bytes_in, self.bytes_out),
            None => (self.bytes_in, self.bytes_out),
        };
        shared.stats.bytes(bytes_in, bytes_out);
        if self.request.is_some() {
            shared.stats.answered(self.status, self.started.elapsed());
        }
        if self.is_silent || !shared.log.is_on() {
            return;
        }
        let request = self.request.as_ref();
        let field = |name| request.and_then(|(head, bytes)| head.field(bytes, name));
        let target = request.map(|(head, bytes)| head.target_bytes(bytes));
        let record = AccessRecord {
            time: self.time,
            client: self.client,
            origin: self.origin,
            spoofed: self.spoofed,
            method: request.map(|(head, bytes)| head.method(bytes).as_bytes()),
            minor: request.map(|(head, _)| head.minor),
            host: request
                .and_then(|(head, bytes)| head.host(bytes))
                .map(str::as_bytes),
            target: target.or(self.refused_line.as_deref()),
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            head_out: self.head_out,
            duration: self.started.elapsed(),
            reason,
            host_check: self.host_check,
            sni: self.sni.as_deref(),
            rule: self.rule.as_deref(),
            user_agent: field("user-agent"),
            referer: field("referer"),
            content_type: self.content_type.as_deref(),
        };
        shared.log.write(&record);
    }
}
