//! The listening socket: `PORT` on loopback, or the one that the supervisor opened and passed as file descriptor 3.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::fd::{FromRawFd, OwnedFd};

use crate::StartError;
use crate::server::variable;

/// The first passed descriptor, by the protocol of `sd_listen_fds(3)`.
const FIRST_FD: i32 = 3;

/// Opens or takes over the socket, ready for tokio.
///
/// # Errors
/// [`StartError::MissingVariable`], [`StartError::BadVariable`], [`StartError::Listen`].
pub(crate) fn listener() -> Result<tokio::net::TcpListener, StartError> {
    let (address, socket) = match passed()? {
        Some(socket) => (format!("file descriptor {FIRST_FD}"), Ok(socket)),
        None => {
            let port = variable("PORT")?;
            let expected = "expected a port number";
            let number = port.parse().map_err(|_| StartError::BadVariable {
                name: "PORT",
                value: port,
                expected,
            })?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, number));
            (address.to_string(), TcpListener::bind(address))
        }
    };
    let listen = |source| StartError::Listen {
        address: address.clone(),
        source,
    };
    let socket = socket.map_err(listen)?;
    socket.set_nonblocking(true).map_err(listen)?;
    tokio::net::TcpListener::from_std(socket).map_err(listen)
}

/// The passed socket, when `LISTEN_FDS` says that there is one and `LISTEN_PID` that it is for this process.
#[cfg(unix)]
fn passed() -> Result<Option<TcpListener>, StartError> {
    use std::sync::atomic::{AtomicBool, Ordering};
    static TAKEN: AtomicBool = AtomicBool::new(false);

    let Ok(count) = std::env::var("LISTEN_FDS") else {
        return Ok(None);
    };
    let ours = std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    if count != "1" || !ours || TAKEN.swap(true, Ordering::SeqCst) {
        let expected = "expected 1, with LISTEN_PID naming this process, and to be asked once";
        return Err(StartError::BadVariable {
            name: "LISTEN_FDS",
            value: count,
            expected,
        });
    }
    // SAFETY: the parent opened descriptor 3 for exactly this process (LISTEN_PID says so), nothing here has used it
    // before, and `TAKEN` lets only one owner of it come to be.
    #[allow(unsafe_code)]
    let fd = unsafe { OwnedFd::from_raw_fd(FIRST_FD) };
    Ok(Some(TcpListener::from(fd)))
}

#[cfg(not(unix))]
fn passed() -> Result<Option<TcpListener>, StartError> {
    Ok(None)
}
