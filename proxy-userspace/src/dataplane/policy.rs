//! The tries: bypass lists and own addresses.

use aya::maps::{LpmTrie, MapData, MapError, lpm_trie::Key};
use ipnet::IpNet;
use proxy_ebpf::{
    abi::map,
    key::{self, AddressBits},
};

use super::{Dataplane, DataplaneError, chain, writing};

/// Which side of a flow a bypass prefix is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The origin.
    Destination,
    /// The client.
    Source,
}

impl Dataplane {
    /// Adds a bypass prefix; what is there already is fine.
    ///
    /// # Errors
    ///
    /// If the map is full, or cannot be written.
    pub fn add_bypass(&mut self, side: Side, prefix: IpNet) -> Result<(), DataplaneError> {
        let (trie, name) = self.bypass(side);
        insert(trie, name, prefix)
    }

    /// Removes a bypass prefix; what is gone is fine.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn remove_bypass(&mut self, side: Side, prefix: IpNet) -> Result<(), DataplaneError> {
        let (trie, name) = self.bypass(side);
        remove(trie, name, prefix)
    }

    /// Adds a prefix that this host itself answers for.
    ///
    /// # Errors
    ///
    /// If the map is full, or cannot be written.
    pub fn add_own(&mut self, prefix: IpNet) -> Result<(), DataplaneError> {
        insert(&mut self.own_addresses, map::OWN_ADDRESSES, prefix)
    }

    /// Removes such a prefix.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn remove_own(&mut self, prefix: IpNet) -> Result<(), DataplaneError> {
        remove(&mut self.own_addresses, map::OWN_ADDRESSES, prefix)
    }

    fn bypass(&mut self, side: Side) -> (&mut Trie, &'static str) {
        match side {
            Side::Destination => (&mut self.bypass_destinations, map::BYPASS_DESTINATIONS),
            Side::Source => (&mut self.bypass_sources, map::BYPASS_SOURCES),
        }
    }
}

type Trie = LpmTrie<MapData, AddressBits, u32>;

fn insert(trie: &mut Trie, name: &'static str, prefix: IpNet) -> Result<(), DataplaneError> {
    trie.insert(&trie_key(prefix), 1, 0)
        .map_err(|error| DataplaneError::Map {
            operation: "insert into",
            map: name,
            cause: format!("{prefix}: {}", chain(&error)),
        })
}

fn remove(trie: &mut Trie, name: &'static str, prefix: IpNet) -> Result<(), DataplaneError> {
    match trie.remove(&trie_key(prefix)) {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        other => other.map_err(writing(name)),
    }
}

fn trie_key(prefix: IpNet) -> Key<AddressBits> {
    let (family, address) = key::address(prefix.network());
    let bits = AddressBits::FAMILY_BITS + u32::from(prefix.prefix_len());
    Key::new(bits, AddressBits::new(family, address))
}
