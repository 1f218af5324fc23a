//! System calls that no crate of ours wraps. The only room with `unsafe`.

#![allow(unsafe_code, reason = "this is the room for it")]

pub mod bpf;
pub mod bpffs;
pub mod defragment;
pub mod ethtool;
pub mod mapping;
pub mod memlock;
pub mod netlink;
pub mod passing;
pub mod probe;
pub mod socket;
pub mod tun;
