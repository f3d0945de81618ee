//! What proxies pass requests to: answers of fixed sizes, as cheaply as a socket allows, or a service that takes its time.

use super::workers::Workers;
use super::{CORES, backend, cpu};
use anyhow::{Context, bail, ensure};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// As much JSON as in the figures of `defaults`.
const SMALL: usize = 291;
/// The longest request, bytes.
const LONGEST: usize = 8 << 10;

/// What kind of service; without any: one that answers at once.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Works on so many requests at once.
    #[arg(long)]
    workers: Option<usize>,
    /// What each takes, milliseconds.
    #[arg(long, default_value_t = 20)]
    takes: u64,
    /// The first instance answers after so many milliseconds, however many ask.
    #[arg(long, conflicts_with = "fails")]
    late: Option<u64>,
    /// The first instance answers 500 at once.
    #[arg(long)]
    fails: bool,
}

/// What is wrong with an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    Late(Duration),
    Fails,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    cpu::pin(None, CORES.1)?;
    let port: u16 = std::env::var("PORT").context("PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let Some(count) = args.workers else {
        return fixed(&listener);
    };
    let is_first = std::env::var("ONDOL_INSTANCE").is_ok_and(|name| name.ends_with(".1"));
    let late = args.late.map(|millis| Trouble::Late(Duration::from_millis(millis)));
    let trouble = late.or(args.fails.then_some(Trouble::Fails)).filter(|_| is_first);
    cpu::most_files()?;
    backend::run(
        listener,
        Workers::new(count, Duration::from_millis(args.takes)),
        trouble,
    )
}

/// A thread for each connection. The key set of the bench's tokens is in the file that `JWKS` names.
fn fixed(listener: &TcpListener) -> anyhow::Result<()> {
    let keys = std::env::var_os("JWKS")
        .map(std::fs::read)
        .transpose()
        .context("JWKS")?;
    let answers: &'static [(&str, Vec<u8>)] = Box::leak(Box::new([
        ("small", answer(200, "OK", SMALL)),
        ("100k", answer(200, "OK", 100 << 10)),
        ("10m", answer(200, "OK", 10 << 20)),
        ("jwks", with_body(200, "OK", &keys.unwrap_or_default())),
    ]));
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::Builder::new()
            .stack_size(64 << 10)
            // A connection that breaks is the proxy's to notice.
            .spawn(move || drop(serve(stream, answers)))?;
    }
    Ok(())
}

/// An answer with so many bytes of JSON.
pub(super) fn answer(status: u16, reason: &str, bytes: usize) -> Vec<u8> {
    let mut body = b"{\"text\":\"".to_vec();
    body.resize(bytes - 2, b'x');
    body.extend_from_slice(b"\"}");
    with_body(status, reason, &body)
}

fn with_body(status: u16, reason: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A request without a body.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Request<'a> {
    /// The last segment of its path.
    pub(super) name: &'a str,
    /// Bytes of its head.
    pub(super) length: usize,
}

impl<'a> Request<'a> {
    /// The request that begins a buffer; `None`: more of it has to come.
    ///
    /// # Errors
    /// It has no path, or is longer than 8 KiB.
    pub(super) fn read(buf: &'a [u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = buf.windows(4).position(|four| four == b"\r\n\r\n") else {
            ensure!(buf.len() < LONGEST, "a request without an end");
            return Ok(None);
        };
        let path = buf[..end].split(|byte| *byte == b' ').nth(1).context("no path")?;
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        Ok(Some(Self {
            name: std::str::from_utf8(name)?,
            length: end + 4,
        }))
    }
}

/// Requests without bodies, one after the other.
fn serve(mut stream: TcpStream, answers: &[(&str, Vec<u8>)]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (mut buf, mut len) = (vec![0; LONGEST], 0);
    loop {
        let end = loop {
            if let Some(request) = Request::read(&buf[..len])? {
                let Some((_, answer)) = answers.iter().find(|(own, _)| *own == request.name) else {
                    bail!("asked for {}", request.name);
                };
                stream.write_all(answer)?;
                break request.length;
            }
            match stream.read(&mut buf[len..])? {
                0 => return Ok(()),
                n => len += n,
            }
        };
        buf.copy_within(end..len, 0);
        len -= end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_the_last_segment_of_its_path() {
        let text = b"GET /guarded/small HTTP/1.1\r\nHost: a\r\n\r\nGET /";
        let expected = Request {
            name: "small",
            length: text.len() - 5,
        };
        assert_eq!(Request::read(text).expect("a request"), Some(expected));
        assert_eq!(Request::read(&text[..20]).expect("a part"), None);
        assert!(Request::read(&[b'x'; LONGEST]).is_err());
    }

    #[test]
    fn an_answer_is_json_of_the_length_it_says() {
        let text = String::from_utf8(answer(200, "OK", SMALL)).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a body");
        assert!(head.contains("Content-Length: 291"), "{head}");
        assert_eq!(body.len(), SMALL);
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
