//! Connections of this host itself (`intercept.output`).
//!
//! The program that marks them hangs on a link of this process, so that nothing but two policy
//! rules has to be undone. What it marks comes to the loopback device, which has valves as a LAN
//! has: a firewall may drop it there as well.

use std::time::{Duration, Instant};

use anyhow::Result;
use proxy_ebpf::{counter::Delivery as Count, output::SLOT, verdict::Reason};
use serde_json::{Map, Value, json};

use super::{
    keeper::Keeper,
    valve::Delivery,
    valves::{self, FAMILIES},
};
use crate::{
    dataplane::{Dataplane, DataplaneError, output::OutputFlows},
    fault::Fault,
};

/// What the valve and `weir status` call the loopback device.
pub(super) const NAME: &str = "lo";

/// What is known of them.
pub(super) struct Output {
    flows: OutputFlows,
    /// IPv4, IPv6.
    valves: [Delivery; 2],
}

impl Output {
    /// IPv4, IPv6: not 0 where the valve is open.
    pub(super) fn open_valves(&self) -> [u32; 2] {
        [0, 1].map(|place| u32::from(self.valves[place].is_open()))
    }

    /// Closes them.
    pub(super) fn close_valves(&mut self, dataplane: &mut Dataplane) {
        self.valves = Default::default();
        self.tell(dataplane);
    }

    /// Opens and closes what has to be.
    pub(super) fn look(&mut self, dataplane: &mut Dataplane, window: Duration, probe: u32) {
        let now = Instant::now();
        let mut changed = false;
        for (place, (family, name)) in FAMILIES.into_iter().enumerate() {
            let count = |what| dataplane.delivery(SLOT, family, what);
            let (Ok(marked), Ok(delivered)) = (count(Count::Marked), count(Count::Delivered))
            else {
                continue;
            };
            let valve = &mut self.valves[place];
            if valve.look(now, window, marked, delivered) {
                changed = true;
                valves::tell_delivery(valve.is_open(), NAME, name, probe);
            }
        }
        if changed {
            self.tell(dataplane);
        }
    }

    fn tell(&self, dataplane: &mut Dataplane) {
        if let Err(error) = dataplane.set_output_valve(self.open_valves()) {
            tracing::error!(%error, interface = NAME, "cannot tell the kernel");
        }
    }
}

/// What the kernel has not is this host's lack.
fn cannot(error: DataplaneError) -> anyhow::Error {
    match error {
        DataplaneError::Refused(message) => Fault::HostCannot(message).into(),
        other => other.into(),
    }
}

impl Keeper {
    /// Intercepts this host's own connections from now on, if that is wanted.
    pub(super) async fn begin_output(&mut self) -> Result<()> {
        let Some(mark) = self.plan.output_mark else {
            return Ok(());
        };
        self.plan
            .add_output_rules(&self.handle, &self.families)
            .await?;
        self.output = Some(Output {
            flows: self.dataplane.attach_output(mark).map_err(cannot)?,
            valves: Default::default(),
        });
        Ok(())
    }

    /// For `weir status`: counts of this host's own connections by reason; `null` if they are
    /// none of ours.
    pub(super) fn output_status(&self) -> Result<Value> {
        let Some(output) = &self.output else {
            return Ok(Value::Null);
        };
        let mut flows = Map::new();
        for reason in Reason::ALL {
            let count = output.flows.count(reason)?;
            flows.insert(reason.as_str().to_owned(), count.into());
        }
        Ok(json!(flows))
    }
}
