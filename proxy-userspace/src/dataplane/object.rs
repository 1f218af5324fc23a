//! The embedded object of the kernel programs.

use aya::include_bytes_aligned;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
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

/// Sections whose symbols are maps: of `#[map]`, and of those that are described by BTF.
const MAP_SECTIONS: [&str; 2] = ["maps", ".maps"];

/// Names of the maps.
pub(super) fn map_names() -> Vec<&'static str> {
    let Ok(file) = object::File::parse(OBJECT) else {
        return Vec::new();
    };
    let is_map = |symbol: &object::Symbol<'static, '_>| {
        let section = symbol.section_index()?;
        let section = file.section_by_index(section).ok()?;
        Some(MAP_SECTIONS.contains(&section.name().ok()?))
    };
    let maps = file.symbols().filter(|symbol| is_map(symbol) == Some(true));
    let names = maps.filter_map(|symbol| symbol.name().ok());
    names.filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use proxy_ebpf::abi::map;

    use super::*;

    #[test]
    fn maps_of_both_kinds_are_found() {
        let names = map_names();
        for name in [map::SETTINGS, map::TRANSLATIONS, map::BYPASS] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert!(!names.contains(&"weir_steer"));
    }

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
