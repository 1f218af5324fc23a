//! Features of network interfaces, as `ethtool -k` and `-K` have them (`linux/ethtool.h`).

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETH_SS_FEATURES: u32 = 4;
const ETH_GSTRING_LEN: usize = 32;

/// More features than this are no answer.
const MAX_FEATURES: usize = 1024;

/// Whether an interface of the calling thread's network namespace has a feature on, by the
/// kernel's name for it (`hw-tc-offload`, `rx-gro`). `None` if this kernel has no such feature.
///
/// # Errors
///
/// As `ioctl(2)`: `ENODEV`, `EOPNOTSUPP`; `InvalidInput` for a name that is too long.
pub fn feature(interface: &str, name: &str) -> io::Result<Option<bool>> {
    let request = Request::new(interface)?;
    let names = request.names()?;
    let Some(number) = names.iter().position(|it| it == name) else {
        return Ok(None);
    };
    // `struct ethtool_gfeatures`: command, blocks; of each available, requested, active, fixed.
    let blocks = names.len().div_ceil(32);
    let mut words = vec![0; 2 + 4 * blocks];
    words[0] = ETHTOOL_GFEATURES;
    words[1] = u32::try_from(blocks).unwrap_or(u32::MAX);
    request.call(&mut words)?;
    Ok(Some(
        words[2 + 4 * (number / 32) + 2] >> (number % 32) & 1 != 0,
    ))
}

/// Switches a feature, for throwaway networks.
///
/// # Errors
///
/// As [`feature`]; `NotFound` if this kernel has no such feature, `EPERM`.
pub fn set_feature(interface: &str, name: &str, on: bool) -> io::Result<()> {
    let request = Request::new(interface)?;
    let names = request.names()?;
    let number = names.iter().position(|it| it == name);
    let number = number.ok_or(io::ErrorKind::NotFound)?;
    // `struct ethtool_sfeatures`: command, blocks; of each which are meant, which are wanted.
    let blocks = names.len().div_ceil(32);
    let mut words = vec![0; 2 + 2 * blocks];
    words[0] = ETHTOOL_SFEATURES;
    words[1] = u32::try_from(blocks).unwrap_or(u32::MAX);
    let bit = 1 << (number % 32);
    words[2 + 2 * (number / 32)] = bit;
    words[2 + 2 * (number / 32) + 1] = if on { bit } else { 0 };
    request.call(&mut words)
}

/// A socket to ask by, and the interface that is asked about.
struct Request {
    socket: OwnedFd,
    name: [u8; libc::IFNAMSIZ],
}

/// The part of `struct ifreq` for `SIOCETHTOOL`, as long as the whole.
#[repr(C)]
struct IfReq {
    name: [u8; libc::IFNAMSIZ],
    data: *mut u32,
    rest: [u8; 16],
}

const _: () = assert!(size_of::<IfReq>() == size_of::<libc::ifreq>());

impl Request {
    fn new(interface: &str) -> io::Result<Self> {
        let mut name = [0; libc::IFNAMSIZ];
        let octets = interface.as_bytes();
        if octets.len() >= name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        name[..octets.len()].copy_from_slice(octets);
        let (family, kind) = (AddressFamily::Inet, SockType::Datagram);
        let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self { socket, name })
    }

    /// The kernel's names of features, in the order of their bits.
    fn names(&self) -> io::Result<Vec<String>> {
        // `struct ethtool_sset_info`: command, reserved, mask of sets (64 bits), a count for each.
        let mut info = [ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0, 0];
        if cfg!(target_endian = "big") {
            info.swap(2, 3);
        }
        self.call(&mut info)?;
        let count = info[4] as usize;
        if count > MAX_FEATURES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // `struct ethtool_gstrings`: command, set, count, names.
        let mut words = vec![0; 3 + count * ETH_GSTRING_LEN / size_of::<u32>()];
        words[..3].copy_from_slice(&[ETHTOOL_GSTRINGS, ETH_SS_FEATURES, info[4]]);
        self.call(&mut words)?;
        let octets: Vec<u8> = words[3..]
            .iter()
            .flat_map(|word: &u32| word.to_ne_bytes())
            .collect();
        let name = |name: &[u8]| {
            let end = name.iter().position(|octet| *octet == 0);
            String::from_utf8_lossy(&name[..end.unwrap_or(name.len())]).into_owned()
        };
        Ok(octets.chunks_exact(ETH_GSTRING_LEN).map(name).collect())
    }

    /// `words` is a command's struct, with room for all that its counts ask for.
    fn call(&self, words: &mut [u32]) -> io::Result<()> {
        let mut request = IfReq {
            name: self.name,
            data: words.as_mut_ptr(),
            rest: [0; 16],
        };
        // SAFETY: private, and called for the commands above only: each begins a struct of 32-bit
        // words whose size, by the counts in it, is that of `words`, which lives across the call,
        // as does `request`, which is as long as `struct ifreq`.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_features() {
        assert_eq!(feature("lo", "hw-tc-offload").unwrap(), Some(false));
        assert_eq!(feature("lo", "tx-tcp-segmentation").unwrap(), Some(true));
        assert_eq!(feature("lo", "no-such-thing").unwrap(), None);
        assert!(feature("no-such-link", "rx-gro").is_err());
        assert!(feature("a-name-that-is-too-long", "rx-gro").is_err());
    }
}
