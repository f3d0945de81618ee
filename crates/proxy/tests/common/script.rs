//! An instance that keeps every byte of the requests it saw.

use ondol_core::task::Tasks;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[path = "../../src/testing/escape.rs"]
mod escape;

pub use escape::unescape;

/// A request as an instance saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub head: String,
    /// As it stood on the wire.
    pub body: String,
    /// Its end came.
    pub whole: bool,
}

/// The instance.
pub struct Script {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Script {
    /// Answers each request with these bytes, after its body, or `early` after its head.
    pub fn start(answer: Option<&str>, early: bool) -> Self {
        let answer = unescape(answer.unwrap_or("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (own, answer) = (seen.clone(), Arc::new(answer));
        let accepting = move || {
            while let Ok((stream, _)) = listener.accept() {
                let (own, answer) = (own.clone(), answer.clone());
                Tasks::thread("conversation", move || converse(stream, &own, &answer, early)).expect("a thread");
            }
        };
        Tasks::thread("script", accepting).expect("a thread");
        Self { address, seen }
    }

    /// What it saw so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("lock").clone()
    }
}

fn converse(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, answer: &[u8], early: bool) {
    loop {
        let Some(head) = until(&mut stream, |text| text.ends_with("\r\n\r\n")) else {
            return;
        };
        let at = {
            let mut seen = seen.lock().expect("lock");
            seen.push(Seen {
                head: head.clone(),
                ..Seen::default()
            });
            seen.len() - 1
        };
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if early {
            let _ = stream.write_all(answer);
        }
        let body = match field("content-length: ") {
            Some(length) => {
                let length: usize = length.parse().expect("a length");
                until(&mut stream, |text| text.len() == length)
            }
            None if field("transfer-encoding: chunked").is_some() => {
                // The bodies of the tables have no such lines in their data.
                until(&mut stream, |text| {
                    let last = text.starts_with("0\r\n") || text.contains("\r\n0\r\n");
                    last && text.ends_with("\r\n\r\n")
                })
            }
            None => Some(String::new()),
        };
        let Some(body) = body else { return };
        let mut all = seen.lock().expect("lock");
        (all[at].body, all[at].whole) = (body, true);
        drop(all);
        if !early && stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn until(stream: &mut TcpStream, is_end: impl Fn(&str) -> bool) -> Option<String> {
    let mut text = String::new();
    while !is_end(&text) {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        text.push(char::from(byte[0]));
    }
    Some(text)
}
