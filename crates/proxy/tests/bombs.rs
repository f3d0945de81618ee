//! Bodies that grow a hundredfold when they are unpacked: the proxy unpacks nothing, so they pass as they are.
//!
//! One test in one process: the most memory that it ever held is looked at.

mod common;

use common::*;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::Protocol;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// Of the body as it travels, bytes.
const PACKED: usize = 8 << 20;
/// What proxy, client and instance may take for it together, in KiB; unpacked it would be more than 1 GiB.
const ROOM_KIB: u64 = 128 << 10;

/// Bits, the lowest of a byte first (RFC 1951, section 3.1.1).
struct Bits {
    bytes: Vec<u8>,
    free: u32,
}

impl Bits {
    fn push(&mut self, bits: &str) {
        for bit in bits.bytes() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= (bit - b'0') << (8 - self.free);
            self.free -= 1;
        }
    }
}

/// A gzip member (RFC 1952) of zeros with Huffman's fixed codes: 258 for each 13 bits. How many zeros it says.
fn bomb() -> (Vec<u8>, u64) {
    let mut bits = Bits {
        bytes: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255],
        free: 0,
    };
    bits.push("110"); // The last block, by fixed codes.
    bits.push("00110000"); // A zero.
    let mut zeros = 1_u64;
    while bits.bytes.len() < PACKED - 10 {
        bits.push("11000101"); // The length 258 …
        bits.push("00000"); // … from one byte back.
        zeros += 258;
    }
    bits.push("0000000");
    // A wrong checksum: whoever unpacks it is done with its memory by then.
    bits.bytes.extend([0; 4]);
    bits.bytes.extend((zeros as u32).to_le_bytes());
    (bits.bytes, zeros)
}

/// A head as it is on the wire, and what of the body was read with it.
fn head_of(stream: &mut impl Read) -> (String, Vec<u8>) {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut piece).expect("read");
        assert!(n > 0, "a head");
        bytes.extend_from_slice(&piece[..n]);
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(at + 4);
            return (String::from_utf8(bytes).expect("text"), body);
        }
    }
}

/// Reads the rest of a body and compares all of it.
fn is_whole(stream: &mut impl Read, mut known: Vec<u8>, expected: &[u8]) -> bool {
    let mut piece = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        if expected.get(at..at + known.len()) != Some(&known[..]) {
            return false;
        }
        at += known.len();
        if at == expected.len() {
            return true;
        }
        let n = stream.read(&mut piece).expect("read");
        assert!(n > 0, "the rest of the body");
        known = piece[..n].to_vec();
    }
}

/// An instance that looks whether the bomb came as it was sent, and answers with the same.
fn instance_with(bomb: Arc<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let serve = move || {
        for mut stream in listener.incoming().flatten() {
            let (head, body) = head_of(&mut stream);
            let as_it_was = field(&head, "content-encoding") == Some("gzip")
                && field(&head, "content-length") == Some(&bomb.len().to_string())
                && is_whole(&mut stream, body, &bomb);
            let status = if as_it_was { "200 OK" } else { "418 Changed" };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bomb.len()
            );
            stream.write_all(answer.as_bytes()).expect("written");
            stream.write_all(&bomb).expect("written");
        }
    };
    Tasks::thread("instance", serve).expect("a thread");
    address
}

/// The most memory that this process has held, KiB; 0 where the system does not say.
fn most_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[test]
fn a_bomb_passes_as_it_is_in_both_directions() {
    let (bomb, zeros) = bomb();
    assert!(zeros > 1 << 30, "{zeros}");
    let bomb = Arc::new(bomb);
    let dir = tempfile::tempdir().expect("a folder");
    let mut route = route("/", "store");
    route.policy.body_limit = 16 << 20;
    let clusters = vec![cluster("store", Protocol::Http1, &[instance_with(bomb.clone())])];
    let (running, _controller) = serving(dir.path(), &snapshot(vec![route], vec![], clusters));
    let before = most_memory();
    let mut client = running.client();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    client.write_all(head.as_bytes()).expect("written");
    client.write_all(&bomb).expect("written");
    let (head, body) = head_of(&mut client);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(field(&head, "content-encoding"), Some("gzip"));
    assert_eq!(field(&head, "content-length"), Some(&*bomb.len().to_string()));
    assert!(is_whole(&mut client, body, &bomb));
    running.stop();
    let more = most_memory() - before;
    assert!(more < ROOM_KIB, "{more} KiB");
}
