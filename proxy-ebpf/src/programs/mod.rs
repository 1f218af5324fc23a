//! The programs and what they share.

mod listen;
mod maps;
mod socket;
mod steer;
