//! Declared reconciliation: what services say of the same thing, compared on a schedule; what does not fit, reported and
//! mended.
//!
//! - `config.rs`: what is declared; `template.rs`: `{key}` and `{SOURCE.FIELD}`.
//! - `item.rs`, `merge.rs`, `rule.rs`, `machine.rs`: the pure parts. A page is read strictly, sorted streams become rows,
//!   a row is judged, and what runs found becomes suspicions and drifts.
//! - `source.rs`, `run.rs`: asking for pages; one run. `record.rs`: what is durable.
//! - `service.rs`: the loop; `view.rs`, `handle.rs`: what others may ask, [`Reconciliations`].
//!
//! Invariants
//! - Live traffic is no drift: a key of which something changed within `settle` before a run is left out of it, and a drift
//!   is reported only when a second run finds the same.
//! - Missing data is *unknown*: a source that is down or answers nonsense changes nothing of what is known, and never passes.
//! - A drift is durable before anybody is told, and before what mends it is started; that is started once.
//!
//! Bounds: 8 sources and a page of each in memory (1,000 items, 1 MiB), 10,000 pages a run, 2 runs at once, 1,000 keys kept
//! of each reconciliation and the rest counted, 10 repairs a run.
//!
//! Not here: HTTP (`ondol-api`), manifests, what mends (a saga). Tests: beside each file, and `tests/reconcile`.

pub mod config;
mod error;
mod handle;
mod item;
mod machine;
mod merge;
mod record;
mod rule;
mod run;
mod service;
mod source;
pub mod template;
mod view;

pub use error::ReconcileError;
pub use handle::Reconciliations;
pub use service::Ports;
pub use source::{Sagas, SharedSagas, Started, Wish};
pub use view::{DriftView, RepairView, State, View};
