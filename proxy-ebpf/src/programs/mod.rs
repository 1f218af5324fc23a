//! The programs and what they share.

mod around;
mod bare;
#[cfg(feature = "bench")]
mod bench;
mod bypass;
mod facts;
mod listen;
mod maps;
mod socket;
mod steer;
