//! HTTP/1.1 by a strict codec of our own, for both sides.
//!
//! Strict means: what two servers could read in two ways is refused, never repaired (RFC 9112 with every MAY of leniency
//! left out). The bytes that go on are written anew from what was understood, so no ambiguity passes through.
//!
//! - [`head`]: heads from bytes; [`body`]: bodies from bytes; [`write`]: heads and chunks to bytes
//! - [`server`]: one client connection; [`client`]: one exchange on one upstream connection
//!
//! Tests: `conformance/gateway/heads.tsv` and `chunks.tsv` as data; `tests.rs` over real sockets.

pub mod body;
pub mod client;
pub mod head;
mod reply;
pub mod server;
#[cfg(test)]
mod tests;
mod upload;
pub mod write;
