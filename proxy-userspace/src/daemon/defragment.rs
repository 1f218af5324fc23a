//! Fragments put together before routing (`intercept.defragment`).

use super::keeper::Keeper;
use crate::{fault::Fault, sys::defragment::Defragmentation};

/// The hold on it, for each family: nothing of it outlives the process.
pub(super) type Held = Vec<Defragmentation>;

impl Keeper {
    /// What is to be held from now on, if it is another than now.
    ///
    /// # Errors
    ///
    /// If this kernel cannot do it.
    pub(super) fn defragmentation(&self, wanted: bool) -> Result<Option<Held>, Fault> {
        let held = !self.defragmentation.is_empty();
        if wanted == held {
            return Ok(None);
        }
        let families = self.families.iter().copied().filter(|_| wanted);
        families.map(begin).collect::<Result<_, _>>().map(Some)
    }
}

fn begin(family: u8) -> Result<Defragmentation, Fault> {
    Defragmentation::begin(family == 6).map_err(|error| {
        Fault::HostCannot(format!(
            "cannot have fragments of IPv{family} put together: {error}; intercept.defragment needs \
             a kernel with CONFIG_NETFILTER_BPF_LINK and CONFIG_NF_DEFRAG_IPV{family}, else set it \
             to false: where connections are tracked (conntrack) fragments are put together anyway"
        ))
    })
}
