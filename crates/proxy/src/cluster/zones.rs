//! Which endpoints are near: in the zone of this proxy. A request goes to one of those first, then the balancing of its route chooses.
//!
//! How many stay near is `ondol_resilience::zone`'s. A key is drawn for once and for all, so that its requests agree while the
//! same instances are well; sessions do not come here. Where no zones are declared, nothing here is asked.

use super::{By, Endpoint};
use ondol_core::entropy::Entropy;
use ondol_core::id::ZoneName;
use ondol_core::wire::proxy as wire;
use ondol_resilience::zone::{self, Count};
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Attempts at one service by where they went.
#[derive(Debug, Default)]
pub(super) struct Zones {
    local: AtomicU64,
    other: AtomicU64,
}

impl Zones {
    pub(super) fn count(&self, endpoint: &Endpoint) {
        let to = if endpoint.is_home() { &self.local } else { &self.other };
        to.fetch_add(1, Ordering::Relaxed);
    }

    /// Local, other.
    pub(super) fn counts(&self) -> [u64; 2] {
        [&self.local, &self.other].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Tells endpoints whether they are in `own`, the proxy's zone; true where zones are known at all. One that says none is there
/// only if it is an instance of this system.
pub(super) fn mark(spec: &wire::Cluster, own: Option<&ZoneName>, endpoints: &[Arc<Endpoint>]) -> bool {
    for (wanted, endpoint) in spec.endpoints.iter().zip(endpoints) {
        endpoint.set_home(match &wanted.zone {
            Some(zone) => Some(zone) == own,
            None => spec.peer.is_none(),
        });
    }
    own.is_some() && spec.endpoints.iter().any(|wanted| wanted.zone.is_some())
}

/// Whether a request goes to the own zone or to all others, which are those of `open` that are well.
pub(super) fn draw(open: &[&Arc<Endpoint>], by: By, now: Duration, random: &dyn Entropy) -> bool {
    let count = |home: bool| {
        let there = open.iter().filter(|endpoint| endpoint.is_home() == home);
        Count::of(there.map(|endpoint| endpoint.as_member(now)))
    };
    let (home, others) = (count(true), count(false));
    let bits = match by {
        By::Ring(hash) | By::Maglev(hash) => zone::bits_of(hash),
        By::PeakEwma | By::LeastRequest | By::RoundRobin => random.next_u64(),
    };
    zone::stays(home, others, bits)
}

/// Those of `usable` that are where the request goes; `None`: all are as good, or nobody is there, as when all of the zone were tried.
pub(super) fn narrowed<'a>(
    usable: &[&'a Arc<Endpoint>],
    home: Option<bool>,
) -> Option<SmallVec<[&'a Arc<Endpoint>; 16]>> {
    let home = home?;
    let there = usable.iter().copied().filter(|endpoint| endpoint.is_home() == home);
    Some(there.collect::<SmallVec<_>>()).filter(|there| !there.is_empty())
}
