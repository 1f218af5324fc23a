//! What the programs saw of packets that come back to us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proxy_ebpf::{
    abi::map,
    key::{AddressBits, IPV4},
    looping::{Looping, Origin},
};

use super::{Dataplane, DataplaneError, reading, writing};

impl Dataplane {
    /// When a packet came round last (`CLOCK_MONOTONIC`, nanoseconds); 0 if none ever did.
    ///
    /// # Errors
    ///
    /// If the map cannot be read.
    pub fn looped(&self) -> Result<u64, DataplaneError> {
        self.looped.get(&0, 0).map_err(reading(map::LOOPED))
    }

    /// The origins whose packets have come round.
    ///
    /// # Errors
    ///
    /// If the map cannot be read.
    pub fn looping(&self) -> Result<Vec<(IpAddr, Looping)>, DataplaneError> {
        let mut all = Vec::new();
        for entry in self.looping.iter() {
            let (origin, looping) = entry.map_err(reading(map::LOOPING))?;
            all.push((address(&origin), looping));
        }
        Ok(all)
    }

    /// Forgets them: they are intercepted again.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn forget_looping(&mut self) -> Result<(), DataplaneError> {
        let origins: Vec<_> = self.looping.keys().filter_map(Result::ok).collect();
        for origin in origins {
            match self.looping.remove(&origin) {
                // The kernel may have thrown it out in between.
                Err(aya::maps::MapError::KeyNotFound) => {}
                other => other.map_err(writing(map::LOOPING))?,
            }
        }
        Ok(())
    }
}

fn address(origin: &Origin) -> IpAddr {
    let AddressBits { family, address } = *origin;
    if family == IPV4.to_be() {
        return Ipv4Addr::from(address[0].to_ne_bytes()).into();
    }
    let mut octets = [0; 16];
    for (chunk, word) in octets.chunks_exact_mut(4).zip(address) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(octets).into()
}

#[cfg(test)]
mod tests {
    use proxy_ebpf::key;

    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in ["203.0.113.7", "2001:db8::1:2"] {
            let origin: IpAddr = text.parse().unwrap();
            let (family, words) = key::address(origin);
            assert_eq!(address(&AddressBits::new(family, words)), origin);
        }
    }
}
