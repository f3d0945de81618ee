//! The listening sockets that the supervisor holds for the proxy and the controller, so that their addresses outlive both.

use crate::error::Refusal;
use crate::ports::{Ports, listen_at, listen_or_say, loopback};
use ondol_core::unix;
use ondol_core::wire::supervision::{Bind, Bound, SocketName};
use rustix::io::fcntl_dupfd_cloexec;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

const LIMIT: usize = 4_096;

/// Sockets by name.
#[derive(Debug)]
pub(crate) struct Sockets {
    run: PathBuf,
    held: BTreeMap<SocketName, Held>,
}

#[derive(Debug)]
struct Held {
    asked: Bind,
    bound: Bound,
    socket: OwnedFd,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Bound::Unix(path) = &self.bound {
            // A path that stays behind refuses connections, as it should.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Sockets {
    pub(crate) fn new(run: PathBuf) -> Self {
        Self {
            run,
            held: BTreeMap::new(),
        }
    }

    /// Binds what is not bound yet. A name asked for with another address moves there. Where a name that is not asked for has
    /// the address, it is the same socket by both names: listeners change places, and nobody who knocks meanwhile is
    /// refused. Only one for another process is not: both would accept from it for a moment. All or nothing.
    pub(crate) fn listen(
        &mut self,
        asked: Vec<(SocketName, Bind)>,
        ports: &mut Ports,
    ) -> Result<Vec<(SocketName, Bound)>, Refusal> {
        let mut new = BTreeMap::new();
        let names: BTreeSet<_> = asked.iter().map(|(name, _)| name).collect();
        for (name, bind) in &asked {
            if self.held.get(name).is_none_or(|held| held.asked != *bind) && !new.contains_key(name) {
                if self.held.len() + new.len() >= LIMIT {
                    return Err(Refusal::TooMany {
                        what: "sockets",
                        limit: LIMIT,
                    });
                }
                let held = self.bind(name, bind, &names, &new, ports)?;
                new.insert(name.clone(), held);
            }
        }
        self.held.extend(new);
        Ok(asked
            .into_iter()
            .filter_map(|(name, _)| Some((name.clone(), self.held.get(&name)?.bound.clone())))
            .collect())
    }

    /// Closes all but these.
    pub(crate) fn retain(&mut self, names: &BTreeSet<SocketName>) {
        self.held.retain(|name, _| names.contains(name));
    }

    /// A copy for whoever asked.
    pub(crate) fn take(&self, name: &SocketName) -> Result<OwnedFd, Refusal> {
        let held = self.held.get(name).ok_or_else(|| Refusal::NoSocket(name.clone()))?;
        fcntl_dupfd_cloexec(&held.socket, 3).map_err(|error| Refusal::Bind {
            what: name.0.clone(),
            why: error.to_string(),
        })
    }

    fn bind(
        &self,
        name: &SocketName,
        asked: &Bind,
        names: &BTreeSet<&SocketName>,
        new: &BTreeMap<SocketName, Held>,
        ports: &mut Ports,
    ) -> Result<Held, Refusal> {
        let failed = |why: String| Refusal::Bind {
            what: name.0.clone(),
            why,
        };
        let (socket, bound) = match asked {
            Bind::Address(text) => {
                let address = resolve(text)?;
                let is_there = |held: &Held| held.bound == Bound::Address(address);
                let mut others = self
                    .held
                    .iter()
                    .filter(|(name, held)| !names.contains(name) && is_there(held));
                let socket = match others.next().filter(|_| !new.values().any(is_there)) {
                    Some((other, _)) if other.is_console() != name.is_console() => {
                        return Err(failed(format!(
                            "{} has {address}; move one of them first, then the other",
                            other.listener().0
                        )));
                    }
                    Some((other, _)) => self.take(other)?,
                    None => listen_or_say(address)?,
                };
                let bound = Bound::Address(address_of(&socket).map_err(|error| failed(error.to_string()))?);
                (socket, bound)
            }
            Bind::Loopback => {
                let port = ports.of(&format!("socket {}", name.0), |_| false)?;
                let socket = listen_at(loopback(port)).map_err(|error| failed(error.to_string()))?;
                (socket, Bound::Address(loopback(port)))
            }
            Bind::Unix(file) => {
                let path = self.unix_path(file)?;
                let socket = unix::bind(&path).map_err(|error| failed(error.to_string()))?;
                (socket.into(), Bound::Unix(path))
            }
        };
        // The takers are event loops, and the flag is shared with them.
        rustix::io::ioctl_fionbio(&socket, true).map_err(|error| failed(error.to_string()))?;
        Ok(Held {
            asked: asked.clone(),
            bound,
            socket,
        })
    }

    fn unix_path(&self, file: &str) -> Result<PathBuf, Refusal> {
        let path = self.run.join(file);
        let taken = file == "supervisor.sock" || self.held.values().any(|held| held.bound == Bound::Unix(path.clone()));
        if file.is_empty() || file.contains(['/', '\0']) || file.starts_with('.') || taken {
            return Err(Refusal::Bind {
                what: file.to_owned(),
                why: "not a free file name in .ondol/run".into(),
            });
        }
        Ok(path)
    }
}

fn resolve(text: &str) -> Result<SocketAddr, Refusal> {
    let why = "write it like 127.0.0.1:8080".to_owned();
    let found = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| Refusal::Bind {
        what: text.to_owned(),
        why,
    })
}

fn address_of(socket: &OwnedFd) -> std::io::Result<SocketAddr> {
    Ok(rustix::net::getsockname(socket)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bed {
        _folder: tempfile::TempDir,
        sockets: Sockets,
        ports: Ports,
    }

    fn bed() -> Bed {
        let folder = tempfile::tempdir().expect("folder");
        Bed {
            sockets: Sockets::new(folder.path().to_owned()),
            ports: Ports::open(folder.path().join("ports.json"), &folder.path().to_string_lossy()),
            _folder: folder,
        }
    }

    impl Bed {
        fn listen(&mut self, asked: &[(&str, SocketAddr)]) -> Result<(), Refusal> {
            let one = |(name, at): &(&str, SocketAddr)| (SocketName((*name).into()), Bind::Address(at.to_string()));
            self.sockets
                .listen(asked.iter().map(one).collect(), &mut self.ports)
                .map(drop)
        }

        fn inode(&self, name: &str) -> u64 {
            let socket = self.sockets.take(&SocketName(name.into())).expect("held");
            rustix::fs::fstat(socket).expect("it is open").st_ino
        }
    }

    fn free() -> SocketAddr {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        socket.local_addr().expect("its address")
    }

    #[test]
    fn an_address_that_is_held_by_a_name_not_asked_for_is_the_same_socket_by_both() {
        let (mut bed, at, other) = (bed(), free(), free());
        bed.listen(&[("a@1", at), ("b@2", other)]).expect("bound");
        let (a, b) = (bed.inode("a@1"), bed.inode("b@2"));
        assert_ne!(a, b);
        bed.listen(&[("a@2", other), ("b@1", at)]).expect("they change places");
        assert_eq!((bed.inode("a@2"), bed.inode("b@1")), (b, a));
        bed.sockets
            .retain(&["a@2", "b@1"].map(|name| SocketName(name.into())).into());
        assert_eq!((bed.inode("a@2"), bed.inode("b@1")), (b, a), "open by their new names");
        bed.sockets.retain(&BTreeSet::new());
        std::net::TcpListener::bind(at).expect("free again");
    }

    #[test]
    fn two_that_are_asked_for_together_share_nothing() {
        let (mut bed, at) = (bed(), free());
        bed.listen(&[("a@1", at)]).expect("bound");
        let refused = bed.listen(&[("a@1", at), ("b@1", at)]).expect_err("taken");
        assert!(matches!(refused, Refusal::Taken { .. }), "{refused}");
        let refused = bed
            .sockets
            .take(&SocketName("b@1".into()))
            .expect_err("nothing was bound");
        assert!(matches!(refused, Refusal::NoSocket(_)), "{refused}");
        let refused = bed
            .listen(&[("b@1", at), ("c@1", at)])
            .expect_err("only one takes the other's place");
        assert!(matches!(refused, Refusal::Taken { .. }), "{refused}");
    }

    #[test]
    fn the_console_and_the_proxy_never_accept_from_one_socket() {
        let (mut bed, at, other) = (bed(), free(), free());
        bed.listen(&[("a@1", at), ("console@2", other)]).expect("bound");
        for asked in [("console@1", at), ("a@2", other)] {
            let refused = bed.listen(&[asked]).expect_err("the other one has it");
            assert!(refused.to_string().contains("move one of them first"), "{refused}");
        }
        bed.listen(&[("console@3", other)])
            .expect("the same under another name");
    }
}
