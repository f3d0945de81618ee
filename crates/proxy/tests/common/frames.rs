//! HTTP/2 byte by byte: frames as an attacker writes them, and frames as they come back.

#![allow(
    dead_code,
    missing_docs,
    reason = "each test file uses a part, and names say what is what"
)]

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Error codes of RFC 9113, section 7.
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 0xb;

/// One frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of a reset or a goodbye.
    pub fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        Some(u32::from_be_bytes(self.payload.get(at..at + 4)?.try_into().ok()?))
    }

    pub fn ends_stream(&self) -> bool {
        self.kind == RST_STREAM || (matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0)
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What a client says first: the preface and these settings.
pub fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = settings
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(SETTINGS, 0, 0, &payload),
    ]
    .concat()
}

/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const WINDOW: u16 = 4;

pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        short @ 0..127 => out.push(short as u8),
        long => {
            out.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                out.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            out.push(rest as u8);
        }
    }
    out.extend(bytes);
}

/// A field as HPACK writes it when it leaves the table alone.
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![0];
    text(name, &mut out);
    text(value, &mut out);
    out
}

/// A field that goes into the table: then [`NEWEST`] is all of it again, in one byte.
pub fn indexed(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = vec![0x40];
    text(name, &mut out);
    text(value, &mut out);
    out
}

pub const NEWEST: u8 = 0x80 | 62;

/// The block of a request's head.
pub fn block(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "shop"),
    ];
    pseudo
        .iter()
        .chain(fields)
        .flat_map(|(name, value)| literal(name.as_bytes(), value.as_bytes()))
        .collect()
}

/// A request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block("GET", path, &[]))
}

/// A request whose body follows.
pub fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block("POST", path, &[]))
}

/// Takes the first frame out of `bytes`, if it is whole.
pub fn take(bytes: &mut Vec<u8>) -> Option<Frame> {
    let head = bytes.get(..9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let (kind, flags) = (head[3], head[4]);
    let stream = u32::from_be_bytes([head[5] & 127, head[6], head[7], head[8]]);
    let payload = bytes.get(9..9 + length)?.to_vec();
    bytes.drain(..9 + length);
    Some(Frame {
        kind,
        flags,
        stream,
        payload,
    })
}

/// `:status` of an answer's block, where it is the first field: an entry of the static table, or digits by Huffman's table.
pub fn status(block: &[u8]) -> u16 {
    const KNOWN: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    let [first, rest @ ..] = block else {
        panic!("an empty head");
    };
    if let 0x88..=0x8e = first {
        return KNOWN[usize::from(first - 0x88)];
    }
    assert!(matches!(first, 0x48 | 0x08 | 0x18), "no status: {block:x?}");
    let (length, text) = (usize::from(rest[0] & 127), &rest[1..]);
    if rest[0] & 128 == 0 {
        return std::str::from_utf8(&text[..length])
            .expect("text")
            .parse()
            .expect("a number");
    }
    let mut bits = text[..length]
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    let mut number = |count: u32| (0..count).fold(0, |value, _| value * 2 + bits.next().expect("a bit"));
    (0..3).fold(0, |status, _| {
        let digit = match number(5) {
            small @ 0..=2 => small,
            five => five * 2 + number(1) - 0b011001 + 3,
        };
        status * 10 + digit
    })
}
