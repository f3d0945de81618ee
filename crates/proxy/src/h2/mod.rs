//! HTTP/2 without TLS, by prior knowledge, on the `h2` crate: a server for clients, a client for instances.
//!
//! One task drives a client's connection and all its streams, so what many streams have to say leaves in one write;
//! so do requests to one instance, whose connection has a task of its own. Windows open as bytes are taken on the
//! other side, never earlier, which is all the back-pressure there is.
//!
//! - [`convert`]: heads to and from our own, with the checks that HTTP/1's codec makes on its own
//! - [`body`]: bodies and trailers; [`server`]; [`client`]

pub mod body;
pub mod client;
pub mod convert;
pub mod server;

/// What may be buffered for one stream, bytes, in each direction.
pub const STREAM_WINDOW: u32 = 256 << 10;
/// What may be buffered for one connection, bytes, in each direction.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// Streams of one client at a time.
pub const MAX_STREAMS: u32 = 100;
