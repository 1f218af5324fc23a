//! Looking at the valves, and telling the programs and the operator.

use std::time::Instant;

use proxy_ebpf::{
    abi::MAX_INTERFACES,
    counter::Delivery as Count,
    key::{IPV4, IPV6},
    settings::{LOOPING, NO_RETURN_PATH, ROLE_BRIDGE, ROLE_LAN},
    verdict::Reason,
};
use serde_json::{Value, json};

use super::{
    interfaces::{Interface, Interfaces},
    keeper::Keeper,
    output::{self, Output},
    roles::ONE_ARMED,
    valve::{Delivery, ReturnPath},
};

/// IPv4 and IPv6, in the order of the places in settings and maps.
pub(super) const FAMILIES: [(u32, &str); 2] = [(IPV4, "ipv4"), (IPV6, "ipv6")];

/// All valves.
pub(super) struct Valves {
    /// For each interface, by its slot, and family.
    delivery: Vec<[Delivery; 2]>,
    return_path: [ReturnPath; 2],
}

/// All closed.
impl Default for Valves {
    fn default() -> Self {
        Self {
            delivery: vec![Default::default(); MAX_INTERFACES as usize],
            return_path: Default::default(),
        }
    }
}

impl Valves {
    /// Closes those of the interface that is in this slot from now on.
    pub(super) fn close(&mut self, slot: u32) {
        if let Some(valves) = self.delivery.get_mut(slot as usize) {
            *valves = Default::default();
        }
    }

    /// For the interface with this slot, IPv4 and IPv6: not 0 where it is open.
    pub(super) fn of_interface(&self, slot: u32) -> [u32; 2] {
        let valves = self.delivery.get(slot as usize);
        valves.map_or([0; 2], |valves| {
            [0, 1].map(|place| u32::from(valves[place].is_open()))
        })
    }

    /// IPv4 and IPv6: whether origins do not answer.
    fn of_origins(&self) -> [bool; 2] {
        [0, 1].map(|place| self.return_path[place].opened().is_some())
    }
}

impl Interfaces {
    /// Where SYNs are marked: on LANs alone; those of a bridge's ports come up through the bridge.
    pub(super) fn entrances(&self) -> impl Iterator<Item = &Interface> {
        let entrance = if self.bridge().is_some() {
            ROLE_BRIDGE
        } else {
            ROLE_LAN
        };
        self.iter().filter(move |it| it.role & entrance != 0)
    }
}

impl Keeper {
    /// Opens and closes what has to be.
    pub(super) fn look_at_valves(&mut self) {
        if self.options.config.valve.enabled {
            self.look_at_deliveries();
            self.look_at_origins();
            let valve = &self.options.config.valve;
            if let Some(output) = &mut self.output {
                output.look(&mut self.dataplane, valve.window, valve.probe);
            }
        }
    }

    /// Closes them all; what is wrong will open them again.
    pub(super) fn close_valves(&mut self) {
        self.valves = Valves::default();
        self.tell_interfaces();
        self.forget_loops();
        if let Some(output) = &mut self.output {
            output.close_valves(&mut self.dataplane);
        }
    }

    /// For the programs, IPv4 and IPv6: why our connections do not come about, if they do not.
    pub(super) fn way_out(&self) -> [u32; 2] {
        let (silent, looping) = (self.valves.of_origins(), self.loops.open_valves());
        let enabled = self.options.config.valve.enabled;
        [0, 1].map(|place| match (looping[place], silent[place]) {
            (true, _) if enabled => LOOPING,
            (_, true) => NO_RETURN_PATH,
            _ => 0,
        })
    }

    fn look_at_deliveries(&mut self) {
        let (now, window) = (Instant::now(), self.options.config.valve.window);
        let mut changed = false;
        for interface in self.interfaces.entrances() {
            for (place, (family, name)) in FAMILIES.into_iter().enumerate() {
                let count = |what| self.dataplane.delivery(interface.slot, family, what);
                let (Ok(marked), Ok(delivered)) = (count(Count::Marked), count(Count::Delivered))
                else {
                    continue;
                };
                let Some(valves) = self.valves.delivery.get_mut(interface.slot as usize) else {
                    continue;
                };
                let valve = &mut valves[place];
                if !valve.look(now, window, marked, delivered) {
                    continue;
                }
                changed = true;
                let probe = self.options.config.valve.probe;
                tell_delivery(valve.is_open(), &interface.name, name, probe);
            }
        }
        if changed {
            self.tell_interfaces();
        }
    }

    fn look_at_origins(&mut self) {
        let (now, window) = (Instant::now(), self.options.config.valve.window);
        for (place, (_, name)) in FAMILIES.into_iter().enumerate() {
            let valve = &mut self.valves.return_path[place];
            let pending = &self.lasting.pending;
            let silent = pending.silent_origins(place == 1, window);
            let answered = valve
                .opened()
                .is_some_and(|then| pending.answered_since(place == 1, then));
            if !valve.look(now, silent, answered) {
                continue;
            }
            if valve.opened().is_some() {
                tracing::error!(
                    reason = Reason::NoReturnPath.as_str(),
                    family = name,
                    "valve opened: no origin answers our connections ({}); new flows go direct, one \
                     in {} is tried",
                    if self.interfaces.iter().any(|it| it.role == ONE_ARMED) {
                        "answers take another way: does the gateway send them to clients in its own \
                         subnet directly?"
                    } else {
                        "NAT on the WAN, or answers take another way"
                    },
                    self.options.config.valve.probe
                );
                self.lasting.valve.send_modify(|times| times[place] += 1);
            } else {
                tracing::warn!(family = name, "valve closed: intercepting again");
            }
        }
    }

    fn tell_interfaces(&mut self) {
        for interface in self.interfaces.iter() {
            let Some(place) = &interface.place else {
                continue;
            };
            let valve = self.valves.of_interface(interface.slot);
            let told = self.dataplane.set_role(place, valve);
            if let Err(error) = told {
                tracing::error!(%error, interface = interface.name, "cannot tell the kernel");
            }
        }
    }

    /// The open ones, for `weir status`.
    pub(super) fn open_valves(&self) -> Vec<Value> {
        let mut open = Vec::new();
        for (place, (_, family)) in FAMILIES.into_iter().enumerate() {
            for interface in self.interfaces.iter() {
                if self.valves.of_interface(interface.slot)[place] != 0 {
                    let reason = Reason::NotDelivered.as_str();
                    open.push(json!({
                        "reason": reason, "family": family, "interface": interface.name,
                    }));
                }
            }
            let output = self.output.as_ref().map(Output::open_valves);
            if output.is_some_and(|valves| valves[place] != 0) {
                let reason = Reason::NotDelivered.as_str();
                open.push(json!({
                    "reason": reason, "family": family, "interface": output::NAME,
                }));
            }
            let reason = match self.way_out()[place] {
                0 => continue,
                LOOPING => Reason::Looping,
                _ => Reason::NoReturnPath,
            };
            let reason = reason.as_str();
            open.push(json!({ "reason": reason, "family": family, "interface": null }));
        }
        open
    }
}

/// Says that the valve of an interface and family has opened or closed.
pub(super) fn tell_delivery(open: bool, interface: &str, family: &str, probe: u32) {
    if open {
        tracing::error!(
            reason = Reason::NotDelivered.as_str(),
            interface,
            family,
            "valve opened: intercepted SYNs do not reach the listener (does the firewall's INPUT \
             chain drop TCP to the watched ports from there?); new flows go direct, one in \
             {probe} is tried"
        );
    } else {
        tracing::warn!(interface, family, "valve closed: intercepting again");
    }
}
