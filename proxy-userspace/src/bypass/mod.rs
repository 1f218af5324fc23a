//! Named lists of what is bypassed, and of what is intercepted in spite of a wider bypass.
//!
//! Nothing here knows of the kernel. [`text`] and [`json`] turn what operators write into
//! [`Entry`]s; a [`Set`] holds them in [`List`]s, tells by [`Set::plan`] what an edit would
//! change and does it by [`Set::commit`]; [`Store`] keeps each [`Change`] on the disk so that a
//! power cut at any moment leaves the state before it or the one after. Who puts a set into
//! force can be checked against [`Set::decide`], which is slow and plainly right.

mod collect;
mod decide;
mod entry;
mod error;
mod interface;
pub mod json;
mod key;
mod name;
mod plan;
mod set;
mod store;
pub mod text;
mod timestamp;
mod words;
mod write;

pub use collect::{Expired, HostBits, Notice, Notices, Options, Parsed};
pub use decide::Flow;
pub use entry::{Action, Entry};
pub use error::{EntryError, TextError};
pub use interface::InterfaceName;
pub use key::{Family, Key};
pub use name::{LEARNED, ListName, MANUAL, NameError};
pub use plan::{Change, Edit, EditError};
pub use set::{List, Set};
pub use store::{Store, StoreError, make_directory};
pub use timestamp::Timestamp;

#[cfg(test)]
mod samples;
