//! A WebSocket that a client opens over HTTP/2 (RFC 8441), a stream, as the one over HTTP/1 that attempts know.
//!
//! An instance of HTTP/1 switches its connection; one of HTTP/2 gets a stream, and `h2::client` makes a 101 of what it says.
//! Over HTTP/2 there is no key and no proof that it was understood: the stream itself is the proof. So the key is ours, and
//! so is looking at what the instance makes of it (RFC 6455, section 4.2.2). An instance that answers 2xx has not switched; to this
//! client it would mean that it had.

use crate::attempt::{Answered, Lost};
use crate::message::RequestHead;
use crate::refusal;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use ondol_core::entropy::Entropy;

/// What is hashed behind the key (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Names the client's key.
pub const KEY: &str = "sec-websocket-key";
/// Names the proof that it was understood.
pub const ACCEPT: &str = "sec-websocket-accept";

/// A WebSocket that has been asked for.
pub struct Opening {
    accept: String,
}

impl Opening {
    /// Puts a key into the request as it goes on.
    pub fn new(head: &mut RequestHead, entropy: &dyn Entropy) -> Self {
        let key = STANDARD.encode(entropy.bytes16());
        head.fields.set(KEY, &key);
        Self { accept: accept(&key) }
    }

    /// The answer as HTTP/2 gives it: 200 opens the stream both ways.
    ///
    /// # Errors
    /// A refusal in place of an answer that looks as if the WebSocket were open.
    pub fn answer(self, mut answered: Answered<'_>) -> Result<Answered<'_>, Lost> {
        let head = &mut answered.response.head;
        if answered.response.tunnel.is_some() {
            if head.fields.get(ACCEPT) != Some(self.accept.as_bytes()) {
                return Err(Lost::Own(refusal::not_a_websocket(
                    "the instance's Sec-WebSocket-Accept is not of this key",
                )));
            }
            head.status = StatusCode::OK;
            head.fields.remove(ACCEPT);
        } else if head.status.is_success() {
            let why = format!("the instance answered {} and did not switch", head.status.as_u16());
            return Err(Lost::Own(refusal::not_a_websocket(&why)));
        }
        Ok(answered)
    }
}

/// What proves that a key was understood.
pub fn accept(key: &str) -> String {
    let hashed = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    STANDARD.encode(hashed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_in_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
