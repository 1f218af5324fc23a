//! A small HTTP/1.1 origin that tells who asked it: for `weir lab` and the integration tests.
//!
//! The targets and their answers are in [`answer`].

mod answer;
mod head;
mod message;
mod pattern;

pub use pattern::{BLOCK, Fnv, Pattern};

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinSet,
};

use self::{
    answer::{After, Place, answer, echo, refuse},
    message::{Next, Reader},
};
use super::{
    error::{LabError, Result},
    namespace::Namespace,
};

/// The ports of [`Origin::start`]: one that Weir watches, and one that it does not.
pub const PORTS: [u16; 2] = [80, 8080];
/// How many connections may wait for the origin to accept them.
const BACKLOG: i32 = 4096;
/// How long the origin waits for a client to close after it has closed itself.
const LINGER: Duration = Duration::from_secs(5);

/// A running origin; on drop it closes everything and is gone.
#[derive(Debug)]
pub struct Origin {
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
    broken: AtomicU64,
}

impl Origin {
    /// Serves [`PORTS`] on every address of the namespace, in both families.
    ///
    /// # Errors
    ///
    /// When a port is taken.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        Self::start_on(
            namespace,
            &PORTS.map(|port| (Ipv6Addr::UNSPECIFIED, port).into()),
        )
    }

    /// Serves the given addresses of the namespace; `::` stands for both families.
    ///
    /// # Errors
    ///
    /// When an address is taken or not there.
    pub fn start_on(namespace: &Namespace, addresses: &[SocketAddr]) -> Result<Self> {
        let mut listeners = Vec::new();
        for &address in addresses {
            let listener = namespace.run(|| listen(address))?;
            listeners.push(listener.map_err(LabError::io(format!("origin on {address}")))?);
        }
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = oneshot::channel();
        let counted = Arc::clone(&counters);
        // The sockets are inside the namespace already, so the thread need not be.
        let thread = thread::Builder::new()
            .name("lab-origin".to_owned())
            .spawn(move || serve(listeners, &counted, stopped))
            .map_err(LabError::io("starting the origin's thread"))?;
        Ok(Self {
            counters,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.counters.open.load(Ordering::Relaxed)
    }

    /// Requests whose head was read so far, malformed ones included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counters.requests.load(Ordering::Relaxed)
    }

    /// Connections that ended by an error so far: inside a request, or by a reset.
    #[must_use]
    pub fn broken(&self) -> u64 {
        self.counters.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != IpAddr::V6(Ipv6Addr::UNSPECIFIED))?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn serve(
    listeners: Vec<std::net::TcpListener>,
    counters: &Arc<Counters>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the lab's origin did not start"),
    };
    runtime.block_on(async {
        let mut loops = JoinSet::new();
        for listener in listeners {
            match TcpListener::from_std(listener) {
                Ok(listener) => {
                    loops.spawn(accept(listener, Arc::clone(counters)));
                }
                Err(error) => tracing::error!(%error, "a port of the lab's origin is not served"),
            }
        }
        // An error says that the sender is gone: the origin was dropped.
        let _ = stopped.await;
    });
}

async fn accept(listener: TcpListener, counters: Arc<Counters>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let number = counters.connections.fetch_add(1, Ordering::Relaxed) + 1;
                tokio::spawn(connection(stream, peer, number, Arc::clone(&counters)));
            }
            Err(error) => {
                // Out of descriptors, mostly: the next one may find some.
                tracing::debug!(%error, "the lab's origin did not accept");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, number: u64, counters: Arc<Counters>) {
    counters.open.fetch_add(1, Ordering::Relaxed);
    if let Err(error) = converse(stream, peer, number, &counters).await {
        counters.broken.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(%peer, %error, "a connection to the lab's origin broke");
    }
    counters.open.fetch_sub(1, Ordering::Relaxed);
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    connection: u64,
    counters: &Counters,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let local = canonical(stream.local_addr()?);
    let mut reader = Reader::new(stream);
    let mut place = Place {
        peer: canonical(peer),
        local,
        connection,
        request: 0,
    };
    loop {
        let after = match reader.next().await? {
            Next::End => After::Close,
            Next::NotHttp => echo(&mut reader).await?,
            Next::Malformed(why) => {
                counters.requests.fetch_add(1, Ordering::Relaxed);
                refuse(&mut reader.stream, why).await?
            }
            Next::Request(head) => {
                counters.requests.fetch_add(1, Ordering::Relaxed);
                place.request += 1;
                if head.expects_continue() && head.has_body() {
                    reader
                        .stream
                        .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                        .await?;
                }
                let body = reader.body(&head).await?;
                answer(&mut reader, &head, &body, &place).await?
            }
        };
        match after {
            After::Keep => {}
            After::Close => return close(reader.stream).await,
            After::Gone => return Ok(()),
        }
    }
}

/// Says that nothing more comes and waits for the other side to say the same, so that what was
/// sent is not lost by a reset (RFC 9112 §9.6).
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    let drain = async {
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    tokio::time::timeout(LINGER, drain).await.unwrap_or(Ok(()))
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
