//! Netlink families that no crate of ours speaks: a socket, requests and answers as bytes.
//!
//! Message formats: `include/uapi/linux/netlink.h`.

pub mod attribute;

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};

const NLM_F_REQUEST: u16 = 0x001;
/// A flag of requests: an answer is wanted in any case.
pub const NLM_F_ACK: u16 = 0x004;
const NLM_F_DUMP: u16 = 0x300;
/// In an answer: what is dumped has changed meanwhile.
const NLM_F_DUMP_INTR: u16 = 0x010;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;

/// A netlink socket of the calling thread's network namespace.
pub struct Raw {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Raw {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// As `socket(2)`: `EPROTONOSUPPORT` in a kernel without the family.
    pub fn open(protocol: SockProtocol) -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Asks for a dump and gives each message's payload to `take`.
    ///
    /// # Errors
    ///
    /// The kernel's; `Interrupted` if what was dumped has changed meanwhile.
    pub fn dump(
        &mut self,
        kind: u16,
        payload: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, payload)?;
        let mut whole = true;
        loop {
            for message in self.receive()? {
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE if whole => return Ok(()),
                    NLMSG_DONE => return Err(io::ErrorKind::Interrupted.into()),
                    NLMSG_ERROR => return Err(error_of(&message.payload)),
                    _ => take(&message.payload),
                }
            }
        }
    }

    /// Asks for one thing: the first answer's payload, empty if it is only that it is done.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn ask(&mut self, kind: u16, flags: u16, payload: &[u8]) -> io::Result<Vec<u8>> {
        self.send(kind, NLM_F_REQUEST | flags, payload)?;
        let mut answers = self.receive()?;
        if answers.is_empty() {
            return Ok(Vec::new());
        }
        let answer = answers.swap_remove(0);
        if answer.kind == NLMSG_ERROR {
            let error = error_of(&answer.payload);
            return match error.raw_os_error() {
                Some(0) => Ok(Vec::new()),
                _ => Err(error),
            };
        }
        Ok(answer.payload)
    }

    fn send(&mut self, kind: u16, flags: u16, payload: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let length = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADER + payload.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        message.extend_from_slice(payload);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;
        Ok(())
    }

    /// One datagram's messages.
    fn receive(&mut self) -> io::Result<Vec<Message>> {
        let length = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        let mut rest = &self.buffer[..length];
        let mut messages = Vec::new();
        while let (Some(length), Some(head)) = (u32_at(rest, 0), rest.get(4..8)) {
            let length = length as usize;
            let Some(payload) = rest.get(HEADER..length) else {
                break;
            };
            messages.push(Message {
                kind: u16::from_ne_bytes([head[0], head[1]]),
                flags: u16::from_ne_bytes([head[2], head[3]]),
                payload: payload.to_vec(),
            });
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(messages)
    }
}

struct Message {
    kind: u16,
    flags: u16,
    payload: Vec<u8>,
}

fn error_of(payload: &[u8]) -> io::Error {
    let code = u32_at(payload, 0).unwrap_or(0).cast_signed();
    io::Error::from_raw_os_error(-code)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
