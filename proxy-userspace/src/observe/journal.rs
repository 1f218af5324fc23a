//! The journal of systemd, by its native protocol: a datagram for each entry.
//!
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>

use std::{
    io::{self, Write},
    os::unix::net::UnixDatagram,
    path::Path,
};

use super::format::FIELD_END;

/// Where journald listens.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// Longest message of an entry, bytes: what is behind it is cut off. Larger datagrams than the
/// usual 208 KiB would have to be passed as files.
const LONGEST: usize = 64 * 1024;

/// A connection to the journal. Each line that is written becomes an entry.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self(socket))
    }
}

impl Write for Journal {
    /// Takes the first line.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let end = lines.iter().position(|&byte| byte == b'\n');
        let line = &lines[..end.unwrap_or(lines.len())];
        self.0.send(&entry(line))?;
        Ok(end.map_or(lines.len(), |end| end + 1))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fields of an entry, each on a line; none of the values holds a line's end.
fn entry(line: &[u8]) -> Vec<u8> {
    let mut entry = b"PRIORITY=6\nSYSLOG_IDENTIFIER=weir\n".to_vec();
    let mut parts = line.split(|&byte| byte == FIELD_END).peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            entry.extend_from_slice(b"MESSAGE=");
            entry.extend_from_slice(&part[..part.len().min(LONGEST)]);
        } else {
            entry.extend_from_slice(part);
        }
        entry.push(b'\n');
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_entry() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::connect(&path).unwrap();
        journal
            .write_all(b"WEIR_STATUS=200\x1fone line\ntwo lines\n")
            .unwrap();
        let mut datagram = [0; 1024];
        let length = journald.recv(&mut datagram).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&datagram[..length]),
            "PRIORITY=6\nSYSLOG_IDENTIFIER=weir\nWEIR_STATUS=200\nMESSAGE=one line\n"
        );
        let length = journald.recv(&mut datagram).unwrap();
        assert!(datagram[..length].ends_with(b"MESSAGE=two lines\n"));
    }

    #[test]
    fn long_messages_are_cut() {
        let entry = entry(&[b'a'; 100_000]);
        assert!(entry.len() < LONGEST + 100);
    }
}
