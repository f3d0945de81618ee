//! Base64 that comes in pieces.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters of a group: three bytes.
const GROUP: usize = 4;

/// What was read is no base64.
pub const NOT_BASE64: &str = "application/grpc-web-text that is not base64";

/// Reads base64 that is cut anywhere: of the usual alphabet and padded, perhaps in several parts of which each is padded by itself.
#[derive(Default, Debug)]
pub struct Decoder {
    group: [u8; GROUP],
    held: usize,
}

impl Decoder {
    /// Reads on, and appends the bytes of every group that is whole to `out`.
    ///
    /// # Errors
    /// [`NOT_BASE64`]; the decoder is spent then.
    pub fn read(&mut self, mut text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.held > 0 {
            let (more, rest) = text.split_at(text.len().min(GROUP - self.held));
            self.hold(more);
            text = rest;
            if self.held < GROUP {
                return Ok(());
            }
            self.held = 0;
            decode(&self.group, out)?;
        }
        let (mut groups, rest) = text.split_at(text.len() - text.len() % GROUP);
        self.hold(rest);
        while !groups.is_empty() {
            // A part ends with its padding.
            let end = memchr::memchr(b'=', groups).map_or(groups.len(), |at| at - at % GROUP + GROUP);
            let (part, next) = groups.split_at(end);
            decode(part, out)?;
            groups = next;
        }
        Ok(())
    }

    /// Whether it may end here.
    ///
    /// # Errors
    /// [`NOT_BASE64`] within a group.
    pub fn finish(&self) -> Result<(), &'static str> {
        if self.held == 0 { Ok(()) } else { Err(NOT_BASE64) }
    }

    fn hold(&mut self, more: &[u8]) {
        self.group[self.held..self.held + more.len()].copy_from_slice(more);
        self.held += more.len();
    }
}

fn decode(groups: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    STANDARD.decode_vec(groups, out).map_err(|_| NOT_BASE64)
}

/// One part of base64, padded.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
