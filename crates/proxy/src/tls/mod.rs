//! TLS at the gateway's listeners, by rustls.
//!
//! - [`listener`]: one listener's certificates, and the configuration that connections begin with; it looks at the files
//!   again and again ([`files`]) and swaps what has changed without touching a connection
//! - [`handshake`]: from a TCP connection to a TLS one, within a limit; what was agreed is a [`handshake::Session`]
//! - [`stream`]: the connection from then on, one kind of [`Io`](crate::io::Io)
//! - the decisions: [`keyring`] (which certificate, and was it the right one), [`certificate`], [`identity`]
//!
//! Private keys are in files, in rustls' signer, and nowhere else: not in snapshots, logs or errors.
//!
//! Absent on purpose: 0-RTT (a request could be replayed), sessions kept by the server (tickets need no memory; a listener's
//! tickets are its own, since another may ask clients for other certificates), renegotiation (rustls has none).

pub mod certificate;
pub mod files;
pub mod handshake;
pub mod identity;
pub(crate) mod kept;
pub mod keyring;
pub mod listener;
pub mod stream;
