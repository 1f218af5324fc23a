//! Room `bypass`: which destinations and sources are never intercepted.
//!
//! [`EntrySpec`] turns an operator's words into an [`Entry`], [`Set`] holds the entries in order,
//! [`Store`] keeps them in a file across restarts. The file is the truth; whoever applies a
//! [`Change`] to the kernel can take it back by its inverse.

mod entry;
pub mod lists;
mod set;
mod store;

pub use entry::{Entry, EntryError, EntrySpec, MANUAL};
pub use set::{Change, EditError, Set};
pub use store::{Store, StoreError};
