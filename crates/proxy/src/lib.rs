//! The data plane: takes requests from clients and services, decides where they may go, carries them there and back.
//!
//! Stateless but for counters and histories; serves with its last snapshot while the controller is away. One thread per
//! core, each with its own runtime, connections and pools; what the threads share are immutable tables and atomics.
//!
//! Where to look
//! - [`service`]: the role as a whole: threads ([`worker`]), the controller's snapshots ([`control`], [`tables`])
//! - [`proxy`]: one request from its head to its record, as a straight line; [`attempt`] and [`upstream`] are its middle
//! - the wire: [`message`] (what everything else sees), [`h1`], [`h2`], [`check`], [`listener`], [`tls`],
//!   [`addresses`], [`pace`], [`pool`], [`tunnel`]; what the proxy says on its own: [`answer`], [`refusal`]
//! - to and from other systems: [`mesh`]
//! - between the two: [`grpc_web`], what browsers say of gRPC
//! - the decisions: [`route`], [`filter`], [`cluster`]; what is told of them: [`report`]; told without being made: [`dry`]
//!
//! Filters and clusters never know which protocol serves them: they see `message` and nothing below it.

pub mod addresses;
pub mod answer;
pub mod attempt;
pub mod beside;
pub mod cache;
pub mod check;
pub mod cluster;
pub mod control;
mod digits;
pub mod dry;
pub mod ending;
pub mod exchange;
pub mod fetch;
pub mod filter;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod grpc_web;
pub mod h1;
pub mod h2;
pub mod io;
mod keeper;
pub mod limits;
pub mod listener;
pub mod mesh;
pub mod message;
pub mod mirror;
pub mod pace;
pub mod pool;
pub mod proxy;
pub mod race;
pub mod refusal;
pub mod report;
pub mod route;
mod scratch;
pub mod service;
#[cfg(test)]
mod slow_tests;
pub mod spare;
pub mod state;
pub mod tables;
#[cfg(test)]
mod testing;
pub mod timer;
pub mod tls;
pub mod tunnel;
pub mod upstream;
pub mod websocket;
pub mod worker;
