//! Handing descriptors to another process (`SCM_RIGHTS`, `unix(7)`).

use std::{
    io::{self, IoSlice, IoSliceMut, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, cmsg_space, recvmsg, sendmsg,
};

/// Most descriptors of one message (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

/// Longest text that is taken in, octets.
const MAX_TEXT: usize = 16 << 20;

/// Sends a text and descriptors, with each other. The stream is a blocking one.
///
/// # Errors
///
/// As `sendmsg(2)`: `EINVAL` for more than [`MAX_DESCRIPTORS`], `EPIPE`, `EAGAIN` if its timeout
/// passes.
pub fn send(stream: &UnixStream, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<_> = descriptors.iter().map(|it| it.as_raw_fd()).collect();
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    // The descriptors travel with the length alone, so that one call takes them all in.
    let sent = sendmsg::<()>(
        stream.as_raw_fd(),
        &[IoSlice::new(&length.to_be_bytes())],
        &[ControlMessage::ScmRights(&raw)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    if sent != size_of::<u32>() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    (&*stream).write_all(text)
}

/// Receives what [`send`] sent. The stream is a blocking one.
///
/// # Errors
///
/// As `recvmsg(2)`; `UnexpectedEof` if the other side ends first, `InvalidData` if it says
/// something else.
pub fn receive(stream: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut length = [0; size_of::<u32>()];
    let mut parts = [IoSliceMut::new(&mut length)];
    let mut space = vec![0; cmsg_space::<[i32; MAX_DESCRIPTORS]>()];
    let message = recvmsg::<()>(
        stream.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL,
    )?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just made them for us, and nobody else has them.
            descriptors.extend(
                raw.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    match message.bytes {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        read if read < size_of::<u32>() => return Err(io::ErrorKind::InvalidData.into()),
        _ => {}
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_TEXT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length];
    (&*stream).read_exact(&mut text)?;
    Ok((text, descriptors))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_text() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut read, write) = std::io::pipe().unwrap();
        send(&here, b"a pipe", &[write.as_fd()]).unwrap();
        drop(write);
        let (text, mut descriptors) = receive(&there).unwrap();
        assert_eq!(text, b"a pipe");
        let mut theirs = File::from(descriptors.pop().unwrap());
        assert!(descriptors.is_empty());
        theirs.write_all(b"through it").unwrap();
        drop(theirs);
        let mut said = String::new();
        read.read_to_string(&mut said).unwrap();
        assert_eq!(said, "through it");
    }

    #[test]
    fn an_end_before_it_is_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        let error = receive(&there).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
