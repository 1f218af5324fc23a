//! The trie of own addresses.

use aya::maps::{LpmTrie, MapData, MapError, lpm_trie::Key};
use ipnet::IpNet;
use proxy_ebpf::{
    abi::map,
    key::{self, AddressBits},
};

use super::{Dataplane, DataplaneError, chain, writing};

impl Dataplane {
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
