//! Builds, releases, desired processes, watch, scaling.

pub mod config;
