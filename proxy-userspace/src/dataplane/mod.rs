//! The kernel programs and their maps, as the daemon drives them. The only room that names aya.

mod around;
pub mod attach;
pub mod bypass;
pub mod counters;
pub mod features;
mod log;
mod looping;
pub mod neighbours;
mod object;
pub mod output;
mod own;
mod shadow;
mod stations;
mod translations;
pub mod watch;
mod why;

use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, RingBuf, SockMap},
    programs::{SchedClassifier, SkLookup},
};
use proxy_ebpf::{
    abi::{self, MAX_WORKERS, map},
    key::AddressBits,
    looping::{Looping, Origin},
    settings::{Interface, Settings},
};
use thiserror::Error;

use crate::sys::bpffs::Bpffs;
use attach::AttachError;

/// Why the kernel half cannot be loaded or driven.
#[derive(Debug, Error)]
pub enum DataplaneError {
    /// The embedded object is not ours.
    #[error(
        "the embedded kernel object has ABI version {found}, this binary speaks {expected}: rebuild with `cargo xtask build`"
    )]
    Abi {
        /// In the object.
        found: String,
        /// In this binary.
        expected: u32,
    },
    /// The kernel refused the object.
    #[error("cannot load the kernel programs: {0}")]
    Load(String),
    /// A map operation failed.
    #[error("cannot {operation} map {map}: {cause}")]
    Map {
        /// What was tried.
        operation: &'static str,
        /// The map.
        map: &'static str,
        /// The kernel's answer.
        cause: String,
    },
    /// What is asked for cannot be.
    #[error("{0}")]
    Refused(String),
    /// Attaching failed.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

impl DataplaneError {
    /// Whether the interface is not there.
    #[must_use]
    pub const fn is_of_a_missing_link(&self) -> bool {
        matches!(self, Self::Attach(error) if error.is_of_a_missing_link())
    }
}

/// The loaded programs and maps.
///
/// Dropping it detaches the `sk_lookup` program; TC programs stay attached until they are
/// detached ([`attach::detach_all`]), and let every new flow pass once the listeners are gone.
pub struct Dataplane {
    ebpf: Ebpf,
    settings: Array<MapData, Settings>,
    current: Settings,
    interfaces: HashMap<MapData, u32, Interface>,
    listeners: SockMap<MapData>,
    heartbeats: Heartbeats,
    own_addresses: LpmTrie<MapData, AddressBits, u32>,
    bypass: bypass::Bypass,
    flows: PerCpuArray<MapData, u64>,
    events: PerCpuArray<MapData, u64>,
    deliveries: PerCpuArray<MapData, u64>,
    translating: Array<MapData, u32>,
    looping: HashMap<MapData, Origin, Looping>,
    looped: Array<MapData, u64>,
    stations: HashMap<MapData, [u8; 6], u32>,
    went_around: RingBuf<MapData>,
    shadow: shadow::Shadowed,
    watching: watch::Watching,
    /// Where they are all pinned.
    maps: Option<Bpffs>,
    /// Whether they were another process's, whose programs may be attached still.
    adopted: bool,
}

impl Dataplane {
    /// Loads programs and maps, with room for so many connections that are translated, or cross a
    /// bridge; nothing is attached yet. Must be called within a runtime.
    ///
    /// Without `CAP_SYS_ADMIN` the maps cannot be [handed over](Self::maps).
    ///
    /// # Errors
    ///
    /// If the object is of another ABI, or the kernel refuses it.
    pub fn load(connections: u32) -> Result<Self, DataplaneError> {
        let maps = Bpffs::new().inspect_err(|error| {
            tracing::debug!(%error, "maps cannot be handed over: no BPF file system");
        });
        Self::load_with(connections, maps.ok(), false)
    }

    /// Loads the programs for the maps of another process, which are of this ABI.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn adopt(connections: u32, maps: Bpffs) -> Result<Self, DataplaneError> {
        let mut dataplane = Self::load_with(connections, Some(maps), true)?;
        let settings = dataplane.settings.get(&0, 0);
        dataplane.current = settings.map_err(reading(map::SETTINGS))?;
        Ok(dataplane)
    }

    fn load_with(
        connections: u32,
        maps: Option<Bpffs>,
        adopted: bool,
    ) -> Result<Self, DataplaneError> {
        object::check_abi()?;
        let mut loader = EbpfLoader::new();
        if let Some(maps) = &maps {
            for name in object::map_names() {
                loader.map_pin_path(name, maps.path(name));
            }
        }
        let mut ebpf = loader
            .map_max_entries(map::TRANSLATIONS, connections)
            .map_max_entries(map::PATHS, connections)
            .load(object::OBJECT)
            .map_err(|error| DataplaneError::Load(chain(&error)))?;
        for name in [
            abi::PROGRAM_STEER,
            abi::PROGRAM_STEER_L3,
            abi::PROGRAM_BRIDGE,
            abi::PROGRAM_LEAVE,
            abi::PROGRAM_MATCH,
            abi::PROGRAM_WHY,
            abi::PROGRAM_RECORD,
            abi::PROGRAM_SWEEP,
        ] {
            classifier(&mut ebpf, name)?
                .load()
                .map_err(|e| DataplaneError::Load(chain(&e)))?;
        }
        listen_program(&mut ebpf)?
            .load()
            .map_err(|e| DataplaneError::Load(chain(&e)))?;
        log::start(&mut ebpf);
        let heartbeats = Array::<_, u64>::try_from(take(&mut ebpf, map::HEARTBEATS)?);
        let heartbeats = heartbeats.map_err(opening(map::HEARTBEATS))?;
        Ok(Self {
            settings: take(&mut ebpf, map::SETTINGS)?
                .try_into()
                .map_err(opening(map::SETTINGS))?,
            current: Settings::IDLE,
            interfaces: take(&mut ebpf, map::INTERFACES)?
                .try_into()
                .map_err(opening(map::INTERFACES))?,
            listeners: take(&mut ebpf, map::LISTENERS)?
                .try_into()
                .map_err(opening(map::LISTENERS))?,
            heartbeats: Heartbeats(Arc::new(Mutex::new(heartbeats))),
            own_addresses: trie(&mut ebpf, map::OWN_ADDRESSES)?,
            bypass: bypass::Bypass::new(&mut ebpf, adopted)?,
            flows: take(&mut ebpf, map::FLOWS)?
                .try_into()
                .map_err(opening(map::FLOWS))?,
            deliveries: take(&mut ebpf, map::DELIVERIES)?
                .try_into()
                .map_err(opening(map::DELIVERIES))?,
            events: take(&mut ebpf, map::EVENTS)?
                .try_into()
                .map_err(opening(map::EVENTS))?,
            stations: take(&mut ebpf, map::STATIONS)?
                .try_into()
                .map_err(opening(map::STATIONS))?,
            translating: take(&mut ebpf, map::TRANSLATING)?
                .try_into()
                .map_err(opening(map::TRANSLATING))?,
            looping: take(&mut ebpf, map::LOOPING)?
                .try_into()
                .map_err(opening(map::LOOPING))?,
            looped: take(&mut ebpf, map::LOOPED)?
                .try_into()
                .map_err(opening(map::LOOPED))?,
            went_around: take(&mut ebpf, map::WENT_AROUND)?
                .try_into()
                .map_err(opening(map::WENT_AROUND))?,
            shadow: shadow::Shadowed::new(&mut ebpf)?,
            watching: watch::Watching::new(&mut ebpf)?,
            maps,
            adopted,
            ebpf,
        })
    }

    /// Where the maps are pinned, for another process to [adopt](Self::adopt) them.
    #[must_use]
    pub const fn maps(&self) -> Option<&Bpffs> {
        self.maps.as_ref()
    }

    /// What the programs were told last.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.current
    }

    /// Tells the programs.
    ///
    /// # Errors
    ///
    /// If the map cannot be written.
    pub fn set_settings(&mut self, settings: Settings) -> Result<(), DataplaneError> {
        self.settings
            .set(0, settings, 0)
            .map_err(writing(map::SETTINGS))?;
        self.current = settings;
        Ok(())
    }

    /// Puts a worker's listener of a family into its slot: from now on its flows are intercepted.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the socket.
    pub fn set_listener(
        &mut self,
        slot: u32,
        listener: &impl AsRawFd,
    ) -> Result<(), DataplaneError> {
        self.listeners
            .set(slot, listener, 0)
            .map_err(writing(map::LISTENERS))
    }

    /// A handle for the workers to write their heartbeats with.
    #[must_use]
    pub fn heartbeats(&self) -> Heartbeats {
        self.heartbeats.clone()
    }

    /// The handle of a program, for attaching.
    fn program_fd(&mut self, name: &'static str) -> Result<std::os::fd::OwnedFd, DataplaneError> {
        let program = classifier(&mut self.ebpf, name)?;
        let fd = program.fd().map_err(|e| DataplaneError::Load(chain(&e)))?;
        fd.as_fd()
            .try_clone_to_owned()
            .map_err(|e| DataplaneError::Load(e.to_string()))
    }
}

/// Writes heartbeats.
#[derive(Clone)]
pub struct Heartbeats(Arc<Mutex<Array<MapData, u64>>>);

impl Heartbeats {
    /// How long ago `worker` has written one; `None` if that cannot be read.
    #[must_use]
    pub fn age(&self, worker: u32) -> Option<Duration> {
        let heartbeats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = heartbeats.get(&(worker % MAX_WORKERS), 0).ok()?;
        Some(Duration::from_nanos(monotonic_ns().saturating_sub(last)))
    }

    /// Writes the heartbeat of `worker` (now, by the clock of `bpf_ktime_get_ns`).
    pub fn beat(&self, worker: u32) {
        let mut heartbeats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = heartbeats.set(worker % MAX_WORKERS, monotonic_ns(), 0) {
            tracing::error!(%error, worker, "cannot write the heartbeat");
        }
    }
}

fn monotonic_ns() -> u64 {
    let clock = nix::time::ClockId::CLOCK_MONOTONIC;
    nix::time::clock_gettime(clock).map_or(0, |now| {
        let seconds = u64::try_from(now.tv_sec()).unwrap_or_default();
        seconds * 1_000_000_000 + u64::try_from(now.tv_nsec()).unwrap_or_default()
    })
}

fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut SchedClassifier, DataplaneError> {
    let program = ebpf.program_mut(name);
    let program = program.ok_or_else(|| DataplaneError::Load(format!("no {name}")))?;
    program
        .try_into()
        .map_err(|e| DataplaneError::Load(chain(&e)))
}

fn listen_program(ebpf: &mut Ebpf) -> Result<&mut SkLookup, DataplaneError> {
    let program = ebpf.program_mut(abi::PROGRAM_LISTEN);
    let program = program.ok_or_else(|| DataplaneError::Load("no weir_listen".to_owned()))?;
    program
        .try_into()
        .map_err(|e| DataplaneError::Load(chain(&e)))
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, DataplaneError> {
    ebpf.take_map(name).ok_or(DataplaneError::Map {
        operation: "find",
        map: name,
        cause: "the object has none of that name".to_owned(),
    })
}

fn trie<V: Pod>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<LpmTrie<MapData, AddressBits, V>, DataplaneError> {
    take(ebpf, name)?.try_into().map_err(opening(name))
}

fn opening(map: &'static str) -> impl Fn(aya::maps::MapError) -> DataplaneError {
    move |error| DataplaneError::Map {
        operation: "open",
        map,
        cause: chain(&error),
    }
}

fn writing(map: &'static str) -> impl Fn(aya::maps::MapError) -> DataplaneError {
    move |error| DataplaneError::Map {
        operation: "write",
        map,
        cause: chain(&error),
    }
}

fn reading(map: &'static str) -> impl Fn(aya::maps::MapError) -> DataplaneError {
    move |error| DataplaneError::Map {
        operation: "read",
        map,
        cause: chain(&error),
    }
}

/// An error with its causes; aya's own messages often leave the errno to the cause.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
