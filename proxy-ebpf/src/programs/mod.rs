//! The programs and what they share.

mod facts;
mod listen;
mod maps;
mod socket;
mod steer;
