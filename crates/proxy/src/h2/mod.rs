//! HTTP/2 without TLS, by prior knowledge, on the `h2` crate: a server for clients, a client for instances.
//!
//! One task drives a client's connection and all its streams, so what many streams have to say leaves in one write;
//! so do requests to one instance, whose connection has a task of its own. Windows open as bytes are taken on the
//! other side, never earlier, which is all the back-pressure there is.
//!
//! - [`convert`]: heads to and from our own, with the checks that HTTP/1's codec makes on its own
//! - [`body`]: bodies and trailers; [`server`]; [`client`]; [`outbox`]: what is said together
//! - what a hostile client may not do, beyond what `h2` forbids: [`flood`] and [`wire`], [`room`]

pub mod body;
pub mod client;
pub mod convert;
pub mod far;
pub mod flood;
pub mod outbox;
pub mod room;
pub mod server;
pub mod wire;

/// What may be buffered for one stream, bytes, in each direction.
pub const STREAM_WINDOW: u32 = 256 << 10;
/// What may be buffered for one connection, bytes, in each direction.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// Streams of one client at a time.
pub const MAX_STREAMS: u32 = 100;
/// Streams on one client connection; then it is told to open another. Ten times HTTP/1's, since streams share it. This crate's
/// own tests have fewer.
pub const MAX_REQUESTS: u32 = if cfg!(test) { 300 } else { 10_000 };
/// Streams that a client may reset before they were looked at (CVE-2023-44487); more ends the connection.
pub const MAX_PENDING_RESETS: usize = 20;
/// Streams that a client may make us reset by breaking the protocol (CVE-2025-8671); more ends the connection.
pub const MAX_ERROR_RESETS: usize = 1_024;
