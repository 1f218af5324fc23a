//! What an exchange leaves behind: a line in the access log and the counters.

use std::time::{Instant, SystemTime};

use bytes::Bytes;

use super::Shared;
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
    host_check: Option<HostLabel>,
    content_type: Option<Vec<u8>>,
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
            host_check: None,
            content_type: None,
        }
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
        shared.stats.bytes(self.bytes_in, self.bytes_out);
        if !shared.log.is_on() {
            return;
        }
        let target = self
            .request
            .as_ref()
            .map(|(head, bytes)| head.target(bytes));
        let record = AccessRecord {
            time: self.time,
            client: self.client,
            origin: self.origin,
            spoofed: self.spoofed,
            method: self
                .request
                .as_ref()
                .map(|(head, bytes)| head.method(bytes).as_bytes()),
            host: self
                .request
                .as_ref()
                .and_then(|(head, bytes)| head.host(bytes))
                .map(str::as_bytes),
            target: target
                .as_deref()
                .map(str::as_bytes)
                .or(self.refused_line.as_deref()),
            status: self.status,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration: self.started.elapsed(),
            reason,
        };
        shared.log.write(&record);
    }
}
