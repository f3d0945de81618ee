//! TLS at the gateway through the whole proxy, over real sockets. Certificates are made here and now.

#[path = "../common/mod.rs"]
mod common;

#[path = "../common/browser.rs"]
mod browser;
#[path = "../common/rpc.rs"]
mod rpc;

mod certificates;
mod clients;
mod handshake;
mod hostile;
mod mesh;
mod requests;
mod setup;
