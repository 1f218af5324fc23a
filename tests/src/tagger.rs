//! A cable that puts a VLAN tag on what goes one way, and takes it off what comes the other.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proxy_userspace::sys::tun;

use crate::addressed::At;

/// How often the thread looks whether it is to end, milliseconds.
const LOOK: u16 = 50;
/// Destination and source.
const ADDRESSES: usize = 12;
/// Length of a tag, what it begins with, and the bits of it that name the VLAN.
const TAG: usize = 4;
const TPID: [u8; 2] = [0x81, 0];
const VLAN: u16 = 0x0fff;

/// Two tap devices, and a thread between them. On drop, they go.
#[derive(Debug)]
pub(crate) struct Tagger {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tagger {
    /// Makes both interfaces; the second's frames are tagged. With VLAN 0, which is none, those that
    /// come from it may be without a tag.
    pub(crate) fn between(plain: At<'_>, tagged: At<'_>, tci: u16) -> Self {
        Self::make(plain, tagged, Some(tci))
    }

    /// Makes both interfaces; frames are carried as they are.
    pub(crate) fn none(one: At<'_>, other: At<'_>) -> Self {
        Self::make(one, other, None)
    }

    fn make(plain: At<'_>, tagged: At<'_>, tci: Option<u16>) -> Self {
        let devices = [plain, tagged].map(|At(namespace, name)| {
            let opened = namespace.run(|| tun::open_tap(name)).unwrap();
            opened.unwrap_or_else(|error| panic!("a tap device {name}: {error}"))
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self {
            stop,
            thread: Some(thread::spawn(move || pump(&devices, tci, &stopped))),
        }
    }
}

impl Drop for Tagger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries frames both ways. Those without the tag on the side where they should have it are lost.
fn pump([plain, tagged]: &[File; 2], tci: Option<u16>, stop: &AtomicBool) {
    let mut frame = vec![0; 1 << 16];
    let (mut plain, mut tagged) = (plain, tagged);
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [plain, tagged].map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN));
        let _ = poll(&mut ready, PollTimeout::from(LOOK));
        while let Ok(length @ ADDRESSES..) = plain.read(&mut frame) {
            let (addresses, rest) = frame[..length].split_at(ADDRESSES);
            let tag = tci.map(|tci| [TPID, tci.to_be_bytes()].concat());
            let tag = tag.unwrap_or_default();
            let _ = tagged.write(&[addresses, &tag, rest].concat());
        }
        while let Ok(length @ ADDRESSES..) = tagged.read(&mut frame) {
            let (addresses, rest) = frame[..length].split_at(ADDRESSES);
            let there = match rest {
                [0x81, 0, high, low, ..] => Some(u16::from_be_bytes([*high, *low])),
                _ => None,
            };
            let rest = match (tci, there) {
                (None, _) => rest,
                (Some(tci), Some(there)) if (tci ^ there) & VLAN == 0 => &rest[TAG..],
                (Some(tci), None) if tci & VLAN == 0 => rest,
                _ => continue,
            };
            let _ = plain.write(&[addresses, rest].concat());
        }
    }
}
