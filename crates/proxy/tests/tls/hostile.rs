//! Clients that mean no good, and connections that break at bad moments.

use crate::common::*;
use crate::setup::*;
use aws_lc_rs::aead;
use rustls::{ClientConnection, ConnectionTrafficSecrets};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;

/// Reads to the end, which must come; a reset is an end, too.
fn rest(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no end: {error}"),
    }
    all
}

/// The first bytes of a client that speaks TLS.
fn hello(client: &Client) -> Vec<u8> {
    let server = "shop.example".try_into().expect("a name");
    let mut connection = ClientConnection::new(client.0.clone(), server).expect("a client");
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).expect("written");
    bytes
}

fn is_served(bed: &Bed) {
    let mut stream = bed.connect("shop.example");
    assert_eq!(status(&ask(&mut stream, &get("/", "shop.example"))), "200");
}

#[test]
fn plain_http_is_told_to_use_https() {
    let mut bed = Bed::new(&["shop.example"]);
    let mut stream = bed.running.client();
    let answer = ask(&mut stream, &get("/", "shop.example"));
    assert_eq!((status(&answer), field(&answer, "connection")), ("400", Some("close")));
    assert!(answer.contains("GW-064") && answer.contains("use https"), "{answer}");
    assert!(rest(&mut stream).is_empty());
    bed.counted("plain_http", 1);
    is_served(&bed);
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let mut bed = Bed::new(&["shop.example"]);
    let hello = hello(&bed.client());
    let mut other_version = hello.clone();
    other_version[1] = 9;
    let mut broken = hello.clone();
    broken[9] ^= 0xff;
    // A record that says it is longer than any may be.
    let too_long = [&[0x16, 3, 1, 0xff, 0xff][..], &[0; 70_000]].concat();
    // A ClientHello of 16 MiB, in records of the largest size, as far as it is read.
    let mut huge = vec![0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    huge.extend([0; 0x4000 - 4]);
    for _ in 0..16 {
        huge.extend([0x16, 3, 1, 0x40, 0]);
        huge.extend([0; 0x4000]);
    }
    let cases = [
        &b"\x00\x01\x02\x03 nothing that anybody speaks"[..],
        &[0xff; 4096],
        &[0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10], // SSL 2.
        &[0x16, 3, 1, 0, 0],                            // A record of nothing.
        &[0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5],             // Data before a handshake.
        &other_version,
        &broken,
        &too_long,
        &huge,
    ];
    for case in cases {
        let mut stream = bed.running.client();
        let _ = stream.write_all(case); // It may be cut before it has said all.
        let _ = stream.shutdown(Shutdown::Write);
        rest(&mut stream);
    }
    bed.report(|tls| tls.handshakes.values().sum::<u64>() == cases.len() as u64);
    is_served(&bed);
}

#[test]
fn half_a_hello_and_silence_are_cut() {
    let mut bed = Bed::new(&["shop.example"]);
    let hello = hello(&bed.client());
    let (mut half, mut silent) = (bed.running.client(), bed.running.client());
    half.write_all(&hello[..hello.len() / 2]).expect("written");
    assert!(rest(&mut half).is_empty() && rest(&mut silent).is_empty());
    bed.counted("timeout", 2);
    let mut gone = bed.running.client();
    gone.write_all(&hello[..hello.len() / 2]).expect("written");
    drop(gone);
    bed.counted("closed", 1);
    is_served(&bed);
}

#[test]
fn the_end_of_the_proxy_waits_for_no_handshake() {
    let bed = Bed::new(&["shop.example"]);
    let mut silent = bed.running.client();
    let mut idle = bed.connect("shop.example");
    assert_eq!(status(&ask(&mut idle, &get("/", "shop.example"))), "200");
    bed.running.tell_to_stop();
    assert!(rest(&mut silent).is_empty());
    assert!(
        rest(&mut idle).is_empty(),
        "an idle connection ends with a word, not with a cut"
    );
    bed.running.stop();
}

#[test]
fn a_request_body_that_is_cut_off_is_never_whole() {
    let (seen, sees) = mpsc::channel();
    let bed = Bed::to(
        &["shop.example"],
        raw(move |mut stream| {
            let mut all = String::new();
            let _ = stream.read_to_string(&mut all); // What had come before a reset is in it.
            let _ = seen.send(all);
        }),
    );
    for (path, framing) in [
        ("/exact", "Content-Length: 100000"),
        ("/chunked", "Transfer-Encoding: chunked"),
    ] {
        for polite in [true, false] {
            let mut stream = bed.connect("shop.example");
            let path = format!("{path}/{polite}");
            let part = if path.starts_with("/exact") {
                "12345"
            } else {
                "5\r\n12345\r\n"
            };
            let request = format!("POST {path} HTTP/1.1\r\nHost: shop.example\r\n{framing}\r\n\r\n{part}");
            stream.write_all(request.as_bytes()).expect("written");
            if polite {
                stream.conn.send_close_notify();
                stream.flush().expect("said");
            } else {
                stream.sock.shutdown(Shutdown::Write).expect("cut");
            }
            let line = bed.running.log.line(&path);
            assert_eq!(line["status"].as_u64(), Some(499), "{line}");
            let got = sees.recv().expect("the instance's connection has ended");
            let (_, body) = got.split_once("\r\n\r\n").expect("a head");
            assert!(body.len() <= part.len() && !body.contains("0\r\n"), "{got}");
        }
    }
}

#[test]
fn an_answer_until_the_end_of_the_connection_ends_with_a_word_and_a_broken_one_without() {
    let breaking = raw(|mut stream| {
        let Some(request) = read_message(&mut stream) else {
            return;
        };
        let end = if request.starts_with("GET /whole ") {
            "0\r\n\r\n"
        } else {
            ""
        };
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n{end}");
        let _ = stream.write_all(answer.as_bytes());
    });
    let bed = Bed::to(&["shop.example"], breaking);
    let ask_old = |path: &str| {
        let mut stream = bed.connect("shop.example");
        let request = format!("GET {path} HTTP/1.0\r\nHost: shop.example\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("written");
        let mut answer = String::new();
        let ended = stream.read_to_string(&mut answer).map_err(|error| error.kind());
        (answer, ended.is_ok())
    };
    let (answer, ended) = ask_old("/whole");
    assert!(
        ended && answer.ends_with("\r\n\r\npart") && field(&answer, "content-length").is_none(),
        "{answer}"
    );
    let (answer, ended) = ask_old("/broken");
    assert!(!ended, "a part is no whole: {answer}");
}

/// What a client would send over TLS 1.3 if it could send records of nothing, which rustls cannot.
struct Forger {
    socket: TcpStream,
    key: aead::LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Forger {
    fn new(bed: &Bed) -> Self {
        let client = Client::with(&bed.authority, &[&rustls::version::TLS13], None);
        let client = client.but(|config| config.enable_secret_extraction = true);
        let stream = client.connect(bed.running.gateway, "shop.example").expect("TLS");
        let (connection, socket) = stream.into_parts();
        let (sequence, secrets) = connection.dangerous_extract_secrets().expect("secrets").tx;
        let (algorithm, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
            _ => panic!("another cipher"),
        };
        let iv = iv.as_ref().try_into().expect("12 bytes");
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key.as_ref()).expect("a key"));
        Self {
            socket,
            key,
            iv,
            sequence,
        }
    }

    /// A record of data with this text.
    fn record(&mut self, text: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        let sequence = self.sequence.to_be_bytes();
        nonce[4..]
            .iter_mut()
            .zip(sequence)
            .for_each(|(byte, other)| *byte ^= other);
        self.sequence += 1;
        let mut inner = [text, &[23]].concat();
        let length = u16::try_from(inner.len() + 16).expect("short").to_be_bytes();
        let head = [23, 3, 3, length[0], length[1]];
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        self.key
            .seal_in_place_append_tag(nonce, aead::Aad::from(head), &mut inner)
            .expect("sealed");
        [&head[..], &inner].concat()
    }
}

#[test]
fn a_few_empty_records_are_borne_and_a_flood_of_them_ends_its_own_connection() {
    let bed = Bed::new(&["shop.example"]);
    let mut patient = Forger::new(&bed);
    let few: Vec<u8> = (0..30).flat_map(|_| patient.record(b"")).collect();
    let request = patient.record(get("/few", "shop.example").as_bytes());
    patient.socket.write_all(&[few, request].concat()).expect("written");
    assert_eq!(bed.running.log.line("/few")["status"].as_u64(), Some(200));
    // More than there are workers: each has one at least.
    for _ in 0..6 {
        let mut forger = Forger::new(&bed);
        let flood: Vec<u8> = (0..1_000).flat_map(|_| forger.record(b"")).collect();
        let _ = forger.socket.write_all(&flood); // It may be cut before it has said all.
        rest(&mut forger.socket);
        is_served(&bed);
    }
}
