//! Attaching the programs for this host's own connections, and what it counts.

use std::{fs, fs::File, path::PathBuf};

use aya::{
    maps::Array,
    programs::{CgroupAttachMode, CgroupSockAddr, Program, ProgramError, SockOps},
};
use proxy_ebpf::{
    abi::{self, map},
    output::{LOOPBACK, Output, SLOT},
    settings::{Interface, ROLE_OUTPUT},
    verdict::Reason,
};

use super::{Dataplane, DataplaneError, chain, opening, reading, take, writing};
use crate::sys;

/// Where the kernel tells the mounts of the calling process (`proc_pid_mountinfo(5)`).
const MOUNTS: &str = "/proc/self/mountinfo";

/// How many of this host's connections there were, by reason.
pub struct OutputFlows(Array<aya::maps::MapData, u64>);

impl OutputFlows {
    /// So many since the program was attached.
    ///
    /// # Errors
    ///
    /// If the map cannot be read.
    pub fn count(&self, reason: Reason) -> Result<u64, DataplaneError> {
        let count = self.0.get(&(reason as u32), 0);
        count.map_err(reading(map::OUTPUT_FLOWS))
    }
}

impl Dataplane {
    /// Attaches the programs to the root of the cgroup hierarchy, for sockets of the calling
    /// thread's network namespace; `mark` is the bit that those get that are to be intercepted.
    ///
    /// The links are this process's own: whatever its end is, new connections go direct from then on.
    ///
    /// # Errors
    ///
    /// If there is no cgroup2 file system here, or the kernel refuses (`SO_NETNS_COOKIE`: Linux
    /// 5.14).
    pub fn attach_output(&mut self, mark: u32) -> Result<OutputFlows, DataplaneError> {
        let refused = |what: &str, cause: &dyn std::error::Error| {
            DataplaneError::Refused(format!(
                "cannot intercept this host's own connections: {what}: {}",
                chain(cause)
            ))
        };
        let root = root_cgroup()?;
        let path = root.display();
        let cgroup = File::open(&root).map_err(|e| refused(&format!("open {path}"), &e))?;
        let netns_cookie = std::net::UdpSocket::bind(("127.0.0.1", 0))
            .and_then(|socket| sys::socket::netns_cookie(&socket))
            .map_err(|e| refused("SO_NETNS_COOKIE (Linux 5.14 or later)", &e))?;
        let mut settings: Array<_, Output> = take(&mut self.ebpf, map::OUTPUT)?
            .try_into()
            .map_err(opening(map::OUTPUT))?;
        let flows = take(&mut self.ebpf, map::OUTPUT_FLOWS)?
            .try_into()
            .map_err(opening(map::OUTPUT_FLOWS))?;
        let output = Output {
            netns_cookie,
            mark,
            reserved: 0,
        };
        settings.set(0, output, 0).map_err(writing(map::OUTPUT))?;
        self.set_output_valve([0; 2])?;
        // No flags: a link stands beside others in any case (`cgroup_bpf_link_attach`). The program
        // that marks comes last.
        let alone = CgroupAttachMode::Single;
        for name in abi::PROGRAMS_CONNECT {
            let program: &mut CgroupSockAddr = self.program(name)?;
            let attached = program.load().and_then(|()| program.attach(&cgroup, alone));
            attached.map_err(|e| refused(&format!("attach {name} to {path}"), &e))?;
        }
        let name = abi::PROGRAM_OUTPUT;
        let program: &mut SockOps = self.program(name)?;
        let attached = program.load().and_then(|()| program.attach(&cgroup, alone));
        attached.map_err(|e| refused(&format!("attach {name} to {path}"), &e))?;
        Ok(OutputFlows(flows))
    }

    fn program<'a, T>(&'a mut self, name: &'static str) -> Result<&'a mut T, DataplaneError>
    where
        &'a mut T: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        let program = self.ebpf.program_mut(name);
        let program = program.ok_or_else(|| DataplaneError::Load(format!("no {name}")))?;
        program
            .try_into()
            .map_err(|e: ProgramError| DataplaneError::Load(chain(&e)))
    }

    /// Tells the state of its valves: IPv4, IPv6, not 0 where own connections do not reach the
    /// listener.
    ///
    /// # Errors
    ///
    /// If the map refuses.
    pub fn set_output_valve(&mut self, valve: [u32; 2]) -> Result<(), DataplaneError> {
        let loopback = Interface {
            role: ROLE_OUTPUT,
            slot: SLOT,
            lan: 0,
            valve,
            bridge: 0,
            mac: [0; 6],
            closed: 0,
            reserved: 0,
        };
        self.interfaces
            .insert(LOOPBACK, loopback, 0)
            .map_err(writing(map::INTERFACES))
    }
}

/// Where the cgroup2 file system is mounted.
fn root_cgroup() -> Result<PathBuf, DataplaneError> {
    let mounts = fs::read_to_string(MOUNTS).unwrap_or_default();
    cgroup2(&mounts).ok_or_else(|| {
        DataplaneError::Refused(
            "cannot intercept this host's own connections: no cgroup2 file system is mounted here \
             (`mount -t cgroup2 none DIRECTORY` mounts one; below `ip netns exec` there is none, \
             `weir run --netns` sees the host's)"
                .to_owned(),
        )
    })
}

/// The mount point of the largest part of the hierarchy that is mounted.
fn cgroup2(mounts: &str) -> Option<PathBuf> {
    let mounted = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (file_system.split(' ').next()? == "cgroup2").then_some((root, point))
    });
    let (_, point) = mounted.min_by_key(|(root, _)| root.len())?;
    Some(PathBuf::from(unescaped(point)))
}

/// Blanks and the like are `\040` there.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part
            .get(..3)
            .and_then(|octal| u8::from_str_radix(octal, 8).ok())
        {
            Some(octet) => {
                plain.push(char::from(octet));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_cgroup2_mount_is_taken() {
        let mounts = "22 1 0:5 / /proc rw shared:1 - proc proc rw\n\
                      31 25 0:28 /machine.slice /srv/c rw - cgroup2 cgroup rw\n\
                      30 25 0:28 / /sys/fs/a\\040b rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
                      32 25 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(cgroup2(mounts), Some(PathBuf::from("/sys/fs/a b")));
        assert_eq!(cgroup2("22 1 0:5 / /proc rw - proc proc rw\n"), None);
        assert_eq!(cgroup2("torn - cgroup2"), None);
        assert_eq!(unescaped("a\\x\\1"), "a\\x\\1");
    }
}
