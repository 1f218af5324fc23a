//! What the daemon says of itself.

use std::{io::Write as _, net::IpAddr};

use anyhow::Result;
use proxy_ebpf::{
    counter::Event,
    settings::{MODE_DRAIN, MODE_SHADOW},
    verdict::Reason,
};
use serde_json::{Map, Value, json};

use super::{
    confine,
    doctor::own_ports,
    interfaces::Interface,
    keeper::Keeper,
    roles::{Entry, role_name},
};

/// So many clients and destinations are listed.
const TOP: usize = 10;

/// What the daemon does, in a few words.
pub(super) fn summary(keeper: &Keeper) -> String {
    let intercept = &keeper.options.config.intercept;
    let ports = intercept
        .ports
        .iter()
        .map(u16::to_string)
        .collect::<Vec<_>>()
        .join(",");
    let families = keeper
        .families
        .iter()
        .map(|f| format!("IPv{f}"))
        .collect::<Vec<_>>()
        .join("+");
    format!(
        "intercepting {families} port {ports} from {} to {}",
        intercept.lan.join(","),
        intercept.wan.join(","),
    )
}

/// The line that scripts wait for.
pub(super) fn announce(keeper: &Keeper) {
    let line = format!(
        "weir: {} (instance {}, {} workers)\n",
        summary(keeper),
        keeper.options.instance,
        keeper.workers,
    );
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush());
}

impl Keeper {
    /// Connections here and in earlier daemons.
    pub(super) fn under_way(&self) -> u64 {
        self.lasting.stats.active() + self.generations.active()
    }

    /// Who would be intercepted most, and to where; `null` but in shadow mode.
    fn shadow_status(&self) -> Value {
        if self.dataplane.settings().mode != MODE_SHADOW {
            return Value::Null;
        }
        let [clients, origins] = self.dataplane.shadowed(TOP).map(|most| {
            let one =
                |(address, flows): (IpAddr, u64)| json!({ "address": address, "flows": flows });
            most.into_iter().map(one).collect::<Value>()
        });
        json!({ "clients": clients, "destinations": origins })
    }

    /// How far a stop has come.
    fn draining(&self) -> Value {
        let Some(until) = self.stopping else {
            return Value::Null;
        };
        let left = until.saturating_duration_since(std::time::Instant::now());
        json!({
            "connections": self.under_way(),
            "left_s": left.as_secs(),
        })
    }
}

/// `weir status --json`.
pub(super) fn status(keeper: &Keeper) -> Result<Value> {
    let counters = keeper.dataplane.counters()?;
    let flows: Map<_, _> = Reason::ALL
        .iter()
        .map(|reason| (reason.as_str().to_owned(), counters.flow(*reason).into()))
        .collect();
    let packets: Map<_, _> = Event::ALL
        .iter()
        .map(|event| (event.as_str().to_owned(), counters.event(*event).into()))
        .collect();
    let interfaces: Vec<_> = keeper
        .interfaces
        .iter()
        .map(|interface| {
            json!({
                "name": interface.name,
                "role": interface.role_name(),
                "kind": interface.kind,
                "framing": interface.place.map(|place| place.framing.as_str()),
                "attached": interface.place.is_some(),
                "on_failure": interface.on_failure(),
                "reattached": interface.attached.saturating_sub(1),
                "pattern": interface.pattern,
            })
        })
        .collect();
    let patterns: Vec<_> = keeper
        .interfaces
        .roles
        .patterns()
        .map(|Entry { text, role, .. }| {
            let brought = |it: &&Interface| it.pattern.as_ref() == Some(text) && it.role == *role;
            let links = keeper.interfaces.iter().filter(brought);
            json!({
                "pattern": text,
                "role": role_name(*role),
                "links": links.map(|link| link.name.as_str()).collect::<Vec<_>>(),
                "attached": keeper.interfaces.brought(text),
            })
        })
        .collect();
    let valves = keeper.open_valves();
    let warnings = keeper.warnings.iter().map(|it| it.text().to_owned());
    let warnings: Vec<_> = warnings.chain(keeper.astray()).collect();
    let mut status = json!({
        "instance": keeper.options.instance,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_s": keeper.started.elapsed().as_secs(),
        "mode": match keeper.dataplane.settings().mode {
            MODE_DRAIN => "draining",
            MODE_SHADOW => "shadow",
            _ => "enforce",
        },
        "share": keeper.dataplane.settings().share,
        "shadow": keeper.shadow_status(),
        "watching": if keeper.dataplane.settings().watch == 0 { 0 } else { keeper.watching() },
        "overload": keeper.overload.reached().collect::<Vec<_>>(),
        "valve": valves.first().map(|valve| &valve["reason"]),
        "valves": valves,
        "interfaces": interfaces,
        "patterns": patterns,
        "ports": keeper.options.config.intercept.ports,
        "own_ports": own_ports(&keeper.options.config),
        "families": keeper.families,
        "netns": keeper.journal.netns,
        "security": confine::status(keeper.landlocked),
        "host": {
            "steer_mark": keeper.plan.steer_mark,
            "socket_mark": keeper.plan.socket_mark,
            "output_mark": keeper.plan.output_mark,
            "table": keeper.plan.table,
            "priority": keeper.plan.priority,
        },
        "warnings": warnings,
        "generations": keeper.generations.status(),
        "draining": keeper.draining(),
        "workers": keeper.workers,
        "translations": keeper.translations.count(),
        "flows": flows,
        "packets": packets,
        "output": keeper.output_status()?,
        "log_lines_lost": keeper.lasting.log.lost(),
        "learn": keeper.learn_status(),
        "bypass": {
            "entries": keeper.lists.len(),
            "generation": keeper.lists.generation(),
            "damaged": keeper.lists.damage(),
            "feeds": keeper.lists.feeds_status(),
        },
    });
    if let (Value::Object(status), Value::Object(sessions)) = (&mut status, sessions(keeper)) {
        status.extend(sessions);
    }
    Ok(status)
}

/// What the sessions have done, and what they use.
fn sessions(keeper: &Keeper) -> Value {
    let stats = keeper.lasting.stats.snapshot();
    let load = keeper.overload.measured();
    let load: Map<_, _> = load
        .map(|(measure, value, limit)| {
            let load = json!({ "value": value, "limit": limit });
            (measure.to_owned(), load)
        })
        .collect();
    json!({
        "load": load,
        "recent": keeper.recent(),
        "accepts": stats.accepts,
        "connections": { "active": stats.connections.active, "total": stats.connections.total,
                         "limit": keeper.connections },
        "requests": stats.requests,
        "statuses": stats.statuses,
        "bytes_in": stats.bytes_in,
        "bytes_out": stats.bytes_out,
        "outcomes": stats.reasons,
        "asymmetries": stats.asymmetries,
        "hosts": stats.hosts,
        "memory": stats.memory,
    })
}
