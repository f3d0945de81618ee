//! Simulations for tests, all from one seed. Depends on `ondol-core` only.
//!
//! - [`time`]: virtual time with wall clock jumps; [`net`]: a network that loses, repeats and delays calls
//! - [`engine`]: the store in memory, with a crash; [`participant`]: participants of sagas with a real barrier
//! - [`disk`] (feature `disk`): a disk that forgets what was not synced, with SQLite on top.

#[cfg(feature = "disk")]
pub mod disk;
pub mod engine;
pub mod net;
pub mod participant;
pub mod time;
