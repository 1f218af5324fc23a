//! Weir's userspace half: the daemon behind `weir run` and the commands that talk to it.
//!
//! Rooms, lowest layer first; a room uses lower layers and [`proxy_ebpf`] only
//! (`docs/ARCHITECTURE.md` has the table, `cargo xtask lint` holds it true).

pub mod addr;
pub mod fault;
pub mod reason;
pub mod sys;

pub mod bypass;
pub mod config;
pub mod http;
pub mod learn;
pub mod observe;

pub mod dataplane;
pub mod listener;
pub mod netconf;
pub mod policy;
pub mod upstream;

pub mod control;
pub mod doctor;
pub mod lab;
pub mod session;

pub mod daemon;

pub mod cli;
