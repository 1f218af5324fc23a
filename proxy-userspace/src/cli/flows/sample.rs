//! The live connections at one moment.

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{cli::ask, control::Request};

/// A live connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::cli) struct Flow {
    pub(in crate::cli) id: u64,
    pub(in crate::cli) client: SocketAddr,
    pub(in crate::cli) origin: SocketAddr,
    pub(in crate::cli) age_ms: u64,
    pub(in crate::cli) state: String,
    pub(in crate::cli) requests: u64,
    pub(in crate::cli) bytes_in: u64,
    pub(in crate::cli) bytes_out: u64,
    pub(in crate::cli) host: Option<String>,
    /// Bytes per second from the client, if they were measured.
    #[serde(default)]
    pub(in crate::cli) rate_in: Option<u64>,
    /// To the client.
    #[serde(default)]
    pub(in crate::cli) rate_out: Option<u64>,
}

impl Flow {
    /// Both ways.
    pub(in crate::cli) const fn bytes(&self) -> u64 {
        self.bytes_in + self.bytes_out
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Sample {
    taken: Instant,
    pub(in crate::cli) flows: Vec<Flow>,
    /// So many more are of earlier daemons.
    pub(in crate::cli) elsewhere: u64,
}

#[derive(Deserialize)]
struct Told {
    flows: Vec<Flow>,
    elsewhere: u64,
}

impl Sample {
    /// Asks the daemon.
    pub(in crate::cli) fn take(instance: &str) -> Result<Self> {
        let told = ask(instance, &Request::Flows)?;
        let Told { flows, elsewhere } = serde_json::from_value(told)
            .context("the daemon's answer is of another version: `weir upgrade`")?;
        Ok(Self {
            taken: Instant::now(),
            flows,
            elsewhere,
        })
    }

    /// With the rates since `before`.
    pub(in crate::cli) fn since(mut self, before: &Self) -> Self {
        let seconds = (self.taken - before.taken).as_secs_f64().max(1e-3);
        let known: HashMap<_, _> = before.flows.iter().map(|flow| (flow.id, flow)).collect();
        for flow in &mut self.flows {
            let before = known.get(&flow.id);
            let rate = |now: u64, of: fn(&Flow) -> u64| {
                let more = now.saturating_sub(before.map_or(0, |it| of(it)));
                Some(per_second(more, seconds))
            };
            flow.rate_in = rate(flow.bytes_in, |it| it.bytes_in);
            flow.rate_out = rate(flow.bytes_out, |it| it.bytes_out);
        }
        self
    }
}

/// Rounded.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for human eyes; the cast saturates"
)]
pub(in crate::cli) fn per_second(more: u64, seconds: f64) -> u64 {
    (more as f64 / seconds).round() as u64
}

/// Flows by number, host and bytes to the client.
#[cfg(all(test, feature = "top"))]
pub(in crate::cli) fn sample_of(taken: Instant, flows: &[(u64, &str, u64)]) -> Sample {
    let one = |&(id, host, bytes_out): &(u64, &str, u64)| Flow {
        id,
        client: "10.0.0.2:1000".parse().unwrap(),
        origin: "192.0.2.1:80".parse().unwrap(),
        age_ms: 0,
        state: "exchange".to_owned(),
        requests: 1,
        bytes_in: 0,
        bytes_out,
        host: Some(host.to_owned()),
        rate_in: None,
        rate_out: None,
    };
    Sample {
        taken,
        flows: flows.iter().map(one).collect(),
        elsewhere: 0,
    }
}
