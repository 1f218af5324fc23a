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

/// Two tap devices, and a thread between them. On drop, they go.
#[derive(Debug)]
pub(crate) struct Tagger {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tagger {
    /// Makes both interfaces; the second's frames are tagged.
    pub(crate) fn between(plain: At<'_>, tagged: At<'_>, vlan: u16) -> Self {
        let devices = [plain, tagged].map(|At(namespace, name)| {
            let opened = namespace.run(|| tun::open_tap(name)).unwrap();
            opened.unwrap_or_else(|error| panic!("a tap device {name}: {error}"))
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self {
            stop,
            thread: Some(thread::spawn(move || pump(&devices, vlan, &stopped))),
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
fn pump([plain, tagged]: &[File; 2], vlan: u16, stop: &AtomicBool) {
    let [high, low] = vlan.to_be_bytes();
    let tag = [0x81, 0, high, low];
    let mut frame = vec![0; 1 << 16];
    let (mut plain, mut tagged) = (plain, tagged);
    while !stop.load(Ordering::Relaxed) {
        let mut ready = [plain, tagged].map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN));
        let _ = poll(&mut ready, PollTimeout::from(LOOK));
        while let Ok(length @ ADDRESSES..) = plain.read(&mut frame) {
            let (addresses, rest) = frame[..length].split_at(ADDRESSES);
            let _ = tagged.write(&[addresses, &tag, rest].concat());
        }
        while let Ok(length @ ADDRESSES..) = tagged.read(&mut frame) {
            let (addresses, rest) = frame[..length].split_at(ADDRESSES);
            if let Some(rest) = rest.strip_prefix(&tag) {
                let _ = plain.write(&[addresses, rest].concat());
            }
        }
    }
}
