//! Strangers' connections by address, for the whole proxy: how many are open, and how fast new ones come.
//!
//! Counted at the gateway, and where other systems come in until they have shown who they are; loopback and trusted proxies are
//! exempt (`worker.rs` decides). One client of IPv6 owns
//! at least a /64, so that is one address here. Too many are closed at once, which costs less than any answer.
//!
//! Cost: two short locks, each of a sixteenth of a table, per connection and none per request: exact numbers over all
//! workers are worth that. Memory: an entry per address with an open connection, so no more than the connections that all
//! workers may have; the rate's table is bounded by itself ([`crate::filter::limit`]).

use crate::filter::limit::{Limiter, network};
use ondol_core::wire::proxy::{Limit, LimitBy};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Open connections from one address.
pub const MOST: u32 = 256;
/// New connections from one address per second, in the long run; at once it may be [`MOST`].
pub const NEW_PER_SECOND: u32 = 100;

const SHARDS: usize = 16;

type Shard = Mutex<HashMap<u128, u32>>;

/// Who has how many connections.
pub struct Addresses {
    open: [Shard; SHARDS],
    new: Limiter,
}

impl Default for Addresses {
    fn default() -> Self {
        let limit = Limit {
            per_second: f64::from(NEW_PER_SECOND),
            burst: MOST,
            by: LimitBy::Ip,
        };
        Self {
            open: Default::default(),
            new: Limiter::new(limit),
        }
    }
}

/// One open connection of an address, until dropped.
pub struct Place {
    addresses: Arc<Addresses>,
    network: u128,
}

impl Addresses {
    /// Counts a connection; `None` when this address has too many, or too many new ones.
    pub fn enter(self: &Arc<Self>, address: IpAddr, now: Duration) -> Option<Place> {
        let network = network(address);
        if !self.new.admits(address, now) {
            return None;
        }
        let mut open = self.shard(network).lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(Place {
            addresses: self.clone(),
            network,
        })
    }

    fn shard(&self, network: u128) -> &Shard {
        // The low bits of an IPv4 address, and the low bits of an IPv6 network.
        &self.open[((network ^ (network >> 64)) % SHARDS as u128) as usize]
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shard = self.addresses.shard(self.network);
        let mut open = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    const SEC: Duration = Duration::from_secs(1);

    fn open(addresses: &Addresses) -> usize {
        addresses
            .open
            .iter()
            .map(|shard| shard.lock().expect("lock").len())
            .sum()
    }

    #[test]
    fn an_address_has_its_bound_over_all_threads_and_gives_its_places_back() {
        let (addresses, at_once) = (Arc::new(Addresses::default()), Barrier::new(4));
        let address = IpAddr::from([192, 0, 2, 1]);
        let try_many = || {
            at_once.wait();
            // Each at its own second, so that the rate is not what stops it.
            (0..MOST)
                .filter_map(|n| addresses.enter(address, n * SEC))
                .collect::<Vec<_>>()
        };
        let held: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(try_many)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("no panic"))
                .collect()
        });
        assert_eq!(held.len(), MOST as usize);
        assert!(addresses.enter(address, 9_999 * SEC).is_none());
        assert!(
            addresses.enter(IpAddr::from([192, 0, 2, 2]), 9_999 * SEC).is_some(),
            "others are not concerned"
        );
        drop(held);
        assert!(addresses.enter(address, 9_999 * SEC).is_some());
        assert_eq!(open(&addresses), 0);
    }

    #[test]
    fn connections_that_close_at_once_still_come_too_fast() {
        let addresses = Arc::new(Addresses::default());
        let address = IpAddr::from([192, 0, 2, 1]);
        let taken = |now| {
            (0..2 * MOST)
                .filter(|_| addresses.enter(address, now).is_some())
                .count()
        };
        assert_eq!(taken(SEC), MOST as usize);
        assert_eq!(taken(2 * SEC), NEW_PER_SECOND as usize);
        assert_eq!(open(&addresses), 0);
    }

    #[test]
    fn a_whole_network_of_ipv6_is_one_client() {
        let addresses = Arc::new(Addresses::default());
        let taken: Vec<_> = (0..2 * MOST)
            .filter_map(|n| addresses.enter(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n as u16]), SEC))
            .collect();
        assert_eq!(taken.len(), MOST as usize);
        assert_eq!(open(&addresses), 1);
    }
}
