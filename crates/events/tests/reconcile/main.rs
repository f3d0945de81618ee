//! Reconciliations over a store in memory and services that a test holds, on virtual time.

mod drifts;
mod system;
mod traffic;
mod trouble;
