//! Builds, releases, desired processes, watch, scaling: the controller plans, the supervisor runs.
//!
//! - [`config`]: the system as declared; [`configuration`]: where it comes from, and what is taken when
//! - [`machine`]: pure; which instances to start, drain and stop
//! - [`builds`], [`program`], [`inputs`]: programs by content; `workshop`, `build_run`: their runs; `sources`, [`watch`]: what changed
//! - [`instance`], [`sockets`], [`token`]: what exactly is run, where it listens, by what it proves itself; [`traffic`]: what the proxy is told;
//!   [`identities`]: who is who to other systems
//! - [`service`]: the loop; `supervised`: what it has done by the supervisor; [`handle`]: what others may ask of it; [`status`]: what people are told

pub mod arguments;
mod build_run;
pub mod builds;
pub mod config;
pub mod configuration;
#[cfg(test)]
mod fixtures;
pub mod handle;
pub mod identities;
pub mod inputs;
pub mod instance;
pub mod machine;
pub mod program;
pub mod service;
mod settings;
pub mod sockets;
mod sources;
pub mod status;
mod supervised;
pub mod token;
pub mod traffic;
pub mod watch;
mod workshop;

pub use handle::Deploy;
