//! Who asks: h2load where connections are kept, threads of this program where they are not.

use super::Entrance;
use anyhow::{Context, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// At a time, where each request has a connection of its own.
pub(super) const CALLERS: usize = 16;
/// The one cipher suite of TLS that is offered.
const SUITE: &str = "TLS_AES_128_GCM_SHA256";

pub(super) enum Load {
    Http1 {
        requests: u64,
        connections: u32,
    },
    Http2 {
        requests: u64,
        connections: u32,
        streams: u32,
    },
    /// HTTP/1.1 over TLS 1.3.
    Tls {
        requests: u64,
        connections: u32,
    },
    NewConnections {
        requests: u64,
    },
}

impl Load {
    /// Where it is taken.
    pub(super) fn entrance(&self) -> Entrance {
        match self {
            Self::Http1 { .. } | Self::NewConnections { .. } => Entrance::Http1,
            Self::Http2 { .. } => Entrance::Http2,
            Self::Tls { .. } => Entrance::Tls,
        }
    }

    /// Sends all requests and gives their number. Every one must be answered by 200.
    pub(super) fn run(&self, port: u16, path: &str) -> anyhow::Result<u64> {
        let url = format!("http://127.0.0.1:{port}{path}");
        match self {
            Self::Http1 { requests, connections } => h2load(&["--h1"], *requests, *connections, &url),
            Self::Http2 {
                requests,
                connections,
                streams,
            } => h2load(&["-m", &streams.to_string()], *requests, *connections, &url),
            Self::Tls { requests, connections } => {
                let url = url.replace("http://", "https://");
                let suite = format!("--tls13-ciphers={SUITE}");
                h2load(&["--h1", &suite], *requests, *connections, &url)
            }
            Self::NewConnections { requests } => new_connections(*requests, port, path),
        }
    }
}

fn h2load(args: &[&str], requests: u64, connections: u32, url: &str) -> anyhow::Result<u64> {
    let mut command = Command::new("h2load");
    command
        .args(args)
        .args(["-n", &requests.to_string(), "-c", &connections.to_string(), url]);
    let output = command
        .output()
        .context("h2load does not run; `apt-get install nghttp2-client`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let good = format!("{requests} succeeded, 0 failed, 0 errored");
    ensure!(
        text.contains(&good) && text.contains(&format!("{requests} 2xx")),
        "{text}"
    );
    ensure!(
        !url.starts_with("https:") || (text.contains("TLSv1.3") && text.contains(SUITE)),
        "not the TLS that was asked for: {text}"
    );
    Ok(requests)
}

fn new_connections(requests: u64, port: u16, path: &str) -> anyhow::Result<u64> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    callers(requests, |_| {
        let (request, mut answer) = (&request, Vec::new());
        move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.write_all(request.as_bytes())?;
            answer.clear();
            stream.read_to_end(&mut answer)?;
            ensure!(
                answer.starts_with(b"HTTP/1.1 200"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
            Ok(())
        }
    })
}

/// Shares so many calls out over [`CALLERS`] threads, and gives how many were made. `caller` makes a thread's call by the
/// thread's number.
pub(super) fn callers<C>(calls: u64, caller: impl Fn(usize) -> C + Sync) -> anyhow::Result<u64>
where
    C: FnMut() -> anyhow::Result<()>,
{
    let (each, caller) = ((calls / CALLERS as u64).max(1), &caller);
    std::thread::scope(|scope| {
        let run = |number| {
            scope.spawn(move || {
                let mut call = caller(number);
                (0..each).try_for_each(|_| call())
            })
        };
        let callers: Vec<_> = (0..CALLERS).map(run).collect();
        callers
            .into_iter()
            .try_for_each(|caller| caller.join().map_err(|_| anyhow::anyhow!("a caller ended"))?)
    })?;
    Ok(each * CALLERS as u64)
}

/// Opens connections, asks once on each, and keeps them.
pub(super) fn hold(port: u16, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let (mut held, mut buf) = (Vec::with_capacity(count), [0; 4 << 10]);
    for _ in 0..count {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /small HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
        let n = stream.read(&mut buf)?;
        ensure!(
            buf[..n].starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&buf[..n])
        );
        held.push(stream);
    }
    Ok(held)
}
