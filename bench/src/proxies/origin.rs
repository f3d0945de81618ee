//! What all proxies pass requests to: answers of fixed sizes, as cheaply as a socket allows.

use super::{CORES, cpu};
use anyhow::bail;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// As much JSON as in the figures of `defaults`.
const SMALL: usize = 291;

pub(crate) fn run() -> anyhow::Result<()> {
    cpu::pin(None, CORES.1)?;
    let port: u16 = std::env::var("PORT")?.parse()?;
    let answers: &'static [(String, Vec<u8>)] = Box::leak(Box::new([
        ("/small".to_owned(), answer(SMALL)),
        ("/100k".to_owned(), answer(100 << 10)),
        ("/10m".to_owned(), answer(10 << 20)),
    ]));
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let stream = stream?;
        std::thread::Builder::new()
            .stack_size(64 << 10)
            // A connection that breaks is the proxy's to notice.
            .spawn(move || drop(serve(stream, answers)))?;
    }
    Ok(())
}

fn answer(bytes: usize) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n");
    let mut answer = head.into_bytes();
    answer.extend_from_slice(b"{\"text\":\"");
    answer.resize(answer.len() + bytes - 11, b'x');
    answer.extend_from_slice(b"\"}");
    answer
}

/// Requests without bodies, one after the other.
fn serve(mut stream: TcpStream, answers: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buf, mut len) = (vec![0; 8 << 10], 0);
    loop {
        let end = loop {
            if let Some(at) = buf[..len].windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buf[len..])? {
                0 => return Ok(()),
                n => len += n,
            }
        };
        let head = &buf[..end];
        let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let Some((_, answer)) = answers.iter().find(|(own, _)| own.as_bytes() == path) else {
            bail!("asked for {}", String::from_utf8_lossy(path));
        };
        stream.write_all(answer)?;
        buf.copy_within(end..len, 0);
        len -= end;
    }
}
