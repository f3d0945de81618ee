//! Who asks the origin for what is to be kept. However that ends, those who wait hear of it: dropping it gives up.
//!
//! A lead in a hurry, which has less than half of the time that the policy gives, proves nothing by getting no answer.

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
    /// It has too little time to say that the origin is slow.
    hurried: bool,
    landed: bool,
}

/// Whose fault it is that there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The origin's.
    Origin,
    /// It did not come in the asker's time.
    Late,
    /// The asker was not let through to the origin.
    Asker,
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
            hurried: false,
            landed: false,
        }
    }

    /// Takes note of how much time it has, of what the policy gives.
    pub(crate) fn within(&mut self, left: Duration, policy: Duration) {
        self.hurried = left < policy / 2;
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
            hurried: self.hurried,
            landed: false,
        }
    }

    /// The answer's head is here. Those who wait go on, if what they wait for is never fresh.
    pub(crate) fn heard(mut self, now: Duration, terms: &Terms) -> Self {
        if self.flight.is_none() || terms.age < terms.lifetime {
            return self;
        }
        self.land(now, Landing::NeverFresh, 0);
        self.alone()
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
        let mut store = cache.lock();
        let changed = cache.has_changed(self.place, begun) || cache.was_purged(begun);
        store.put(&self.key, flight.as_ref(), &self.values, known, |variant| {
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
        drop(store);
        self.tell();
    }

    /// The answer is not kept.
    pub(crate) fn pass(mut self, now: Duration) {
        self.land(now, Landing::Unkept, 0);
    }

    /// There is no answer, or it is an error; what may stand in for it. `random` is 64 random bits.
    pub(crate) fn fail(mut self, now: Duration, random: u64, fault: Fault) -> Option<Given> {
        let landing = match fault {
            Fault::Origin => Landing::Failed,
            Fault::Late if !self.hurried => Landing::Failed,
            Fault::Late | Fault::Asker => Landing::Shed,
        };
        self.land(now, landing, random);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Bounds, Found};
    use crate::message::{Fields, ResponseHead};
    use crate::report::Name;
    use http::{Method, StatusCode};
    use ondol_core::wire::proxy as wire;

    const SEC: Duration = Duration::from_secs(1);

    fn asked(cache: &Cache) -> Asked {
        let name = Name {
            route: None,
            caller: None,
            peer: None,
            target: "shop".parse().expect("a name"),
        };
        let spec = wire::Cache {
            stale_if_error_ms: 60_000,
            stale_while_revalidate_ms: 0,
            shared: false,
        };
        let head = RequestHead::new(Method::GET, "shop.example", "/a").expect("a target");
        Asked::of(cache, &name, None, &spec, &head).expect("it may be kept")
    }

    #[test]
    fn those_who_wait_go_on_as_soon_as_the_head_says_that_an_answer_is_never_fresh() {
        let cache = Arc::new(Cache::new(Bounds::default()));
        let (asked, none) = (asked(&cache), Fields::new());
        let look = |now| cache.look(&asked, &none, now, true);
        let Found::Lead(lead) = look(SEC) else {
            panic!("nothing is there")
        };
        let Found::Wait(mut waits) = look(SEC) else {
            panic!("one asks")
        };
        let terms = Terms {
            on_error: SEC * 60,
            ..Terms::default()
        };
        let lead = lead.heard(SEC * 2, &terms);
        assert!(*waits.borrow_and_update(), "its body is still to come");
        let Found::Alone(other) = look(SEC * 2) else {
            panic!("nobody waits for it again")
        };
        drop(other);
        let stored = Stored::new(&ResponseHead::new(StatusCode::OK), bytes::Bytes::from_static(b"body"));
        lead.keep(SEC * 3, terms, stored, Known::of(&none, &none));
        let Found::Alone(next) = look(SEC * 3) else {
            panic!("it is never fresh")
        };
        let given = next.fail(SEC * 3, 0, Fault::Origin).expect("it stands in for an error");
        assert_eq!(given.stored.body, "body");
    }

    #[test]
    fn an_answer_that_is_fresh_is_waited_for_to_its_end() {
        let cache = Arc::new(Cache::new(Bounds::default()));
        let (asked, none) = (asked(&cache), Fields::new());
        let Found::Lead(lead) = cache.look(&asked, &none, SEC, true) else {
            panic!("nothing is there")
        };
        let terms = Terms {
            lifetime: SEC,
            ..Terms::default()
        };
        let _lead = lead.heard(SEC, &terms);
        let Found::Wait(waits) = cache.look(&asked, &none, SEC, true) else {
            panic!("one asks")
        };
        assert!(!*waits.borrow());
    }
}
