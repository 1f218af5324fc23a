//! What the programs on an interface know.

use std::collections::BTreeSet;

use aya::{
    maps::{HashMap, Map, MapData, MapInfo},
    programs::tc::{SchedClassifier, TcAttachType},
};
use proxy_userspace::lab::Namespace;

/// Octets of `proxy_ebpf::settings::Interface`.
const VALUE: usize = 32;

/// The indices of the interfaces that the program on the ingress of `interface` knows.
///
/// # Panics
///
/// When there is none of ours.
#[must_use]
pub fn known_interfaces(namespace: &Namespace, interface: &str) -> BTreeSet<u32> {
    let known = || {
        let (_, programs) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress).ok()?;
        let is_ours = |name: Option<&str>| name.is_some_and(|name| name.starts_with("weir_"));
        let program = programs.iter().find(|it| is_ours(it.name_as_str()))?;
        let ids = program.map_ids().ok()??;
        let mut maps = ids.into_iter().filter_map(|id| MapInfo::from_id(id).ok());
        let map = maps.find(|map| map.name_as_str() == Some("INTERFACES"))?;
        let map = Map::HashMap(MapData::from_id(map.id()).ok()?);
        let map: HashMap<MapData, u32, [u8; VALUE]> = map.try_into().ok()?;
        Some(map.keys().filter_map(Result::ok).collect())
    };
    let known = namespace
        .run(known)
        .unwrap_or_else(|error| panic!("{error}"));
    known.unwrap_or_else(|| panic!("no program of ours on {interface}"))
}
