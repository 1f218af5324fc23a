//! Links without a link-layer header: two tun devices, and a thread between them.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proxy_userspace::{
    lab::{LAN, Namespace, Network, WAN},
    sys::tun,
};

use crate::wait::until;

/// How long the kernel may take to take an address into use, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);
/// How often the thread looks whether it is to end, milliseconds.
const LOOK: u16 = 50;

/// An interface of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct At<'a>(pub &'a Namespace, pub &'static str);

/// A link that carries nothing but IP packets. On drop, its devices go.
#[derive(Debug)]
pub struct TunLink {
    devices: Arc<[File; 2]>,
    addressed: [Addressed; 2],
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TunLink {
    /// In place of the LAN's veth pair.
    #[must_use]
    pub fn lan(net: &Network) -> Self {
        Self::instead([At(&net.client, "eth0"), At(&net.router, LAN)], None)
    }

    /// In place of the WAN's veth pair.
    #[must_use]
    pub fn wan(net: &Network) -> Self {
        Self::instead([At(&net.origin, "eth0"), At(&net.router, WAN)], None)
    }

    /// In place of the pair of interfaces, with their names, addresses and routes. A link type
    /// (`ARPHRD_*`) is for the second.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn instead(pair: [At<'_>; 2], link_type: Option<u16>) -> Self {
        Self::made(pair, link_type, tun::open)
    }

    /// The same for a link over which packets of up to 64 KiB go whole.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn offloading(pair: [At<'_>; 2]) -> Self {
        Self::made(pair, None, tun::open_offloading)
    }

    fn made(pair: [At<'_>; 2], link_type: Option<u16>, open: fn(&str) -> io::Result<File>) -> Self {
        let addressed = pair.map(Addressed::of);
        let At(namespace, name) = pair[0];
        namespace.ip(&["link", "delete", name]).unwrap();
        let devices = pair.map(|At(namespace, name)| {
            let opened = namespace.run(|| open(name)).unwrap();
            opened.unwrap_or_else(|error| panic!("a tun device {name}: {error}"))
        });
        if let Some(link_type) = link_type {
            tun::set_link_type(&devices[1], link_type).unwrap();
        }
        for (at, addressed) in pair.into_iter().zip(&addressed) {
            addressed.apply(at);
        }
        let devices = Arc::new(devices);
        let stop = Arc::new(AtomicBool::new(false));
        let (ours, stopped) = (Arc::clone(&devices), Arc::clone(&stop));
        Self {
            devices,
            addressed,
            stop,
            thread: Some(thread::spawn(move || pump(&ours, &stopped))),
        }
    }

    /// Takes the second interface down, gives it another link type, and brings it up again.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    pub fn set_link_type(&self, at: At<'_>, link_type: u16) {
        at.0.ip(&["link", "set", at.1, "down"]).unwrap();
        tun::set_link_type(&self.devices[1], link_type).unwrap();
        self.addressed[1].apply(at);
    }

    /// Replaces it by a veth pair, with the same names, addresses and routes.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    pub fn back_to_ethernet(mut self, pair: [At<'_>; 2]) {
        self.end();
        let addressed = self.addressed.clone();
        // A process that another thread is starting may hold the files for a moment.
        for At(namespace, name) in pair {
            namespace.ip(&["link", "delete", name]).unwrap();
        }
        let [At(first, name), At(second, other)] = pair;
        let (first, second) = (first.name(), second.name());
        let both =
            format!("link add {name} netns {first} type veth peer name {other} netns {second}");
        pair[0].0.ip(&both.split(' ').collect::<Vec<_>>()).unwrap();
        for (at, addressed) in pair.into_iter().zip(&addressed) {
            addressed.apply(at);
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for TunLink {
    fn drop(&mut self) {
        self.end();
    }
}

/// An interface's addresses and the routes through it.
#[derive(Clone, Debug)]
pub(crate) struct Addressed(Vec<Vec<String>>);

impl Addressed {
    pub(crate) fn of(At(namespace, name): At<'_>) -> Self {
        let mut commands = Vec::new();
        for family in ["-4", "-6"] {
            let show = [
                family, "-o", "address", "show", "dev", name, "scope", "global",
            ];
            for line in namespace.ip(&show).unwrap().lines() {
                let words: Vec<_> = line.split_whitespace().collect();
                let further = words.contains(&"deprecated");
                let lifetime = if further { " preferred_lft 0" } else { "" };
                commands.push(format!(
                    "{family} address add {} dev {name}{lifetime}",
                    words[3]
                ));
            }
        }
        for family in ["-4", "-6"] {
            let routes = namespace
                .ip(&[family, "route", "show", "dev", name])
                .unwrap();
            for route in routes.lines().filter(|line| !line.contains("proto kernel")) {
                commands.push(format!(
                    "{family} route replace {} dev {name}",
                    route.trim()
                ));
            }
        }
        let words = |command: &String| command.split_whitespace().map(str::to_owned).collect();
        Self(commands.iter().map(words).collect())
    }

    /// Brings the interface up with them; what it has kept of them stays.
    pub(crate) fn apply(&self, At(namespace, name): At<'_>) {
        namespace.ip(&["link", "set", name, "up"]).unwrap();
        for command in &self.0 {
            let words: Vec<_> = command.iter().map(String::as_str).collect();
            if let Err(error) = namespace.ip(&words) {
                let error = error.to_string();
                let there = error.contains("exists") || error.contains("already assigned");
                assert!(there, "{error}");
            }
        }
        // An IPv6 address is in use once a work queue has got to it.
        until(SOON, "addresses in use", || {
            let lines = |words: &[&str]| namespace.ip(words).unwrap().lines().count();
            let routes = ["-6", "route", "show", "table", "local", "dev", name];
            let addresses = ["-6", "-o", "address", "show", "dev", name];
            lines(&[&addresses[..], &["tentative"]].concat()) == 0
                && lines(&[&routes[..], &["type", "local"]].concat()) == lines(&addresses)
        });
    }
}

/// Carries packets both ways. Those that a device has no room for, or is down for, are lost.
fn pump(devices: &[File; 2], stop: &AtomicBool) {
    // The largest packet, and what may be in front of it.
    let mut packet = vec![0; (1 << 16) + 64];
    while !stop.load(Ordering::Relaxed) {
        let mut ready = devices
            .each_ref()
            .map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN));
        let _ = poll(&mut ready, PollTimeout::from(LOOK));
        for (mut from, mut to) in [(&devices[0], &devices[1]), (&devices[1], &devices[0])] {
            while let Ok(length @ 1..) = from.read(&mut packet) {
                let _ = to.write(&packet[..length]);
            }
        }
    }
}
