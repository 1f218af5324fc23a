//! A server of a test's own, beside the lab's origin.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proxy_userspace::lab::Namespace;
use socket2::{Domain, Protocol, Socket, Type};

use crate::client::ANSWER;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A listener whose every connection is given to a function of the test's.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens in the namespace; `serve` runs on a thread for each connection.
    ///
    /// # Panics
    ///
    /// When the address cannot be listened on.
    #[must_use]
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
    ) -> Self {
        let listener = namespace.run(|| listen(address, None));
        let listener = listener
            .unwrap_or_else(|error| panic!("{error}"))
            .unwrap_or_else(|error| panic!("listening on {address}: {error}"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || accept(&listener, &stopped, &serve));
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Of the address's family alone, so that each family's wildcard address can be listened on.
/// `buffer` is the `SO_RCVBUF` of its connections, which they inherit.
pub(crate) fn listen(address: SocketAddr, buffer: Option<usize>) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    if let Some(octets) = buffer {
        socket.set_recv_buffer_size(octets)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn accept(
    listener: &TcpListener,
    stopped: &AtomicBool,
    serve: &(impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static),
) {
    while !stopped.load(Ordering::Relaxed) {
        let mut waiting = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, PollTimeout::from(50_u8)).is_ok_and(|ready| ready > 0)
            && let Ok((stream, _)) = listener.accept()
        {
            let serve = serve.clone();
            let timeouts = stream
                .set_read_timeout(Some(ANSWER))
                .and_then(|()| stream.set_write_timeout(Some(ANSWER)));
            // What a client does to its connection is for the test to judge, at the client.
            thread::spawn(move || timeouts.and_then(|()| serve(stream)));
        }
    }
}
