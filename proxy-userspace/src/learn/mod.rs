//! Room `learn`: which flows had better gone direct, found out from what became of them.
//!
//! Sessions tell by [`Reports`] what they see, without ever waiting. The [`Learner`] counts:
//! a client and a destination that have nothing of us, several times within a window, are a
//! [`Lesson`]: a bypass of that destination for that client. If enough clients agree, and nobody
//! has anything of us there, it is a bypass for all.
//!
//! The learner has no clock, does no I/O, and its memory is bounded whatever clients do: a client
//! can push out nothing but its own candidates, and cannot use up the room for lessons.
//!
//! **A failed connect is evidence only while others work.** One counts if a connect to anywhere
//! has succeeded within the window, and since the last one that counted for the same pair: else it
//! is the uplink or the spoofing that is broken, and a burst of retries is one observation. A
//! destination that works for somebody is not bypassed for all.
//!
//! **An answer that went around us is proof**, and counts at any time. A client to which the
//! answers of several destinations do, and no connect succeeds, is bypassed as a whole.

mod candidate;
mod event;
mod known;
mod learner;
mod prefixes;
mod recent;
mod reports;
mod strays;
mod table;
mod view;

pub use self::{
    event::{Cause, Event, Kind, Lesson, Pair},
    learner::{Learner, Terms},
    prefixes::Prefixes,
    reports::Reports,
    view::{Obstacle, View},
};

#[cfg(test)]
mod tests;
