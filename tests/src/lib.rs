//! The harness of the integration tests: the real daemon on the router of a throwaway network
//! (`proxy_userspace::lab`), a client whose every octet and port a test chooses, and a picture of
//! a host to compare.
//!
//! Everything happens inside namespaces that the test made. A missing privilege or tool is a
//! panic that names it, never a test that passes without having run. The daemon is the executable
//! in `WEIR_BIN`, or `target/release/weir` of this workspace.

mod addressed;
mod bridge;
mod bridge_world;
mod capture;
mod client;
mod connection;
mod daemon;
mod doctor;
mod downloads;
mod echo;
mod expect;
mod fragments;
mod held;
mod host_state;
mod icmp;
mod interface;
mod known;
mod launch;
mod load;
mod loaded;
mod machine;
mod manager;
mod manual;
mod memory;
mod neighbour;
mod peers;
mod ping;
mod process;
mod raw;
mod response;
mod rules;
mod said;
mod segment;
mod server;
mod slowloris;
mod sockets;
mod tagger;
mod traces;
mod tun;
mod upgrade;
mod wait;
mod watcher;
mod wire;
mod world;

pub use addressed::{Addressed, At, redial, veth};
pub use bridge::BridgeBox;
pub use bridge_world::BridgeWorld;
pub use capture::Capture;
pub use client::{ANSWER, Dial, connect, dial, get};
pub use connection::{Connection, End};
pub use daemon::Weir;
pub use doctor::Doctor;
pub use downloads::{Download, Downloads, Pace};
pub use echo::Echo;
pub use expect::shown;
pub use fragments::{Cut, Order};
pub use held::HeldThread;
pub use host_state::HostState;
pub use icmp::{Quoted, Segments, icmp_error};
pub use interface::mac;
pub use known::known_interfaces;
pub use launch::{Failed, Options, everybodys_weir, run_weir, weir_binary};
pub use load::{Attempt, Load, Plan, repeat};
pub use loaded::loaded_here;
pub use machine::Machine;
pub use manager::{Manager, Notice};
pub use manual::Recipe;
pub use memory::MemoryWatch;
pub use neighbour::Neighbour;
pub use peers::{Peers, Program, Site, Sites, spoofed};
pub use ping::{ping, udp};
pub use proxy_userspace::lab::{
    ASIDE, Family, Hop, LAN, Layout, Namespace, Network, ORIGINS, Origin, Side, WAN,
    origin::{BLOCK, Fnv, Pattern},
};
pub use raw::{GET, OK, RawOrigin, Stage};
pub use response::Response;
pub use rules::{STATEFUL, UNTRACKED};
pub use said::Said;
pub use segment::{ACK, CWR, ECE, FIN, RST, SYN, Segment, URG};
pub use server::Server;
pub use slowloris::{Slow, Slowloris};
pub use sockets::until_over;
pub use traces::{all_direct, lived_in, use_it};
pub use tun::{Alter, TunLink};
pub use wait::{until, until_some};
pub use watcher::Watcher;
pub use wire::{Wire, inject};
pub use world::World;

/// A network, or a panic that says what is missing.
///
/// # Panics
///
/// Without root, iproute2, or a kernel that has what the layout needs.
#[must_use]
pub fn network(layout: &Layout) -> Network {
    world::raise_descriptor_limit();
    let net = Network::new(layout).unwrap_or_else(|error| panic!("{error}"));
    // The ports below are the tests' own: what the kernel chooses must not be among them.
    net.client
        .sysctl("net.ipv4.ip_local_port_range", "50000 60999")
        .unwrap_or_else(|error| panic!("{error}"));
    net
}
