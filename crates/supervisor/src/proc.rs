//! What `/proc` tells of other processes. Any of them may end between two looks, so everything is optional.

use rustix::process::Pid;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A line of `/proc/PID/stat`, as far as needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stat {
    pub parent: i32,
    pub session: i32,
    /// In ticks since the machine's boot: with the pid it names one process for good.
    pub started: u64,
    /// Ended but not waited for.
    pub zombie: bool,
}

fn path(pid: i32, what: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{what}"))
}

/// All processes.
pub(crate) fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(path(pid, "stat")).ok()?)
}

/// The program's name is in brackets and may hold spaces and brackets itself, so what follows counts from its last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(15)?.parse().ok()?;
    Some(Stat {
        parent,
        session,
        started,
        zombie: matches!(state, "Z" | "X"),
    })
}

/// The program's name, at most 15 bytes, for people.
pub(crate) fn name(pid: i32) -> Option<String> {
    Some(fs::read_to_string(path(pid, "comm")).ok()?.trim_end().to_owned())
}

/// A variable of the environment it was started with; none when it wrote over that or belongs to another user.
pub(crate) fn variable(pid: i32, name: &str) -> Option<String> {
    let environ = fs::read(path(pid, "environ")).ok()?;
    let entry = environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(entry).into_owned())
}

/// The inodes of sockets that listen on this TCP port, IPv4 and IPv6.
pub(crate) fn listeners(port: u16) -> Vec<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| listener(line, port))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn listener(line: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?.rsplit_once(':')?.1;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    (u16::from_str_radix(local, 16).ok()? == port && state == LISTEN).then_some(inode)
}

/// True when the process has one of these sockets open.
pub(crate) fn holds(pid: i32, inodes: &[u64]) -> bool {
    let Ok(entries) = fs::read_dir(path(pid, "fd")) else {
        return false;
    };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|link| {
            let inode = link
                .as_os_str()
                .as_bytes()
                .strip_prefix(b"socket:[")
                .and_then(|rest| rest.strip_suffix(b"]"));
            let inode = inode.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
            inode.is_some_and(|inode: u64| inodes.contains(&inode))
        })
}

/// Who listens on this port, for people: `process 41 (nginx)`. Takes milliseconds: it looks through every process.
pub(crate) fn holder(port: u16) -> String {
    let inodes = listeners(port);
    let mut holders = all().into_iter().filter(|pid| holds(*pid, &inodes));
    match holders.next() {
        Some(pid) => format!("process {pid} ({})", name(pid).unwrap_or_else(|| "unknown".into())),
        None if inodes.is_empty() => "a process that has not begun to listen".into(),
        None => "a process of another user".into(),
    }
}

/// A handle that stays with this process even when its pid is used again. The caller checks afterwards that it opened the
/// process it meant.
pub(crate) fn open(pid: i32) -> Option<std::os::fd::OwnedFd> {
    rustix::process::pidfd_open(Pid::from_raw(pid)?, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_brackets_and_spaces_in_the_name() {
        let line = "41 (a) b (c) S 7 41 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3";
        assert_eq!(
            parse_stat(line),
            Some(Stat {
                parent: 7,
                session: 40,
                started: 98_765,
                zombie: false
            })
        );
        assert_eq!(parse_stat("41 (a"), None);
    }

    #[test]
    fn this_process_is_found_with_its_socket_and_its_name() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = socket.local_addr().expect("address").port();
        let me = i32::try_from(std::process::id()).expect("pid");
        assert!(holds(me, &listeners(port)));
        assert!(holder(port).starts_with(&format!("process {me} (")));
        assert!(all().contains(&me) && stat(me).is_some_and(|stat| !stat.zombie));
    }
}
