//! Attaching the programs, and finding what an earlier daemon left attached.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use aya::programs::{
    ProgramError, ProgramInfo, SchedClassifier, TcAttachType, loaded_programs,
    sk_lookup::SkLookupLinkId,
};
use proxy_ebpf::{
    abi::{PROGRAM_BRIDGE, PROGRAM_LEAVE, PROGRAM_RECORD, PROGRAM_STEER, PROGRAM_STEER_L3, map},
    bridge::Mac,
    framing::Framing,
    settings::{Interface, ROLE_BRIDGE, ROLE_WAN},
};
use thiserror::Error;

use super::{Dataplane, DataplaneError, chain, classifier, listen_program, reading, writing};
use crate::sys::bpf;
pub use crate::sys::bpf::{Hook, on_tcx as numbers_on};

/// The programs that we attach to interfaces.
pub(super) const OURS: [&str; 5] = [
    PROGRAM_STEER,
    PROGRAM_STEER_L3,
    PROGRAM_BRIDGE,
    PROGRAM_RECORD,
    PROGRAM_LEAVE,
];

/// An interface as the programs know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its index.
    pub index: u32,
    /// What its packets begin with.
    pub framing: Framing,
    /// [`ROLE_LAN`](proxy_ebpf::settings::ROLE_LAN), [`ROLE_WAN`] or [`ROLE_BRIDGE`].
    pub role: u32,
    /// Its place among the interfaces.
    pub slot: u32,
    /// The number by which bypass entries know it; 0 for what is no LAN.
    pub lan: u32,
    /// Whether SYNs from here that no worker can take are refused.
    pub closed: bool,
    /// The bridge that it is a port of, or that it is.
    pub bridge: Option<Bridge>,
}

/// A bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Its index.
    pub index: u32,
    /// Its own address.
    pub mac: Mac,
}

impl Place {
    /// Whether what is attached to the one is right for the other.
    #[must_use]
    pub fn carries_the_same_as(&self, other: &Self) -> bool {
        self.index == other.index && self.programs() == other.programs()
    }

    /// The programs for it.
    fn programs(&self) -> Vec<(&'static str, Hook)> {
        match self.bridge {
            Some(_) if self.role == ROLE_BRIDGE => vec![(PROGRAM_LEAVE, Hook::Egress)],
            Some(_) => vec![(PROGRAM_BRIDGE, Hook::Ingress)],
            None if self.role & ROLE_WAN != 0 => vec![
                (self.framing.program(), Hook::Ingress),
                (PROGRAM_RECORD, Hook::Egress),
            ],
            None => vec![(self.framing.program(), Hook::Ingress)],
        }
    }
}

/// Why a program cannot be attached or detached.
#[derive(Debug, Error)]
#[error("cannot {operation} the TC program {at}: {cause}{remedy}")]
pub struct AttachError {
    operation: &'static str,
    at: String,
    cause: String,
    errno: Option<i32>,
    remedy: &'static str,
}

impl AttachError {
    pub(super) const fn is_of_a_missing_link(&self) -> bool {
        matches!(self.errno, Some(libc::ENODEV))
    }
}

/// Keeps the `sk_lookup` program attached; see [`Dataplane::detach_listen`].
pub struct ListenLink(SkLookupLinkId);

impl Dataplane {
    /// Gives the interface its role and attaches the TC programs for it. On an error it carries
    /// none of them.
    ///
    /// # Errors
    ///
    /// If the map or the interface refuses.
    pub fn attach(&mut self, name: &str, place: &Place) -> Result<(), DataplaneError> {
        let attached = self.attach_all(name, place);
        if attached.is_err() {
            // What is said is why it could not be attached.
            let _ = self.forget(place.index);
            let _ = self.detach(name, place.index);
        }
        attached
    }

    fn attach_all(&mut self, name: &str, place: &Place) -> Result<(), DataplaneError> {
        self.set_role(place, [0; 2])?;
        for (program, hook) in place.programs() {
            self.attach_to(name, place.index, program, hook)?;
        }
        Ok(())
    }

    fn attach_to(
        &mut self,
        name: &str,
        index: u32,
        program: &'static str,
        hook: Hook,
    ) -> Result<(), DataplaneError> {
        let fd = self.program_fd(program)?;
        let attached = match self.predecessor(name, program, hook)? {
            Some(old) => bpf::replace_tcx(fd.as_fd(), index, hook, old.as_fd()),
            None => bpf::attach_tcx(fd.as_fd(), index, hook),
        };
        match attached {
            // A link that came back from another namespace has it still.
            Err(error) if error.raw_os_error() != Some(libc::EEXIST) => {
                let remedy = match error.raw_os_error() {
                    Some(libc::EINVAL) => " (TCX needs Linux 6.6 or later)",
                    Some(libc::EPERM) => " (CAP_BPF and CAP_NET_ADMIN are needed)",
                    _ => "",
                };
                Err(failed("attach", name, &error, remedy).into())
            }
            _ => Ok(()),
        }
    }

    /// The program of that name of a process whose maps are ours, or were: with both of them on
    /// an interface, a packet would be counted twice, and seem to have come round.
    fn predecessor(
        &mut self,
        interface: &str,
        program: &'static str,
        hook: Hook,
    ) -> Result<Option<OwnedFd>, DataplaneError> {
        if !self.adopted {
            return Ok(None);
        }
        let own = self.program_numbers()?;
        let meant = |it: &ProgramInfo| it.name_as_str() == Some(program) && !own.contains(&it.id());
        Ok(attached_if(interface, hook, meant)?.pop())
    }

    /// Takes programs of ours from an interface that are another process's.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn detach_predecessors(&mut self, name: &str, index: u32) -> Result<(), DataplaneError> {
        let own = self.program_numbers()?;
        detach_if(name, index, |program| !own.contains(&program.id()))?;
        Ok(())
    }

    /// From now on, programs of another process give way to this one's: its maps are ours as well.
    pub const fn expect_predecessors(&mut self) {
        self.adopted = true;
    }

    /// There are none left. To look for them takes `CAP_SYS_ADMIN`.
    pub const fn expect_no_predecessors(&mut self) {
        self.adopted = false;
    }

    /// Forgets all interfaces but these.
    ///
    /// # Errors
    ///
    /// If the map refuses.
    pub fn forget_others(&mut self, known: &[u32]) -> Result<(), DataplaneError> {
        let all: Result<Vec<u32>, _> = self.interfaces.keys().collect();
        let all = all.map_err(reading(map::INTERFACES))?;
        all.into_iter()
            .filter(|index| !known.contains(index))
            .try_for_each(|index| self.forget(index))
    }

    /// Takes this daemon's own programs from an interface. What is not there is fine.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn detach(&mut self, name: &str, index: u32) -> Result<(), DataplaneError> {
        for program in OURS {
            let program = self.program_fd(program)?;
            for hook in Hook::BOTH {
                detach_from(name, index, program.as_fd(), hook)?;
            }
        }
        Ok(())
    }

    /// The kernel's numbers (`BPF_PROG_GET_FD_BY_ID`) of the programs that are attached to
    /// interfaces.
    ///
    /// # Errors
    ///
    /// If the kernel does not tell them.
    pub fn program_numbers(&mut self) -> Result<Vec<u32>, DataplaneError> {
        let number = |program| {
            let info = classifier(&mut self.ebpf, program)?.info();
            info.map(|info| info.id())
                .map_err(|error| DataplaneError::Load(chain(&error)))
        };
        OURS.into_iter().map(number).collect()
    }

    /// Forgets an interface that is gone; its attachment went with it.
    ///
    /// # Errors
    ///
    /// If the map refuses.
    pub fn forget(&mut self, index: u32) -> Result<(), DataplaneError> {
        match self.interfaces.remove(&index) {
            Err(aya::maps::MapError::KeyNotFound) => Ok(()),
            other => other.map_err(writing(map::INTERFACES)),
        }
    }

    /// Tells the programs of an interface, and the state of its valves (IPv4, IPv6).
    ///
    /// # Errors
    ///
    /// If the map refuses.
    pub fn set_role(&mut self, place: &Place, valve: [u32; 2]) -> Result<(), DataplaneError> {
        let interface = Interface {
            role: place.role,
            slot: place.slot,
            valve,
            bridge: place.bridge.map_or(0, |bridge| bridge.index),
            mac: place.bridge.map_or([0; 6], |bridge| bridge.mac),
            closed: u8::from(place.closed),
            reserved: 0,
            lan: place.lan,
        };
        self.interfaces
            .insert(place.index, interface, 0)
            .map_err(writing(map::INTERFACES))
    }

    /// Attaches the `sk_lookup` program to the network namespace `netns`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn attach_listen(&mut self, netns: impl AsFd) -> Result<ListenLink, DataplaneError> {
        let program = listen_program(&mut self.ebpf)?;
        let link = program.attach(netns).map_err(|error| AttachError {
            operation: "attach",
            at: "for socket lookups".to_owned(),
            cause: chain(&error),
            errno: None,
            remedy: "",
        })?;
        Ok(ListenLink(link))
    }

    /// Detaches the `sk_lookup` program.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn detach_listen(&mut self, link: ListenLink) -> Result<(), DataplaneError> {
        let program = listen_program(&mut self.ebpf)?;
        program
            .detach(link.0)
            .map_err(|e| DataplaneError::Load(chain(&e)))
    }
}

/// Programs of ours on the interface, ours or an earlier daemon's.
///
/// # Errors
///
/// If the interface cannot be asked; that it does not exist is no error.
pub fn attached(interface: &str, hook: Hook) -> Result<Vec<OwnedFd>, AttachError> {
    attached_if(interface, hook, |_| true)
}

/// Those that are `meant`.
fn attached_if(
    interface: &str,
    hook: Hook,
    meant: impl Fn(&ProgramInfo) -> bool,
) -> Result<Vec<OwnedFd>, AttachError> {
    let named = named(interface, hook, meant)?;
    Ok(named.into_iter().map(|(program, _)| program).collect())
}

/// Those that are `meant`, with their names.
fn named(
    interface: &str,
    hook: Hook,
    meant: impl Fn(&ProgramInfo) -> bool,
) -> Result<Vec<(OwnedFd, String)>, AttachError> {
    let asking = |error: &ProgramError| failed("query", interface, &io_error(error), "");
    let attach_type = match hook {
        Hook::Ingress => TcAttachType::Ingress,
        Hook::Egress => TcAttachType::Egress,
    };
    let programs = match SchedClassifier::query_tcx(interface, attach_type) {
        Ok((_, programs)) => programs,
        Err(error) => {
            return match io_error(&error).raw_os_error() {
                Some(libc::ENODEV | libc::ENXIO | libc::ENOENT) => Ok(Vec::new()),
                _ => Err(asking(&error)),
            };
        }
    };
    let is_ours =
        |program: &ProgramInfo| program.name_as_str().is_some_and(|it| OURS.contains(&it));
    let mut ours = Vec::new();
    for program in programs.iter().filter(|it| is_ours(it) && meant(it)) {
        let fd = program.fd().map_err(|error| asking(&error))?;
        let fd = fd.as_fd().try_clone_to_owned();
        let fd = fd.map_err(|e| failed("query", interface, &e, ""))?;
        ours.push((fd, program.name_as_str().unwrap_or_default().to_owned()));
    }
    Ok(ours)
}

/// Detaches every program of ours from the interface. A missing interface is fine.
///
/// # Errors
///
/// If the kernel refuses.
pub fn detach_all(interface: &str, index: u32) -> Result<(), AttachError> {
    detach_if(interface, index, |_| true).map(|_| ())
}

/// Puts programs with these [numbers](Dataplane::program_numbers) into the places of others of
/// ours on the interface.
///
/// # Errors
///
/// If the kernel refuses.
pub fn reinstate(interface: &str, index: u32, numbers: &[u32]) -> Result<(), AttachError> {
    for hook in Hook::BOTH {
        let strangers = |it: &ProgramInfo| !numbers.contains(&it.id());
        for (stranger, name) in named(interface, hook, strangers)? {
            let own = own_program(numbers, &name)
                .map_err(|error| failed("put back", interface, &error, ""))?;
            match bpf::replace_tcx(own.as_fd(), index, hook, stranger.as_fd()) {
                // It is there as well.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
                    detach_from(interface, index, stranger.as_fd(), hook)?;
                }
                Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                    return Err(failed("put back", interface, &error, ""));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// That of these programs that has the name.
fn own_program(numbers: &[u32], name: &str) -> io::Result<OwnedFd> {
    let ours = loaded_programs().filter_map(Result::ok);
    let mut ours = ours.filter(|it| numbers.contains(&it.id()));
    let own = ours.find(|it| it.name_as_str() == Some(name));
    let own = own.ok_or(io::ErrorKind::NotFound)?;
    let fd = own.fd().map_err(|error| io_error(&error))?;
    fd.as_fd().try_clone_to_owned()
}

/// Detaches those of ours that have one of these [numbers](Dataplane::program_numbers), and
/// returns how many there were.
///
/// # Errors
///
/// If the kernel refuses.
pub fn detach_numbered(interface: &str, index: u32, numbers: &[u32]) -> Result<usize, AttachError> {
    detach_if(interface, index, |program| numbers.contains(&program.id()))
}

fn detach_if(
    interface: &str,
    index: u32,
    meant: impl Fn(&ProgramInfo) -> bool,
) -> Result<usize, AttachError> {
    let mut count = 0;
    for hook in Hook::BOTH {
        for program in attached_if(interface, hook, &meant)? {
            detach_from(interface, index, program.as_fd(), hook)?;
            count += 1;
        }
    }
    Ok(count)
}

fn detach_from(
    interface: &str,
    index: u32,
    program: BorrowedFd<'_>,
    hook: Hook,
) -> Result<(), AttachError> {
    match bpf::detach_tcx(program, index, hook) {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {
            Err(failed("detach", interface, &error, ""))
        }
        _ => Ok(()),
    }
}

fn failed(
    operation: &'static str,
    interface: &str,
    error: &io::Error,
    remedy: &'static str,
) -> AttachError {
    AttachError {
        operation,
        at: format!("of {interface}"),
        cause: error.to_string(),
        errno: error.raw_os_error(),
        remedy,
    }
}

fn io_error(error: &ProgramError) -> io::Error {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io.raw_os_error().map_or_else(
                || io::Error::new(io.kind(), io.to_string()),
                io::Error::from_raw_os_error,
            );
        }
        source = cause.source();
    }
    io::Error::other(chain(error))
}
