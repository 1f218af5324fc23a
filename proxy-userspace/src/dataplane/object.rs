//! The embedded object of the kernel programs.

use aya::include_bytes_aligned;
use object::{Object as _, ObjectSection as _};
use proxy_ebpf::abi::{ABI_SECTION, ABI_VERSION};

use super::DataplaneError;

/// Built from `proxy-ebpf` by this package's build script.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!(env!("WEIR_OBJECT"));

/// Refuses an object that was built from another version of the contract.
pub(super) fn check_abi() -> Result<(), DataplaneError> {
    match abi_version(OBJECT) {
        Some(ABI_VERSION) => Ok(()),
        found => Err(DataplaneError::Abi {
            found: found.map_or_else(|| "none".to_owned(), |version| version.to_string()),
            expected: ABI_VERSION,
        }),
    }
}

fn abi_version(object: &[u8]) -> Option<u32> {
    let file = object::File::parse(object).ok()?;
    let data = file.section_by_name(ABI_SECTION)?.data().ok()?;
    data.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_object_is_of_our_version() {
        assert_eq!(abi_version(OBJECT), Some(ABI_VERSION));
    }

    #[test]
    fn what_is_no_object_of_ours_has_no_version() {
        assert_eq!(abi_version(b""), None);
        assert_eq!(abi_version(&OBJECT[..64]), None);
    }
}
