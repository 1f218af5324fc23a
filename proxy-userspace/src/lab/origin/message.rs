//! Reads requests and their bodies off a connection.

use std::io;

use tokio::{io::AsyncReadExt as _, net::TcpStream};

use super::{
    head::{Framing, Head, is_request_line, is_token_octet},
    pattern::{BLOCK, Fnv},
};

/// The longest head that the origin reads, in octets.
const HEAD_MAX: usize = 1024 * 1024;

/// A connection and what was read ahead from it.
pub(super) struct Reader {
    /// The connection, for answers.
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

/// What a connection holds next.
pub(super) enum Next {
    /// A request.
    Request(Head),
    /// Octets that cannot begin a request.
    NotHttp,
    /// A request that breaks the rules; the word says which one.
    Malformed(&'static str),
    /// The end, between requests.
    End,
}

/// What is known of a request's body after it was read.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) length: u64,
    pub(super) checksum: Fnv,
    pub(super) chunks: u64,
    pub(super) trailers: Vec<String>,
}

impl Reader {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Reads up to the end of the next request's head.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the connection ends inside a head.
    pub(super) async fn next(&mut self) -> io::Result<Next> {
        loop {
            if self
                .buffer
                .first()
                .is_some_and(|first| !is_token_octet(*first))
            {
                return Ok(Next::NotHttp);
            }
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let raw = self.buffer.drain(..end + 4).collect();
                return Ok(Head::parse(raw).map_or_else(Next::Malformed, Next::Request));
            }
            if find(&self.buffer, b"\r\n").is_some_and(|end| !is_request_line(&self.buffer[..end]))
            {
                return Ok(Next::NotHttp);
            }
            if self.buffer.len() > HEAD_MAX {
                return Ok(Next::Malformed("head-too-long"));
            }
            if self.fill().await? == 0 {
                let clean = self.buffer.is_empty();
                return if clean {
                    Ok(Next::End)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    /// Reads the body that belongs to `head`.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the connection ends inside it, `InvalidData` for broken chunks.
    pub(super) async fn body(&mut self, head: &Head) -> io::Result<Body> {
        let mut body = Body::default();
        match head.framing {
            Framing::Length(length) => self.exactly(length, &mut body).await?,
            Framing::Chunked => loop {
                let line = self.line().await?;
                let size = line.split(';').next().unwrap_or_default();
                let size = u64::from_str_radix(size, 16).map_err(|_| broken("chunk size"))?;
                if size == 0 {
                    break;
                }
                self.exactly(size, &mut body).await?;
                body.chunks += 1;
                if !self.line().await?.is_empty() {
                    return Err(broken("chunk end"));
                }
            },
        }
        if head.framing == Framing::Chunked {
            loop {
                let line = self.line().await?;
                if line.is_empty() {
                    break;
                }
                body.trailers.push(line);
            }
        }
        Ok(body)
    }

    /// What was read ahead, for a connection that becomes a tunnel.
    pub(super) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    async fn exactly(&mut self, mut left: u64, body: &mut Body) -> io::Result<()> {
        body.length += left;
        while left > 0 {
            if self.buffer.is_empty() && self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let have = self.buffer.len();
            let count = usize::try_from(left).map_or(have, |left| left.min(have));
            body.checksum.update(&self.buffer[..count]);
            self.buffer.drain(..count);
            left -= count as u64;
        }
        Ok(())
    }

    /// The next line, without its CRLF.
    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| broken("line"));
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(broken("line length"));
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(BLOCK);
        self.stream.read_buf(&mut self.buffer).await
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("broken {what}"))
}
