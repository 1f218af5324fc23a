//! Readers that are not ours, to see a relayed stream as an origin or a client would.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, Version,
    body::{Body as _, Bytes, Incoming},
    client,
    rt::{Read, ReadBufCursor, Write},
    server,
    service::service_fn,
};

/// A message as hyper has read it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Of a request.
    pub method: String,
    /// Of a request.
    pub target: String,
    /// Of a request: its Host fields.
    pub hosts: Vec<Vec<u8>>,
    /// Of a response.
    pub status: u16,
    /// The length of the body if it is known beforehand.
    pub length: Option<u64>,
    /// The content; `None` if it broke off or was malformed.
    pub body: Option<Vec<u8>>,
}

/// The requests that a hyper server sees in `stream`, and how the connection ended for it.
pub fn requests(stream: &[u8]) -> (Vec<Seen>, hyper::Result<()>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let seen = Rc::clone(&seen);
        async move {
            let (parts, body) = request.into_parts();
            let length = body.size_hint().exact();
            let body = body.collect().await.ok();
            seen.borrow_mut().push(Seen {
                method: parts.method.to_string(),
                target: parts.uri.to_string(),
                hosts: parts
                    .headers
                    .get_all("host")
                    .iter()
                    .map(|host| host.as_bytes().to_vec())
                    .collect(),
                status: 0,
                length,
                body: body.map(|body| body.to_bytes().to_vec()),
            });
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let connection = server::conn::http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(Replay::new(stream, true), service);
    let ended = run(pin!(connection)).expect("it reads to the end");
    (seen.take(), ended)
}

/// The response that a hyper client sees in `stream` after a request with `method`, of HTTP/1.0
/// or later.
#[must_use]
pub fn response(stream: &[u8], method: &str, minor: u8) -> Option<Seen> {
    let version = if minor == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let request = Request::builder()
        .method(method)
        .version(version)
        .uri("/")
        .header("host", "a")
        .body(Empty::<Bytes>::new())
        .ok()?;
    let exchange = async {
        let (mut sender, mut connection) =
            client::conn::http1::handshake(Replay::new(stream, false))
                .await
                .ok()?;
        let mut answer = pin!(async {
            let (parts, body) = sender.send_request(request).await.ok()?.into_parts();
            let length = body.size_hint().exact();
            let body = body.collect().await.ok();
            Some(Seen {
                status: parts.status.as_u16(),
                length,
                body: body.map(|body| body.to_bytes().to_vec()),
                ..Seen::default()
            })
        });
        let mut connected = true;
        std::future::poll_fn(move |context| {
            if connected && Pin::new(&mut connection).poll(context).is_ready() {
                connected = false;
            }
            answer.as_mut().poll(context)
        })
        .await
    };
    run(pin!(exchange)).expect("it reads to the end")
}

/// Polls a future whose input is all there. `None` if it waits for something all the same.
fn run<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    (0..100_000).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// A connection on which `input` comes, then the end; what is written is dropped.
struct Replay<'i> {
    input: &'i [u8],
    /// False until something was written: a response does not come before its request.
    open: bool,
}

impl<'i> Replay<'i> {
    const fn new(input: &'i [u8], open: bool) -> Self {
        Self { input, open }
    }
}

impl Read for Replay<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.open {
            return Poll::Pending;
        }
        let (now, later) = self.input.split_at(self.input.len().min(buf.remaining()));
        buf.put_slice(now);
        self.input = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Replay<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open = true;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
