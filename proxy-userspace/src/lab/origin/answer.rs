//! What the origin answers to which target.
//!
//! | target | answer |
//! |---|---|
//! | anything else | JSON: who asked, what arrived, length and checksum of the body |
//! | `/bytes/N`, `/chunked/N`, `/close/N` | N octets of [`Pattern`], by length, in chunks, to the close |
//! | `/truncate/N`, `/truncate-chunked/N` | half of N announced octets, then the close |
//! | `/status/CODE` | the JSON with that status; no body for 204 and 304 |
//! | `/hints` | `103 Early Hints`, then the JSON |
//! | `/slow/MS` | the JSON after MS milliseconds |
//! | `/reset` | a TCP reset |
//! | `/upgrade`, and method CONNECT | `101` (or `200`), then every octet back |
//!
//! Bodies in chunks end with a trailer `X-Checksum`.

use std::{io, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    head::Head,
    message::{Body, Reader},
    pattern::{BLOCK, Fnv, Pattern},
};

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next request may come.
    Keep,
    /// It is over; the origin closes first.
    Close,
    /// It has been closed already.
    Gone,
}

/// Where an exchange stands: for the JSON answer.
pub(super) struct Place {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// The connection's number, from 1, in the order of accepting.
    pub(super) connection: u64,
    /// The request's number on its connection, from 1.
    pub(super) request: u64,
}

/// Answers one request.
pub(super) async fn answer(
    reader: &mut Reader,
    head: &Head,
    body: &Body,
    place: &Place,
) -> io::Result<After> {
    let mut path = head
        .target
        .strip_prefix('/')
        .unwrap_or_default()
        .splitn(2, '/');
    let (verb, argument) = (
        path.next().unwrap_or_default(),
        path.next().unwrap_or_default(),
    );
    let number: u64 = argument.parse().unwrap_or_default();
    let stream = &mut reader.stream;
    let bare = head.method == "HEAD";
    if head.method == "CONNECT" {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        return echo(reader).await;
    }
    match verb {
        "bytes" => {
            let length = format!("Content-Length: {number}");
            begin(stream, head, 200, &[&length]).await?;
            if !bare {
                plain(stream, number).await?;
            }
        }
        "chunked" => {
            begin(stream, head, 200, &["Transfer-Encoding: chunked"]).await?;
            if !bare {
                let checksum = chunks(stream, number).await?;
                let end = format!("0\r\nX-Checksum: {checksum}\r\n\r\n");
                stream.write_all(end.as_bytes()).await?;
            }
        }
        "close" => {
            begin(stream, head, 200, &["Connection: close"]).await?;
            if !bare {
                plain(stream, number).await?;
            }
            return Ok(After::Close);
        }
        "truncate" => {
            let length = format!("Content-Length: {number}");
            begin(stream, head, 200, &[&length]).await?;
            plain(stream, number / 2).await?;
            return Ok(After::Close);
        }
        "truncate-chunked" => {
            begin(stream, head, 200, &["Transfer-Encoding: chunked"]).await?;
            chunks(stream, number / 2).await?;
            return Ok(After::Close);
        }
        "reset" => {
            stream.set_zero_linger()?;
            return Ok(After::Gone);
        }
        "upgrade" => {
            let fields = "Connection: Upgrade\r\nUpgrade: echo";
            stream
                .write_all(format!("HTTP/1.1 101 Switching\r\n{fields}\r\n\r\n").as_bytes())
                .await?;
            return echo(reader).await;
        }
        "status" => {
            let status = u16::try_from(number).unwrap_or(500);
            if matches!(status, 204 | 304) {
                begin(stream, head, status, &[]).await?;
            } else {
                told(stream, head, status, &report(head, body, place)).await?;
            }
        }
        "hints" => {
            stream
                .write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </style>\r\n\r\n")
                .await?;
            told(stream, head, 200, &report(head, body, place)).await?;
        }
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number)).await;
            told(stream, head, 200, &report(head, body, place)).await?;
        }
        _ => told(stream, head, 200, &report(head, body, place)).await?,
    }
    Ok(if head.closes() {
        After::Close
    } else {
        After::Keep
    })
}

/// Sends every octet back, what was read ahead first, until the other side is done sending.
pub(super) async fn echo(reader: &mut Reader) -> io::Result<After> {
    let ahead = reader.take_ahead();
    reader.stream.write_all(&ahead).await?;
    let mut block = vec![0; BLOCK];
    loop {
        let count = reader.stream.read(&mut block).await?;
        if count == 0 {
            return Ok(After::Close);
        }
        reader.stream.write_all(&block[..count]).await?;
    }
}

/// Refuses what [`Reader::next`] could not understand.
pub(super) async fn refuse(stream: &mut TcpStream, why: &str) -> io::Result<After> {
    let length = why.len();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nServer: weir-lab\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{why}"
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(After::Close)
}

fn report(head: &Head, body: &Body, place: &Place) -> Value {
    json!({
        "peer": place.peer.ip(),
        "peer_port": place.peer.port(),
        "local": place.local.ip(),
        "local_port": place.local.port(),
        "connection": place.connection,
        "request": place.request,
        "method": head.method,
        "target": head.target,
        "version": head.version,
        "head": String::from_utf8_lossy(&head.raw),
        "fields": head.fields,
        "body": {
            "length": body.length,
            "checksum": body.checksum.to_string(),
            "chunks": body.chunks,
            "trailers": body.trailers,
        },
    })
}

async fn told(stream: &mut TcpStream, head: &Head, status: u16, report: &Value) -> io::Result<()> {
    let text = format!("{report:#}\n");
    let length = format!("Content-Length: {}", text.len());
    begin(
        stream,
        head,
        status,
        &["Content-Type: application/json", &length],
    )
    .await?;
    if head.method != "HEAD" {
        stream.write_all(text.as_bytes()).await?;
    }
    Ok(())
}

async fn begin(
    stream: &mut TcpStream,
    request: &Head,
    status: u16,
    fields: &[&str],
) -> io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nServer: weir-lab\r\n",
        phrase(status)
    );
    for field in fields {
        head.push_str(field);
        head.push_str("\r\n");
    }
    if request.closes() && !fields.contains(&"Connection: close") {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        404 => "Not Found",
        _ => "As Asked",
    }
}

async fn plain(stream: &mut TcpStream, length: u64) -> io::Result<()> {
    let mut pattern = Pattern::default();
    let mut block = vec![0; BLOCK];
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left).map_or(BLOCK, |left| left.min(BLOCK));
        pattern.fill(&mut block[..count]);
        stream.write_all(&block[..count]).await?;
        left -= count as u64;
    }
    Ok(())
}

/// Sends `length` octets in chunks of uneven sizes, without the last chunk.
async fn chunks(stream: &mut TcpStream, length: u64) -> io::Result<Fnv> {
    const SIZES: [u64; 6] = [1, 1000, 17, 16384, 65536, 3];
    let (mut pattern, mut checksum) = (Pattern::default(), Fnv::default());
    let mut left = length;
    for size in SIZES.into_iter().cycle() {
        if left == 0 {
            break;
        }
        let size = size.min(left);
        let mut data = vec![0; usize::try_from(size).unwrap_or(BLOCK)];
        pattern.fill(&mut data);
        checksum.update(&data);
        let mut chunk = format!("{size:x}\r\n").into_bytes();
        chunk.append(&mut data);
        chunk.extend_from_slice(b"\r\n");
        stream.write_all(&chunk).await?;
        left -= size;
    }
    Ok(checksum)
}
