//! Loopback ports for instances and edges: outside `ip_local_port_range`, the same for the same name as long as possible.
//!
//! A port inside that range can be taken by any outgoing connection while its instance is dead; outside, only by someone who
//! asks for it. The names and ports are kept in `.ondol/ports.json`, so they stay over lives of the supervisor too.

use crate::error::Refusal;
use crate::home::write_whole;
use crate::proc;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Names beyond this many lose their ports, those that run excepted.
const LIMIT: usize = 4_096;
const BACKLOG: i32 = 4_096;
/// Where to look first: above what is commonly configured by hand.
const FROM: u16 = 20_000;

/// Ports by name.
#[derive(Debug)]
pub(crate) struct Ports {
    file: PathBuf,
    kept: BTreeMap<String, u16>,
    /// Not to be given out.
    outgoing: RangeInclusive<u16>,
    /// The next to try; differs from system to system so that two rarely meet.
    next: u16,
}

impl Ports {
    /// With what was kept in `file`; a file that cannot be read is as none.
    pub(crate) fn open(file: PathBuf, system: &str) -> Self {
        let kept = std::fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let spread = system
            .bytes()
            .fold(0_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
            % 10_000;
        Self {
            file,
            kept,
            outgoing: outgoing(),
            next: FROM + spread,
        }
    }

    /// The port of `name`. One that someone else holds meanwhile is replaced, unless `in_use` says that it is ours.
    pub(crate) fn of(&mut self, name: &str, in_use: impl Fn(&str) -> bool) -> Result<u16, Refusal> {
        if let Some(port) = self.kept.get(name).copied()
            && (in_use(name) || self.usable(port))
        {
            return Ok(port);
        }
        if self.kept.len() >= LIMIT {
            self.kept.retain(|name, _| in_use(name));
        }
        let port = self.free().ok_or(Refusal::NoPort)?;
        self.kept.insert(name.to_owned(), port);
        // A port that is not written down is found anew after a restart: no reason to refuse.
        let _ = serde_json::to_vec(&self.kept).map(|text| write_whole(&self.file, &text));
        Ok(port)
    }

    fn free(&mut self) -> Option<u16> {
        for _ in 0..u16::MAX {
            let port = self.next;
            self.next = if port >= 65_000 { 10_000 } else { port + 1 };
            if !self.kept.values().any(|kept| *kept == port) && self.usable(port) {
                return Some(port);
            }
        }
        None
    }

    fn usable(&self, port: u16) -> bool {
        !self.outgoing.contains(&port) && bound(loopback(port)).is_ok()
    }
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The range that the kernel takes outgoing ports from.
fn outgoing() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().filter_map(|number| number.parse().ok());
    numbers.next().unwrap_or(32_768)..=numbers.next().unwrap_or(60_999)
}

/// A listening socket, blocking and close-on-exec.
///
/// # Errors
/// Those of `bind` and `listen`.
pub(crate) fn listen_at(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = bound(address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Bound and not listening, so that nobody can connect to what is only a question.
fn bound(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // Connections of a former life that linger in TIME_WAIT do not hold the port.
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// As [`listen_at`], with the holder named when the port is taken.
pub(crate) fn listen_or_say(address: SocketAddr) -> Result<OwnedFd, Refusal> {
    listen_at(address).map_err(|error| say(address, &error))
}

/// Refuses, naming the holder, when somebody listens at this loopback port.
pub(crate) fn free_or_say(port: u16) -> Result<(), Refusal> {
    bound(loopback(port))
        .map(drop)
        .map_err(|error| say(loopback(port), &error))
}

fn say(address: SocketAddr, error: &io::Error) -> Refusal {
    let what = address.to_string();
    match error.kind() {
        io::ErrorKind::AddrInUse => Refusal::Taken {
            what: format!("port {}", address.port()),
            holder: proc::holder(address.port()),
        },
        io::ErrorKind::PermissionDenied => Refusal::Bind {
            what,
            why: "ports below 1024 need a privilege; choose another".into(),
        },
        _ => Refusal::Bind {
            what,
            why: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each test has a system of its own: ports of one begin at one place, and tests run beside each other.
    fn ports(folder: &tempfile::TempDir) -> Ports {
        Ports::open(folder.path().join("ports.json"), &folder.path().to_string_lossy())
    }

    #[test]
    fn a_name_keeps_its_port_and_no_two_share_one() {
        let folder = tempfile::tempdir().expect("folder");
        let mut first = ports(&folder);
        let (a, b) = (
            first.of("a.1", |_| false).expect("port"),
            first.of("b.1", |_| false).expect("port"),
        );
        assert_ne!(a, b);
        assert!(!outgoing().contains(&a));
        assert_eq!(first.of("a.1", |_| false).expect("port"), a);
        assert_eq!(ports(&folder).of("b.1", |_| false).expect("port"), b, "kept over lives");
    }

    #[test]
    fn a_port_that_another_took_is_replaced_unless_it_is_in_use_by_its_name() {
        let folder = tempfile::tempdir().expect("folder");
        let mut ports = ports(&folder);
        let port = ports.of("a.1", |_| false).expect("port");
        let _other = listen_at(loopback(port)).expect("listen");
        assert_eq!(ports.of("a.1", |_| true).expect("port"), port);
        assert_ne!(ports.of("a.1", |_| false).expect("port"), port);
    }

    #[test]
    fn a_taken_port_names_its_holder() {
        let taken = listen_at(loopback(0)).expect("listen");
        let address = rustix::net::getsockname(&taken)
            .expect("name")
            .try_into()
            .expect("address");
        let refusal = listen_or_say(address).expect_err("taken").to_string();
        assert!(
            refusal.contains(&format!("held by process {} (", std::process::id())),
            "{refusal}"
        );
    }
}
