//! A socket pair between this process and a child: `socketpair(2)`, `unix(7)`.

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The largest message in bytes.
pub(super) const MAX_MESSAGE: usize = 64 << 10;

/// One end of a socket pair that keeps messages apart (`SOCK_SEQPACKET`).
#[derive(Debug)]
pub struct Socket(OwnedFd);

/// A message.
#[derive(Debug)]
pub struct Message<'a> {
    /// Its bytes, at least one.
    pub bytes: &'a [u8],
    /// The descriptor that came with them.
    pub descriptor: Option<OwnedFd>,
}

impl Message<'_> {
    /// Returns the value that was sent with [`send_value`](super::crew::Channel::send_value). Returns `None` if the
    /// message is not one.
    pub fn value<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.bytes).ok()
    }
}

impl Socket {
    /// Creates both ends.
    ///
    /// # Errors
    ///
    /// Those of `socketpair(2)`.
    pub(super) fn pair() -> nix::Result<(Socket, Socket)> {
        let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
        let (one, other) = socketpair(AddressFamily::Unix, kind, None, flags)?;
        Ok((Socket(one), Socket(other)))
    }

    /// Sends a message of at least one byte, optionally with a descriptor.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if it is longer than [`MAX_MESSAGE`]; otherwise those of `sendmsg(2)`.
    pub fn send(&self, bytes: &[u8], descriptor: Option<BorrowedFd>) -> nix::Result<()> {
        if bytes.len() > MAX_MESSAGE {
            return Err(Errno::EMSGSIZE);
        }
        let fds = descriptor.map(|fd| [fd.as_raw_fd()]);
        let control = fds.as_ref().map(|fds| ControlMessage::ScmRights(fds));
        let (control, flags) = (control.as_slice(), MsgFlags::MSG_NOSIGNAL);
        loop {
            match sendmsg::<()>(
                self.0.as_raw_fd(),
                &[IoSlice::new(bytes)],
                control,
                flags,
                None,
            ) {
                Err(Errno::EINTR) => {}
                result => return result.map(drop),
            }
        }
    }

    /// Receives a message into the buffer. Returns `None` if the other end is closed.
    ///
    /// # Errors
    ///
    /// Those of `recvmsg(2)`; with `MSG_DONTWAIT`, `EAGAIN` if there is no message.
    pub(super) fn receive<'a>(
        &self,
        buffer: &'a mut [u8],
        flags: MsgFlags,
    ) -> nix::Result<Option<Message<'a>>> {
        let mut control = cmsg_space!(RawFd);
        let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
        let (length, mut descriptor) = loop {
            let mut buffers = [IoSliceMut::new(buffer)];
            match recvmsg::<()>(self.0.as_raw_fd(), &mut buffers, Some(&mut control), flags) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
                Ok(received) => {
                    let mut descriptor = None;
                    for message in received.cmsgs()? {
                        if let ControlMessageOwned::ScmRights(fds) = message {
                            // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
                            let own = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
                            descriptor = fds.into_iter().map(own).next_back();
                        }
                    }
                    break (received.bytes, descriptor);
                }
            }
        };
        let bytes = &buffer[..length];
        Ok((length > 0).then(|| Message {
            bytes,
            descriptor: descriptor.take(),
        }))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
