//! The five files that users write: read with places, checked whole, explained, and lowered to the rooms' configs.
//!
//! A line through: [`load`] reads `ondol.yaml`, each `service.yaml`, the files of sagas, reconciliations and examples, and the contracts into trees
//! (`tree.rs`), decodes them (`read.rs`, `doc/`), checks them against each other (`check/`) and gives a [`Loaded`];
//! [`Loaded::lower`] turns that into what `ondol-deploy`, `ondol-saga` and `ondol-events` run; [`facts`] says it as keys and values with
//! their places, and [`diff`] what two of those do not share. Every error is a [`Diagnostic`] with a place,
//! and all of them come at once.
//!
//! Invariants
//! - Reading is all the outside this room touches: files below the system's folder and what [`Env`] tells. No clock, no
//!   state; loading again is how a change is taken in.
//! - A [`Loaded`] has no errors left in it, so lowering cannot fail.
//!
//! Not here: running anything. Tests: beside each file, and `conformance/manifests/` as data.

mod check;
mod code;
mod command;
pub mod diagnostic;
pub mod diff;
pub mod doc;
mod document;
mod env;
pub mod examples;
mod explain;
pub mod facts;
mod files;
mod graph;
pub mod init;
mod kind;
mod load;
mod lower;
mod openapi;
mod parse;
mod policy;
mod read;
mod reference;
mod render;
mod schema;
pub mod source;
mod tree;
pub mod value;
pub mod value_balance;
pub mod value_event;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use diff::Diff;
pub use env::{Env, OsEnv};
pub use explain::{Explanation, Line, NoSuchRoute, explain_route};
pub use facts::Facts;
pub use load::{Loaded, Reconcile, Saga, Service, load, system_name};
pub use lower::Lowered;
pub use schema::{FileKind, reference_page, schema};

#[cfg(test)]
mod testing;
