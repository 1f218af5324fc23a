//! The programs and what they share.

mod bare;
#[cfg(feature = "bench")]
mod bench;
mod bypass;
mod facts;
mod listen;
mod maps;
mod output;
mod record;
mod socket;
mod steer;
mod sweep;
mod translation;
