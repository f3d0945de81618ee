//! Kept answers over real sockets: what is kept and for whom, who asks for what is not there, and what stands in for an error.

#[path = "../common/mod.rs"]
mod common;

mod fallback;
mod flights;
mod kept;
mod leads;
mod purge;
mod setup;
mod stale;
