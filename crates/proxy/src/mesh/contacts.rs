//! When other systems were last reached, and when not. Told by those who connect; nobody connects for this.
//!
//! A peer that does not believe the caller's certificate counts as reached: in TLS 1.3 its word on that comes after the handshake.

use ondol_core::clock::Timestamp;
use ondol_core::id::SystemName;
use ondol_core::wire::proxy::PeerReport;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// By system; those that are peers no more are forgotten.
#[derive(Debug, Default)]
pub struct Contacts(Mutex<BTreeMap<SystemName, PeerReport>>);

impl Contacts {
    fn all(&self) -> MutexGuard<'_, BTreeMap<SystemName, PeerReport>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes how a connection went: `Err` says why it came to nothing.
    pub fn record(&self, system: &SystemName, now: Timestamp, result: Result<(), String>) {
        let mut all = self.all();
        let one = all.entry(system.clone()).or_insert_with(|| PeerReport {
            system: system.clone(),
            reached: None,
            failed: None,
        });
        match result {
            Ok(()) => one.reached = Some(now),
            Err(why) => one.failed = Some((now, why)),
        }
    }

    /// Forgets all others.
    pub fn retain(&self, stays: impl Fn(&SystemName) -> bool) {
        self.all().retain(|system, _| stays(system));
    }

    /// Those to which a connection was tried.
    pub fn report(&self) -> Vec<PeerReport> {
        self.all().values().cloned().collect()
    }
}
