//! Unix sockets under folders whose paths may be longer than the 108 bytes a socket address holds: bound and connected
//! as `/proc/self/fd/DIRFD/NAME`, or by the plain path where there is no `/proc` and it fits. Also: a descriptor beside bytes.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The short name of `path` and the open folder that it is valid with: for those who connect without blocking.
///
/// # Errors
/// Those of the folder; `InvalidInput` for a path without a name.
pub fn short(path: &Path) -> io::Result<(PathBuf, File)> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a socket path without a name"))?;
    let dir = File::open(folder)?;
    let proc = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    let base = if proc.exists() { proc } else { folder.to_path_buf() };
    Ok((base.join(name), dir))
}

/// Listens at `path` with mode 0600, after taking away a socket that an earlier process left there.
///
/// # Errors
/// Those of the folder, of `bind` and of `chmod`.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (name, _dir) = short(path)?;
    let listener = UnixListener::bind(name)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the socket at `path`; blocks only while the listener's backlog is full.
///
/// # Errors
/// Those of the folder and of `connect`.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let (name, _dir) = short(path)?;
    UnixStream::connect(name)
}

/// Sends `bytes` with a copy of `fd` beside the first of them (SCM_RIGHTS). The receiver shares the open file, so flags
/// such as `O_NONBLOCK` too.
///
/// # Errors
/// Those of `sendmsg`; `InvalidInput` when there are no bytes, since a descriptor travels only beside one.
pub fn send_with_fd(stream: &mut UnixStream, bytes: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a descriptor without a byte",
        ));
    }
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for one descriptor"));
    }
    let sent = retry(|| {
        sendmsg(
            stream.as_fd(),
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
    })?;
    stream.write_all(&bytes[sent..])
}

/// Receives at least one byte into `buf`, and the descriptor beside it if there is one; 0 bytes at the end.
///
/// # Errors
/// Those of `recvmsg`.
pub fn recv_with_fd(stream: &UnixStream, buf: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = retry(|| {
        recvmsg(
            stream.as_fd(),
            &mut [IoSliceMut::new(buf)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((message.bytes, fd))
}

/// Repeats a call that a signal cut short.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_descriptor_travels_beside_bytes() {
        let (mut a, b) = UnixStream::pair().expect("pair");
        let (mut kept, sent) = UnixStream::pair().expect("pair");
        send_with_fd(&mut a, b"x", sent.as_fd()).expect("send");
        drop(sent);
        let (n, fd) = recv_with_fd(&b, &mut [0; 4]).expect("receive");
        let mut got = UnixStream::from(fd.expect("a descriptor"));
        got.write_all(b"through").expect("write");
        drop(got);
        let mut text = String::new();
        kept.read_to_string(&mut text).expect("read");
        assert_eq!((n, text.as_str()), (1, "through"));
        a.write_all(b"y").expect("write");
        assert!(recv_with_fd(&b, &mut [0; 4]).expect("receive").1.is_none());
    }

    #[test]
    fn a_path_beyond_108_bytes_works_and_is_private() {
        let dir = std::env::temp_dir().join(format!("ondol-unix-{}-{}", std::process::id(), "x".repeat(120)));
        std::fs::create_dir_all(&dir).expect("folder");
        let path = dir.join("s.sock");
        let listener = bind(&path).expect("bind");
        let again = bind(&path).expect("bind over a left socket");
        drop(listener);
        let mut client = connect(&path).expect("connect");
        client.write_all(b"hi").expect("write");
        drop(client);
        let mut text = String::new();
        again
            .accept()
            .expect("accept")
            .0
            .read_to_string(&mut text)
            .expect("read");
        assert_eq!(text, "hi");
        assert_eq!(
            std::fs::metadata(&path).expect("stat").permissions().mode() & 0o777,
            0o600
        );
        std::fs::remove_dir_all(&dir).expect("clean");
    }
}
