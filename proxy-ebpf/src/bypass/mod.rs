//! The bypass table: which SYNs an operator's lists decide about, and how the kernel finds out.
//!
//! A table is one array of 64-byte [lines](Lines) that the daemon writes through a mapping and
//! the programs read. It has every entry of both families; a new table takes the place of the old
//! one by one store into [`map::BYPASS`](crate::abi::map::BYPASS), and edits in place become
//! visible together, by one store of the [epoch](layout::header::EPOCH).
//!
//! Entries are found by hashing: for each length of destination prefix that may be there, and
//! each length of source prefix, the longest first. [Filters](layout) say in one cache line per
//! band of lengths which of them may be, so that most are never tried. Unlike a trie this does
//! not walk from bit to bit, and unlike one it goes on to the next shorter entry where a longer
//! one does not hold: expired, of a list that is off, for another port.
//!
//! * [`bits`] — addresses as numbers, and the hash
//! * [`lengths`] — sets of prefix lengths
//! * [`layout`] — what is in which line
//! * [`find`](fn@find) — the search, the same code in the kernel and in tests

pub mod bits;
mod find;
pub mod layout;
pub mod lengths;

pub use find::{Hit, Line, Lines, Query, STEPS, Step, Walk, begin, find, step};
