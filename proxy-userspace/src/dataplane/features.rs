//! What of BPF this kernel has, found out by trying: versions tell little of kernels that
//! distributions have added to.

use aya::{
    maps::MapType,
    programs::{ProgramType, SchedClassifier, TcAttachType},
    sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported},
};

use super::{Dataplane, DataplaneError, chain};

/// Something of the kernel that the programs need.
#[derive(Clone, Debug)]
pub struct Feature {
    /// The kernel's name for it.
    pub name: &'static str,
    /// What it is needed for.
    pub used_for: &'static str,
    /// Whether it is there, or why that cannot be told.
    pub is_there: Result<bool, String>,
}

/// Whether programs can be attached to TCX: asks about those of the loopback device.
///
/// # Errors
///
/// If it cannot be asked.
pub fn has_tcx() -> Result<bool, String> {
    match SchedClassifier::query_tcx("lo", TcAttachType::Ingress) {
        Ok(_) => Ok(true),
        Err(error) => {
            let text = chain(&error);
            // What a kernel says that does not know the place to attach to.
            if is_invalid(&error) {
                Ok(false)
            } else {
                Err(text)
            }
        }
    }
}

fn is_invalid(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let errno = error.downcast_ref::<std::io::Error>();
        if errno.and_then(std::io::Error::raw_os_error) == Some(libc::EINVAL) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether this kernel has programs that say which socket a connection is for.
///
/// # Errors
///
/// If it cannot be asked.
pub fn has_sk_lookup() -> Result<bool, String> {
    is_program_supported(ProgramType::SkLookup).map_err(|error| chain(&error))
}

/// The helpers and kinds of maps that the programs are made of.
#[must_use]
pub fn parts() -> Vec<Feature> {
    const HELPERS: [(BpfHelper, &str, &str); 6] = [
        (
            BpfHelper::BPF_FUNC_skc_lookup_tcp,
            "bpf_skc_lookup_tcp",
            "telling packets of weir's connections from others",
        ),
        (
            BpfHelper::BPF_FUNC_tcp_check_syncookie,
            "bpf_tcp_check_syncookie",
            "connections that SYN cookies answered",
        ),
        (
            BpfHelper::BPF_FUNC_fib_lookup,
            "bpf_fib_lookup",
            "whether a route leads out of a WAN",
        ),
        (
            BpfHelper::BPF_FUNC_skb_set_tunnel_key,
            "bpf_skb_set_tunnel_key",
            "letting go direct what an old socket of weir's would take",
        ),
        (
            BpfHelper::BPF_FUNC_loop,
            "bpf_loop",
            "the search in the bypass table",
        ),
        (
            BpfHelper::BPF_FUNC_for_each_map_elem,
            "bpf_for_each_map_elem",
            "forgetting what is over",
        ),
    ];
    const MAPS: [(MapType, &str, &str); 4] = [
        (
            MapType::SockMap,
            "BPF_MAP_TYPE_SOCKMAP",
            "the workers' listeners",
        ),
        (MapType::LpmTrie, "BPF_MAP_TYPE_LPM_TRIE", "own addresses"),
        (
            MapType::LruHash,
            "BPF_MAP_TYPE_LRU_HASH",
            "flows that are translated, or go direct",
        ),
        (
            MapType::RingBuf,
            "BPF_MAP_TYPE_RINGBUF",
            "answers that go around this host",
        ),
    ];
    let helpers = HELPERS.map(|(helper, name, used_for)| Feature {
        name,
        used_for,
        is_there: is_helper_supported(ProgramType::SchedClassifier, helper)
            .map_err(|error| chain(&error)),
    });
    let maps = MAPS.map(|(map, name, used_for)| Feature {
        name,
        used_for,
        is_there: is_map_supported(map).map_err(|error| chain(&error)),
    });
    helpers.into_iter().chain(maps).collect()
}

/// Loads all programs and maps, attaches nothing, and lets go of them. Must be called within a
/// runtime.
///
/// # Errors
///
/// As the kernel refuses them.
pub fn load() -> Result<(), DataplaneError> {
    Dataplane::load(1).map(drop)
}
