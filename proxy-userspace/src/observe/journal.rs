//! The journal of systemd, by its native protocol: a datagram for each entry.
//!
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>

use std::{
    fs::File,
    io::{self, IoSlice, Write},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{ControlMessage, MsgFlags, sendmsg},
    },
};

use super::format::FIELD_END;

/// Where journald listens.
pub const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// A connection to the journal. Each line that is written becomes an entry.
pub(super) struct Journal {
    socket: UnixDatagram,
    /// The entry in the making.
    entry: Vec<u8>,
}

impl Journal {
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        Ok(Self {
            socket,
            entry: Vec::new(),
        })
    }

    fn send(&self) -> io::Result<()> {
        match self.socket.send(&self.entry) {
            // Longer than the socket's buffer, 208 KiB mostly.
            Err(error) if error.raw_os_error() == Some(Errno::EMSGSIZE as i32) => self.pass(),
            sent => sent.map(|_| ()),
        }
    }

    /// Passes the entry as a file in memory, sealed: journald reads it where it lies.
    fn pass(&self) -> io::Result<()> {
        let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
        let mut file = File::from(memfd_create(c"weir-journal-entry", flags)?);
        file.write_all(&self.entry)?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
        let file = OwnedFd::from(file);
        let files = [file.as_raw_fd()];
        let message = [ControlMessage::ScmRights(&files)];
        let nothing = [IoSlice::new(&[])];
        let socket = self.socket.as_raw_fd();
        sendmsg::<()>(socket, &nothing, &message, MsgFlags::empty(), None)?;
        Ok(())
    }
}

impl Write for Journal {
    /// Takes the first line.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let end = lines.iter().position(|&byte| byte == b'\n');
        let line = &lines[..end.unwrap_or(lines.len())];
        self.entry.clear();
        entry(line, &mut self.entry);
        self.send()?;
        Ok(end.map_or(lines.len(), |end| end + 1))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The fields of an entry, each on a line; no value needs the protocol's binary form, as neither
/// the fields nor the line hold a line's end.
fn entry(line: &[u8], entry: &mut Vec<u8>) {
    entry.extend_from_slice(b"PRIORITY=6\nSYSLOG_IDENTIFIER=weir\n");
    let mut parts = line.split(|&byte| byte == FIELD_END).peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            entry.extend_from_slice(b"MESSAGE=");
        }
        entry.extend_from_slice(part);
        entry.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::IoSliceMut, os::fd::RawFd};

    use nix::{
        cmsg_space,
        sys::socket::{ControlMessageOwned, recvmsg},
        unistd::close,
    };

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
        assert_eq!(
            String::from_utf8_lossy(&datagram[..length]),
            "PRIORITY=6\nSYSLOG_IDENTIFIER=weir\nMESSAGE=two lines\n"
        );
    }
    #[test]
    fn an_entry_that_is_too_long_for_a_datagram_is_passed_as_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let mut journal = Journal::connect(&path).unwrap();
        let long = "a".repeat(1 << 20);
        journal
            .write_all(format!("{long}\nnext\n").as_bytes())
            .unwrap();

        let mut datagram = [0; 64];
        let mut iov = [IoSliceMut::new(&mut datagram)];
        let mut space = cmsg_space!([RawFd; 1]);
        let socket = journald.as_raw_fd();
        let flags = MsgFlags::empty();
        let message = recvmsg::<()>(socket, &mut iov, Some(&mut space), flags).unwrap();
        assert_eq!(message.bytes, 0);
        let Some(ControlMessageOwned::ScmRights(files)) = message.cmsgs().unwrap().next() else {
            panic!("no file: {message:?}");
        };
        let entry = fs::read_to_string(format!("/proc/self/fd/{}", files[0])).unwrap();
        assert_eq!(
            entry,
            format!("PRIORITY=6\nSYSLOG_IDENTIFIER=weir\nMESSAGE={long}\n")
        );
        let writing = fs::OpenOptions::new()
            .append(true)
            .open(format!("/proc/self/fd/{}", files[0]))
            .and_then(|mut file| file.write_all(b"x"));
        assert!(writing.is_err(), "it is sealed");
        close(files[0]).unwrap();

        let length = journald.recv(&mut datagram).unwrap();
        assert!(datagram[..length].ends_with(b"MESSAGE=next\n"));
    }
}
