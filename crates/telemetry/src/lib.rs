//! What the proxies counted: kept over their restarts, summed up for people, exposed for Prometheus.
//!
//! Counts are made in the proxy before any sampling; this room only adds them up. Spans and logs of services come with a
//! later issue.
//!
//! - [`red`]: requests, errors and durations, with a window of the last minute
//! - [`exposition`]: Prometheus text

pub mod exposition;
pub mod red;

pub use red::{Red, Summary};
