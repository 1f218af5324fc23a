//! The programs and what they share.

mod around;
mod bare;
#[cfg(feature = "bench")]
mod bench;
mod bridge;
mod bypass;
mod context;
mod facts;
mod fragment;
mod leave;
mod listen;
mod looping;
mod maps;
mod output;
mod record;
mod refuse;
mod socket;
mod steer;
mod sweep;
mod translation;
mod watch;
mod why;
