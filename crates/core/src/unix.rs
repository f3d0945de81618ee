//! Unix sockets under folders whose paths may be longer than the 108 bytes a socket address holds: bound and connected
//! as `/proc/self/fd/DIRFD/NAME`, or by the plain path where there is no `/proc` and it fits.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The short name of `path` and the open folder that it is valid with.
fn short(path: &Path) -> io::Result<(PathBuf, File)> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a socket path without a name"))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

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
        again.accept().expect("accept").0.read_to_string(&mut text).expect("read");
        assert_eq!(text, "hi");
        assert_eq!(std::fs::metadata(&path).expect("stat").permissions().mode() & 0o777, 0o600);
        std::fs::remove_dir_all(&dir).expect("clean");
    }
}
