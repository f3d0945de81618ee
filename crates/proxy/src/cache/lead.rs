//! Who asks the origin for what is to be kept. However that ends, those who wait hear of it: dropping it gives up.

use super::key::Known;
use super::store::{Flight, Stored};
use super::{Asked, Cache, Given, Key};
use crate::message::RequestHead;
use ondol_resilience::cache::Terms;
use ondol_resilience::cache::slot::Landing;
use std::sync::Arc;
use std::time::Duration;

/// One that asks, for others too or for itself.
pub(crate) struct Lead {
    cache: Arc<Cache>,
    key: Key,
    place: u64,
    values: Box<[u8]>,
    stored: Option<Arc<Stored>>,
    flight: Option<Flight>,
    begun: Duration,
    landed: bool,
}

impl Lead {
    pub(super) fn new(
        cache: &Arc<Cache>,
        asked: &Asked,
        begun: Duration,
        values: &[u8],
        stored: Option<Arc<Stored>>,
        flight: Option<Flight>,
    ) -> Self {
        Self {
            cache: cache.clone(),
            key: asked.key.clone(),
            place: asked.place,
            values: values.into(),
            stored,
            flight,
            begun,
            landed: false,
        }
    }

    /// When it began to ask.
    pub(crate) fn begun(&self) -> Duration {
        self.begun
    }

    /// What was kept when it began.
    pub(crate) fn stored(&self) -> Option<&Arc<Stored>> {
        self.stored.as_ref()
    }

    /// The same, for itself: those who wait hear that it leads no more.
    pub(crate) fn alone(self) -> Self {
        Self {
            cache: self.cache.clone(),
            key: self.key.clone(),
            place: self.place,
            values: self.values.clone(),
            stored: self.stored.clone(),
            flight: None,
            begun: self.begun,
            landed: false,
        }
    }

    /// Whether what it gets may be of use to others, or to those who come later.
    pub(crate) fn is_of_use(&self) -> bool {
        self.flight.is_some() || self.stored.is_some()
    }

    /// Asks whether what is kept is still so, where it has a validator (RFC 9111, section 4.3.1); whether it does.
    pub(crate) fn ask_whether_changed(&self, head: &mut RequestHead) -> bool {
        let Some(stored) = &self.stored else { return false };
        let pairs = [("if-none-match", "etag"), ("if-modified-since", "last-modified")];
        let mut asks = false;
        for (condition, validator) in pairs {
            if let Some(value) = stored.fields.get(validator) {
                head.fields.set(condition, value);
                asks = true;
            }
        }
        asks
    }

    /// The answer is whole and kept.
    pub(crate) fn keep(mut self, now: Duration, terms: Terms, stored: Stored, known: Known) {
        self.landed = true;
        let (cache, flight, begun) = (self.cache.clone(), self.flight.clone(), self.begun);
        let changed = cache.has_changed(self.place, begun);
        cache
            .lock()
            .put(&self.key, flight.as_ref(), &self.values, known, |variant| {
                // Of two that asked, the one that began later has the newer answer.
                let changed = changed || (variant.stored.is_some() && variant.begun > begun);
                let landing = if changed {
                    Landing::GivenUp
                } else {
                    Landing::Kept(terms)
                };
                variant.slot.land(now, flight.is_some(), landing, 0);
                if !changed {
                    (variant.stored, variant.begun) = (Some(Arc::new(stored)), begun);
                }
                if flight.is_some() {
                    variant.flight = None;
                }
            });
        self.tell();
    }

    /// The answer is not kept.
    pub(crate) fn pass(mut self, now: Duration) {
        self.land(now, Landing::Unkept, 0);
    }

    /// There is no answer, or it is an error; what may stand in for it. `random` is 64 random bits.
    pub(crate) fn fail(mut self, now: Duration, random: u64) -> Option<Given> {
        self.land(now, Landing::Failed, random);
        self.stand_in(now)
    }

    /// What may stand in for an error.
    pub(crate) fn stand_in(&self, now: Duration) -> Option<Given> {
        let mut store = self.cache.lock();
        let variant = store.of(&self.key, self.flight.as_ref(), &self.values)?;
        if self.cache.has_changed(self.place, variant.begun) {
            return None;
        }
        let (age, ttl) = (variant.slot.stand_in(now)?, variant.slot.ttl(now)?);
        let stored = variant.stored.clone()?;
        Some(Given { stored, age, ttl })
    }

    fn land(&mut self, now: Duration, landing: Landing, random: u64) {
        self.landed = true;
        let mut store = self.cache.lock();
        if let Some(variant) = store.of(&self.key, self.flight.as_ref(), &self.values) {
            variant.slot.land(now, self.flight.is_some(), landing, random);
            if variant.slot.is_empty() {
                variant.stored = None;
            }
            if self.flight.is_some() {
                variant.flight = None;
            }
        }
        drop(store);
        self.tell();
    }

    fn tell(&self) {
        if let Some(flight) = &self.flight {
            flight.send_replace(true);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.landed {
            self.land(self.begun, Landing::GivenUp, 0);
        }
    }
}
