//! Reads responses exactly as they come, with rules of the tests' own.

use std::io;

use crate::connection::Connection;

/// A response, whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status line and the fields as they came, with the empty line.
    pub head: String,
    /// The status code.
    pub status: u16,
    /// The body, without chunks.
    pub body: Vec<u8>,
    /// How many chunks it came in; 0 when it did not.
    pub chunks: usize,
    /// The trailer section's lines.
    pub trailers: Vec<String>,
    /// The heads of interim responses before this one.
    pub interim: Vec<String>,
}

impl Response {
    pub(crate) fn read(connection: &mut Connection, to_head: bool) -> io::Result<Self> {
        let mut interim = Vec::new();
        loop {
            let head = connection.through(b"\r\n\r\n")?;
            let head = String::from_utf8(head).map_err(|_| broken("head is not text"))?;
            let status = status(&head)?;
            let mut response = Self {
                head,
                status,
                body: vec![],
                chunks: 0,
                trailers: vec![],
                interim: vec![],
            };
            if (102..200).contains(&status) || status == 100 {
                interim.push(response.head);
                continue;
            }
            response.interim = interim;
            if !to_head && !matches!(status, 101 | 204 | 304) {
                response.read_body(connection)?;
            }
            return Ok(response);
        }
    }

    /// The value of the first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn read_body(&mut self, connection: &mut Connection) -> io::Result<()> {
        if self
            .field("transfer-encoding")
            .is_some_and(|coding| coding == "chunked")
        {
            return self.read_chunks(connection);
        }
        self.body = match self.field("content-length").map(str::parse) {
            Some(Ok(length)) => connection.exactly(length)?,
            Some(Err(_)) => return Err(broken("content-length")),
            None => connection.to_end()?,
        };
        Ok(())
    }

    fn read_chunks(&mut self, connection: &mut Connection) -> io::Result<()> {
        loop {
            let line = line(connection)?;
            let size = line.split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(|_| broken("chunk size"))?;
            if size == 0 {
                break;
            }
            self.chunks += 1;
            self.body.append(&mut connection.exactly(size)?);
            if connection.exactly(2)? != b"\r\n" {
                return Err(broken("chunk end"));
            }
        }
        loop {
            match line(connection)? {
                line if line.is_empty() => return Ok(()),
                line => self.trailers.push(line),
            }
        }
    }
}

fn line(connection: &mut Connection) -> io::Result<String> {
    let mut line = connection.through(b"\r\n")?;
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(|_| broken("line is not text"))
}

fn status(head: &str) -> io::Result<u16> {
    head.strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| broken(&format!("status line: {head}")))
}

pub(crate) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
