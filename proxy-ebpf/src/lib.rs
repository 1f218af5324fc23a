//! The contract between Weir's kernel programs and its daemon, and the packet logic that both
//! can run.
//!
//! * [`abi`] — names of programs and maps, capacities, the ABI version
//! * [`settings`] — what the daemon tells the programs
//! * [`key`] — addresses, flows and trie keys
//! * [`bypass`] — the table of bypass entries, and the search in it
//! * [`framing`] — what is in front of a packet, by the type of its link
//! * [`fragment`] — what is remembered of datagrams in fragments
//! * [`packet`] — the bounds-checked walk from a frame to a TCP flow
//! * [`refusal`] — the answer to a SYN that nobody takes
//! * [`looping`] — packets that come back to us
//! * [`output`] — connections of this host itself
//! * [`verdict`] — what happens to a SYN, and every reason for it
//! * [`trail`] — how a verdict came about
//! * [`counter`] — what the programs count
//! * [`watch`] — decisions that somebody watches
//!
//! Addresses and ports are in **network byte order** everywhere in this crate; a type that holds
//! anything else says so. The library is `no_std`, has no dependency on the kernel side's crates
//! and compiles for the host, so that all of it has ordinary unit tests.

#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod bridge;
pub mod bypass;
pub mod counter;
pub mod fragment;
pub mod framing;
pub mod key;
pub mod looping;
pub mod output;
pub mod packet;
pub mod refusal;
pub mod settings;
pub mod trail;
pub mod verdict;
pub mod watch;
