//! The programs and what they share.

mod bypass;
mod facts;
mod listen;
mod maps;
mod socket;
mod steer;
