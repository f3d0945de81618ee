//! What differs between two snapshots: so a change costs by what changed, not by how much there is.

use super::{Cluster, Edge, Route, Snapshot};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Makes the snapshot of generation `base` into the one of `generation`. Only for snapshots of one boot that differ in no
/// other parts; whatever else changes rarely changes the sockets too, and is sent whole.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What it starts from.
    pub base: u64,
    /// What it makes.
    pub generation: u64,
    /// Of [`Snapshot::routes`].
    pub routes: Splice<Arc<Route>>,
    /// Of [`Snapshot::edges`].
    pub edges: Splice<Edge>,
    /// Of [`Snapshot::clusters`].
    pub clusters: Splice<Cluster>,
}

/// A list in which one stretch is replaced by another.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Splice<T> {
    /// So many stay at its beginning.
    pub head: usize,
    /// These stand in the middle.
    pub with: Vec<T>,
    /// So many stay at its end.
    pub tail: usize,
}

/// A change is not one of the snapshot that it is applied to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a change of generation {base} does not fit what is known of generation {known}")]
pub struct Misfit {
    /// What it starts from.
    pub base: u64,
    /// What there is.
    pub known: u64,
}

impl Change {
    /// What makes `old` into `new`; `None`: they differ in more than a change can say. Costs a comparison of each part, next
    /// to nothing where routes are shared.
    pub fn between(old: &Snapshot, new: &Snapshot) -> Option<Self> {
        // Whole, so that a part that is added is not forgotten here.
        let Snapshot {
            boot,
            generation,
            gateways,
            routes,
            edges,
            clusters,
            issuers,
            trusted_proxies,
            controller_socket,
            mesh,
        } = new;
        let same = old.boot == *boot
            && old.gateways == *gateways
            && old.issuers == *issuers
            && old.trusted_proxies == *trusted_proxies
            && old.controller_socket == *controller_socket
            && old.mesh == *mesh;
        same.then(|| Self {
            base: old.generation,
            generation: *generation,
            routes: Splice::between(&old.routes, routes, |a, b| Arc::ptr_eq(a, b) || a == b),
            edges: Splice::between(&old.edges, edges, PartialEq::eq),
            clusters: Splice::between(&old.clusters, clusters, PartialEq::eq),
        })
    }

    /// Makes `snapshot` the new one; it stays as it is on an error.
    ///
    /// # Errors
    /// [`Misfit`] when it is not the one that the change starts from.
    pub fn apply(self, snapshot: &mut Snapshot) -> Result<(), Misfit> {
        let fits = self.base == snapshot.generation
            && self.routes.fits(&snapshot.routes)
            && self.edges.fits(&snapshot.edges)
            && self.clusters.fits(&snapshot.clusters);
        if !fits {
            return Err(Misfit {
                base: self.base,
                known: snapshot.generation,
            });
        }
        self.routes.apply(&mut snapshot.routes);
        self.edges.apply(&mut snapshot.edges);
        self.clusters.apply(&mut snapshot.clusters);
        snapshot.generation = self.generation;
        Ok(())
    }
}

impl<T: Clone> Splice<T> {
    fn between(old: &[T], new: &[T], same: impl Fn(&T, &T) -> bool) -> Self {
        let head = old.iter().zip(new).take_while(|(a, b)| same(a, b)).count();
        let (old, rest) = (&old[head..], &new[head..]);
        let pairs = old.iter().rev().zip(rest.iter().rev());
        let tail = pairs.take_while(|(a, b)| same(a, b)).count();
        Self {
            head,
            with: rest[..rest.len() - tail].to_vec(),
            tail,
        }
    }

    fn fits(&self, old: &[T]) -> bool {
        self.head.checked_add(self.tail).is_some_and(|kept| kept <= old.len())
    }

    fn apply(self, list: &mut Vec<T>) {
        let middle = self.head..list.len() - self.tail;
        list.splice(middle, self.with);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_splice_makes_the_new_list_and_holds_no_more_than_the_stretch_that_differs(
            old in prop::collection::vec(0..4_u8, 0..12),
            new in prop::collection::vec(0..4_u8, 0..12),
        ) {
            let splice = Splice::between(&old, &new, PartialEq::eq);
            prop_assert!(splice.fits(&old));
            prop_assert_eq!(splice.head + splice.with.len() + splice.tail, new.len());
            if old == new {
                prop_assert!(splice.with.is_empty());
            }
            let mut list = old;
            splice.apply(&mut list);
            prop_assert_eq!(list, new);
        }

        #[test]
        fn a_splice_that_keeps_more_than_there_is_does_not_fit(head in any::<usize>(), tail in any::<usize>(), len in 0..9_usize) {
            let splice = Splice { head, with: vec![1], tail };
            let fits = u128::try_from(head)? + u128::try_from(tail)? <= u128::try_from(len)?;
            prop_assert_eq!(splice.fits(&vec![0; len]), fits);
        }
    }
}
