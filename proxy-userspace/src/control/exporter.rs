//! The endpoint for Prometheus: `GET /metrics` over HTTP, and nothing else.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{Answer, Call, Request};
use crate::{
    http::{HeadLimits, HeadScanner, parse_request_from},
    observe::CONTENT_TYPE,
};

/// So many may ask at once; others wait in the listener's queue.
const AT_ONCE: usize = 8;

/// How long one of them may take to ask, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest head, and how many fields: a scraper's has a handful.
const LIMITS: HeadLimits = HeadLimits {
    head_bytes: 8192,
    fields: 64,
};

/// Where it listens, if it does; stops when it is dropped.
#[derive(Debug)]
pub struct Exporter {
    requests: mpsc::Sender<Call>,
    listening: Option<Listening>,
}

#[derive(Debug)]
struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Exporter {
    /// Listens nowhere yet; what is asked for goes to `requests`.
    #[must_use]
    pub const fn new(requests: mpsc::Sender<Call>) -> Self {
        Self {
            requests,
            listening: None,
        }
    }

    /// Listens at `address` from now on, or nowhere.
    ///
    /// # Errors
    ///
    /// If it cannot; it listens where it did before then.
    pub fn listen(&mut self, address: Option<SocketAddr>) -> io::Result<()> {
        if self.listening.as_ref().map(|it| it.address) == address {
            return Ok(());
        }
        self.listening = match address {
            None => None,
            Some(address) => {
                let listener = bind(address)?;
                let task = tokio::spawn(accept(listener, self.requests.clone()));
                Some(Listening { address, task })
            }
        };
        Ok(())
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // A successor listens before the daemon that it takes over from has stopped.
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(64)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, requests: mpsc::Sender<Call>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, requests).await {
                        tracing::debug!(%error, "metrics connection");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "metrics listener");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(mut stream: TcpStream, requests: mpsc::Sender<Call>) -> io::Result<()> {
    let answer = match timeout(PATIENCE, target(&mut stream)).await? {
        Ok(Target::Metrics { head_only }) => {
            let (status, text) = metrics(requests).await;
            answer(status, &text, head_only)
        }
        Ok(Target::Other) => answer("404 Not Found", "GET /metrics\n", false),
        Ok(Target::NotGet) => answer("405 Method Not Allowed", "GET /metrics\n", false),
        Ok(Target::Malformed) => answer("400 Bad Request", "GET /metrics\n", false),
        Err(error) => return Err(error),
    };
    timeout(PATIENCE, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    })
    .await?
}

/// What is asked for.
enum Target {
    Metrics { head_only: bool },
    Other,
    NotGet,
    Malformed,
}

async fn target(stream: &mut TcpStream) -> io::Result<Target> {
    let mut received = Vec::with_capacity(1024);
    let mut scanner = HeadScanner::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let head = match parse_request_from(&mut scanner, &received, &LIMITS) {
            Ok(None) => continue,
            Ok(Some(head)) => head,
            Err(_) => return Ok(Target::Malformed),
        };
        let target = head.target_bytes(&received);
        let path = target.split(|byte| *byte == b'?').next();
        return Ok(match (head.method(&received), path) {
            ("GET", Some(b"/metrics")) => Target::Metrics { head_only: false },
            ("HEAD", Some(b"/metrics")) => Target::Metrics { head_only: true },
            ("GET" | "HEAD", _) => Target::Other,
            _ => Target::NotGet,
        });
    }
}

async fn metrics(requests: mpsc::Sender<Call>) -> (&'static str, String) {
    let (reply, answer) = oneshot::channel();
    let gone = (
        "503 Service Unavailable",
        "the daemon is stopping\n".to_owned(),
    );
    if requests.send((Request::Metrics, reply)).await.is_err() {
        return gone;
    }
    match timeout(PATIENCE, answer).await {
        Ok(Ok(Answer::Done(Value::String(text)))) => ("200 OK", text),
        Ok(Ok(Answer::Failed { message, .. })) => ("503 Service Unavailable", message + "\n"),
        _ => gone,
    }
}

fn answer(status: &str, text: &str, head_only: bool) -> Vec<u8> {
    let kind = match status.starts_with("200") {
        true => CONTENT_TYPE,
        false => "text/plain; charset=utf-8",
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        text.len()
    );
    let body = if head_only { "" } else { text };
    [head.as_bytes(), body.as_bytes()].concat()
}
