//! Frames as a packet socket sees them: what tcpdump would show.

use std::{
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::{
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket,
        sockopt::RcvBuf,
    },
};
use proxy_userspace::lab::Namespace;

/// How often the thread looks whether it is to end, milliseconds.
const LOOK: u16 = 20;

/// Takes down every frame that comes in or goes out by an interface, from its creation on. The
/// kernel shows it with a VLAN tag out of line taken off.
#[derive(Debug)]
pub struct Capture {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// On that interface of the namespace.
    ///
    /// # Panics
    ///
    /// When there is none, or without root.
    #[must_use]
    pub fn on(namespace: &Namespace, interface: &str) -> Self {
        let opened = namespace.run(|| -> nix::Result<(OwnedFd, usize)> {
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )?;
            setsockopt(&socket, RcvBuf, &(8 << 20))?;
            Ok((socket, if_nametoindex(interface)? as usize))
        });
        let (socket, index) = opened
            .unwrap_or_else(|error| panic!("{error}"))
            .unwrap_or_else(|error| panic!("a packet socket for {interface}: {error}"));
        let frames = Arc::new(Mutex::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (into, stopped) = (Arc::clone(&frames), Arc::clone(&stop));
        let thread = thread::spawn(move || take(&socket, index, &into, &stopped));
        Self {
            frames,
            stop,
            thread: Some(thread),
        }
    }

    /// What there was so far.
    #[must_use]
    pub fn so_far(&self) -> Vec<Vec<u8>> {
        self.frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What there was.
    ///
    /// # Panics
    ///
    /// When the thread has panicked.
    #[must_use]
    pub fn end(mut self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("capturing");
        }
        std::mem::take(&mut *self.frames.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Ends once it is told to and nothing is left to read.
fn take(socket: &OwnedFd, index: usize, into: &Mutex<Vec<Vec<u8>>>, stop: &AtomicBool) {
    let mut buffer = vec![0; 1 << 17];
    loop {
        while let Ok((length, from)) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            if from.is_some_and(|from| from.ifindex() == index) {
                let mut frames = into.lock().unwrap_or_else(PoisonError::into_inner);
                frames.push(buffer[..length].to_vec());
            }
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::from(LOOK));
    }
}
