//! The LANs that entries may name, and the numbers by which the kernel knows those names.
//!
//! A name has its number as long as an entry has it, or a LAN: a link that a pattern stands for
//! may come long after an entry about it, and be another link each time.

use std::collections::{BTreeMap, BTreeSet};

use super::Lists;
use crate::{
    bypass::{Entry, InterfaceName},
    daemon::roles::Roles,
};

/// Numbers that are kept at least, needed or not.
const KEPT: usize = 1024;

/// All of them.
pub(super) struct Lans {
    /// Who is a LAN; `None` if that is not known, and any name may be one.
    roles: Option<Roles>,
    numbers: BTreeMap<InterfaceName, u32>,
    next: u32,
    /// The LANs that are named or there.
    present: BTreeSet<InterfaceName>,
    /// How many numbers there may be before those that nobody needs are forgotten.
    limit: usize,
}

impl Lans {
    pub(super) const fn new(roles: Option<Roles>) -> Self {
        Self {
            roles,
            numbers: BTreeMap::new(),
            next: 1,
            present: BTreeSet::new(),
            limit: KEPT,
        }
    }

    /// The names and patterns of LANs in the configuration, if that is known and has none of them
    /// for this name.
    pub(super) fn instead_of(&self, name: &InterfaceName) -> Option<String> {
        let roles = self.roles.as_ref()?;
        (!roles.is_lan(&name.to_string())).then(|| roles.lans().collect::<Vec<_>>().join(", "))
    }

    /// Gives the LAN that an entry names a number.
    pub(super) fn meet(&mut self, entry: &Entry) {
        if let Some(name) = entry.key().interface() {
            self.number(name);
        }
    }

    fn number(&mut self, name: &InterfaceName) -> u32 {
        *self.numbers.entry(*name).or_insert_with(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// The number of a name that has one, not 0.
    pub(super) fn known(&self, name: &InterfaceName) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The numbers of the LANs that are named or there.
    pub(super) fn present(&self) -> impl Iterator<Item = u32> {
        self.present.iter().filter_map(|name| self.known(name))
    }

    /// Forgets what nobody needs if there is much of it.
    fn tidy(&mut self, named: impl Iterator<Item = InterfaceName>) {
        let mut needed = self.present.clone();
        needed.extend(named);
        self.numbers.retain(|name, _| needed.contains(name));
        self.limit = KEPT.max(self.numbers.len() * 2);
    }
}

impl Lists {
    /// A LAN is there: the number by which entries know it. 0 if none can name it.
    pub(in crate::daemon) fn lan_came(&mut self, name: &str) -> u32 {
        let Ok(name) = name.parse() else { return 0 };
        let lans = &mut self.translation.lans;
        lans.present.insert(name);
        if lans.numbers.len() >= lans.limit {
            let entries = self.set.iter();
            lans.tidy(entries.filter_map(|(_, entry)| entry.key().interface().copied()));
        }
        lans.number(&name)
    }

    /// A LAN is gone.
    pub(in crate::daemon) fn lan_went(&mut self, name: &str) {
        if let Ok(name) = name.parse() {
            self.translation.lans.present.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_while_it_is_needed() {
        let mut lans = Lans::new(None);
        let name = |text: &str| text.parse::<InterfaceName>().unwrap();
        let (entry, link) = (lans.number(&name("ppp0")), lans.number(&name("ppp1")));
        assert!(entry != 0 && link != 0 && entry != link);
        lans.present.insert(name("ppp1"));
        lans.number(&name("ppp2"));
        lans.tidy([name("ppp0")].into_iter());
        assert_eq!(lans.known(&name("ppp0")), Some(entry));
        assert_eq!(lans.known(&name("ppp1")), Some(link));
        assert_eq!(lans.known(&name("ppp2")), None);
        // A new one is nobody's old one.
        assert!(lans.number(&name("ppp3")) > link + 1);
        assert_eq!(lans.present().collect::<Vec<_>>(), [link]);
    }
}
