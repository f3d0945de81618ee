//! Who asks: h2load where connections are kept, threads of this program where they are not.

use anyhow::{Context, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// At a time, where each request has a connection of its own.
const CALLERS: u64 = 16;

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
    NewConnections {
        requests: u64,
    },
}

impl Load {
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
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
        .context("h2load does not run; install the Debian package nghttp2-client")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let good = format!("{requests} succeeded, 0 failed, 0 errored");
    ensure!(
        text.contains(&good) && text.contains(&format!("{requests} 2xx")),
        "{text}"
    );
    Ok(requests)
}

fn new_connections(requests: u64, port: u16, path: &str) -> anyhow::Result<u64> {
    let each = requests / CALLERS;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let call = || -> anyhow::Result<()> {
        let mut answer = Vec::new();
        for _ in 0..each {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.write_all(request.as_bytes())?;
            answer.clear();
            stream.read_to_end(&mut answer)?;
            ensure!(
                answer.starts_with(b"HTTP/1.1 200"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers
            .into_iter()
            .try_for_each(|caller| caller.join().map_err(|_| anyhow::anyhow!("a caller ended"))?)
    })?;
    Ok(each * CALLERS)
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
