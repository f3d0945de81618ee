//! Bodies of gRPC-Web: what the service gets is what a plain and slow reader of the same rules reads, however they are cut.

use crate::grpc_web::Reader;
use bytes::Bytes;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A body. The first byte says whether it is text, by its lowest bit, and in the others how many bytes follow that are sizes of
/// its parts, again and again; a size of 0 is all that is left.
pub(super) fn request(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let (text, count) = (first & 1 == 1, usize::from(first >> 1));
    let (sizes, body) = rest.split_at(count.min(rest.len()));
    let plain = if text { base64(body) } else { Some(body.to_vec()) };
    let expected = plain.filter(|bytes| are_messages(bytes));
    assert_eq!(read(text, sizes, body), expected, "cut by {sizes:?}");
}

/// As the gateway reads it; `None`: refused.
fn read(text: bool, sizes: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let (mut reader, mut out, mut left) = (Reader::new(text), Vec::new(), Bytes::copy_from_slice(body));
    let mut sizes = sizes.iter().cycle();
    while !left.is_empty() {
        let size = match sizes.next() {
            None | Some(0) => left.len(),
            Some(size) => usize::from(*size).min(left.len()),
        };
        out.extend_from_slice(&reader.read(left.split_to(size)).ok()?);
    }
    reader.finish().ok().map(|()| out)
}

/// Group by group, bit by bit.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for group in text.chunks(4) {
        let padding = group.iter().rev().take_while(|b| **b == b'=').count();
        if group.len() < 4 || padding > 2 {
            return None;
        }
        let mut bits = 0;
        for character in &group[..4 - padding] {
            bits = bits << 6 | ALPHABET.iter().position(|other| other == character)?;
        }
        let unused = [0, 2, 4][padding];
        if bits & ((1 << unused) - 1) != 0 {
            return None;
        }
        let bytes = (bits >> unused).to_be_bytes();
        out.extend_from_slice(&bytes[bytes.len() - (3 - padding)..]);
    }
    Some(out)
}

fn are_messages(mut bytes: &[u8]) -> bool {
    while let [flags, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        match rest.get(length..) {
            Some(next) if *flags < 2 => bytes = next,
            _ => return false,
        }
    }
    bytes.is_empty()
}
