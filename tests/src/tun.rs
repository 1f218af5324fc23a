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
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proxy_userspace::{
    lab::{LAN, Network, WAN},
    sys::tun,
};

use crate::addressed::{Addressed, At, veth};

/// How often the thread looks whether it is to end, milliseconds.
const LOOK: u16 = 50;

/// What a link makes of a packet that came in by the device of that number: what it carries to
/// the other one instead.
pub type Alter = Box<dyn FnMut(usize, &[u8]) -> Vec<Vec<u8>> + Send>;

/// What makes a device of that name.
type Open = fn(&str) -> io::Result<File>;

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
        Self::make(pair, link_type, unaltered(), tun::open)
    }

    /// The same for a link over which packets of up to 64 KiB go whole.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn offloading(pair: [At<'_>; 2]) -> Self {
        Self::make(pair, None, unaltered(), tun::open_offloading)
    }

    /// The same, of a link that does not carry packets as they are.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn altering(pair: [At<'_>; 2], alter: Alter) -> Self {
        Self::make(pair, None, alter, tun::open)
    }

    fn make(pair: [At<'_>; 2], link_type: Option<u16>, alter: Alter, open: Open) -> Self {
        let addressed = pair.map(Addressed::of);
        let At(namespace, name) = pair[0];
        namespace.ip(&["link", "delete", name]).unwrap();
        Self::new(pair, link_type, addressed, alter, open)
    }

    fn new(
        pair: [At<'_>; 2],
        link_type: Option<u16>,
        addressed: [Addressed; 2],
        alter: Alter,
        open: Open,
    ) -> Self {
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
            thread: Some(thread::spawn(move || pump(&ours, &stopped, alter))),
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
        veth(pair);
        for (at, addressed) in pair.into_iter().zip(&addressed) {
            addressed.apply(at);
        }
    }

    /// Deletes its devices and makes them again, with the same names, addresses and routes.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn redial(mut self, pair: [At<'_>; 2]) -> Self {
        self.end();
        let addressed = self.addressed.clone();
        for At(namespace, name) in pair {
            namespace.ip(&["link", "delete", name]).unwrap();
        }
        Self::new(pair, None, addressed, unaltered(), tun::open)
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

/// Carries packets as they are.
fn unaltered() -> Alter {
    Box::new(|_, packet| vec![packet.to_vec()])
}

/// Carries packets both ways. Those that a device has no room for, or is down for, are lost.
fn pump(devices: &[File; 2], stop: &AtomicBool, mut alter: Alter) {
    // The largest packet, and what may be in front of it.
    let mut packet = vec![0; (1 << 16) + 64];
    while !stop.load(Ordering::Relaxed) {
        let mut ready = devices
            .each_ref()
            .map(|device| PollFd::new(device.as_fd(), PollFlags::POLLIN));
        let _ = poll(&mut ready, PollTimeout::from(LOOK));
        for number in 0..2 {
            let [mut from, mut to] = [&devices[number], &devices[1 - number]];
            while let Ok(length @ 1..) = from.read(&mut packet) {
                for packet in alter(number, &packet[..length]) {
                    let _ = to.write(&packet);
                }
            }
        }
    }
}
