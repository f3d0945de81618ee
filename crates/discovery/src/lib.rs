//! Who is where, and is it well: the registry of instances and the snapshot that the proxy serves by.
//!
//! - [`declared`]: what the manifests say, the part of a snapshot that no running process changes
//! - [`registry`]: pure; joins it with the supervisor's facts into snapshots with rising generations
//! - [`authority`]: says to other systems who is who
//! - [`control`]: the socket on which proxies take snapshots and give reports

pub mod authority;
pub mod control;
pub mod declared;
pub mod registry;

pub use declared::Declared;
pub use registry::Registry;
