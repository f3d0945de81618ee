//! What `--watch` knows: the watcher, and whether the quiet after a change is over.

use crate::config::SystemPlan;
use crate::service::Wake;
use crate::watch::{PATIENCE, QUIET, SourceWatch};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Sources {
    watch: Option<SourceWatch>,
    seen: Arc<Seen>,
    /// Changes that no build run has seen yet.
    changed: Option<Changed>,
    /// When to try changed manifests again that the world around did not let in.
    again: Option<Duration>,
}

/// What the watcher saw since the loop looked.
#[derive(Default)]
struct Seen {
    any: AtomicBool,
    manifests: AtomicBool,
}

/// Changes that are taken together.
struct Changed {
    first: Duration,
    last: Duration,
    manifests: bool,
}

/// What is to be done once it is quiet.
pub(crate) struct Due {
    /// Read the manifests again before building.
    pub(crate) manifests: bool,
    /// Nothing has changed since they were tried before: where they are refused again, there is nothing to build.
    pub(crate) again: bool,
}

impl Sources {
    /// Watches what `plan` names, instead of what was watched before; why not, for people.
    pub(crate) fn watch(&mut self, plan: &SystemPlan, wakes: SyncSender<Wake>) -> Option<String> {
        let seen = self.seen.clone();
        let changed = move |manifest: bool| {
            seen.manifests.fetch_or(manifest, Ordering::Release);
            seen.any.store(true, Ordering::Release);
            // With a full queue the loop is awake, and looks before it sleeps.
            let _ = wakes.try_send(Wake::Changed);
        };
        match SourceWatch::start(plan, changed) {
            Ok(watch) => {
                self.watch = Some(watch);
                None
            }
            Err(error) => Some(format!("sources cannot be watched: {error}")),
        }
    }

    /// Takes in what the watcher saw.
    pub(crate) fn look(&mut self, now: Duration) {
        if self.seen.any.swap(false, Ordering::Acquire) {
            let manifests = self.seen.manifests.swap(false, Ordering::Acquire);
            self.note(now, manifests);
        }
    }

    /// Takes a change of the manifests that no watcher saw.
    pub(crate) fn manifests_changed(&mut self, now: Duration) {
        self.note(now, true);
    }

    /// The manifests could not be taken for a reason that is not in them, and are due once more then.
    pub(crate) fn try_again(&mut self, at: Duration) {
        self.again = Some(at);
    }

    fn note(&mut self, now: Duration, manifests: bool) {
        let changed = self.changed.get_or_insert(Changed {
            first: now,
            last: now,
            manifests: false,
        });
        changed.last = now;
        changed.manifests |= manifests;
    }

    /// Whether a change waits for its quiet, or for the build run before it to end.
    pub(crate) fn waits(&self) -> bool {
        self.changed.is_some()
    }

    /// What is to be done now, once for each change; nothing before the quiet after it is over, or is waited for in vain.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Due> {
        let is_due = |changed: &mut Changed| {
            now.saturating_sub(changed.last) >= QUIET || now.saturating_sub(changed.first) >= PATIENCE
        };
        let changed = self.changed.take_if(is_due);
        let again = self.again.take_if(|at| now >= *at).is_some();
        (changed.is_some() || again).then(|| Due {
            manifests: again || changed.as_ref().is_some_and(|changed| changed.manifests),
            again: changed.is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_changed_manifest_is_due_once_after_its_quiet_even_when_the_queue_is_full() {
        let folder = tempfile::tempdir().expect("folder");
        // Names of folders above the system say nothing about what lies in it.
        let system = folder.path().join("target/system");
        std::fs::create_dir_all(&system).expect("folder");
        let manifest = system.join("ondol.yaml");
        std::fs::write(&manifest, "1").expect("write");
        let mut plan = crate::fixtures::system(vec![]);
        plan.manifests = vec![manifest.clone()];
        let (wakes, woken) = mpsc::sync_channel(1);
        let mut sources = Sources::default();
        assert_eq!(sources.watch(&plan, wakes.clone()), None);
        let half = system.join("half");
        std::fs::write(&half, "2").expect("write");
        assert!(matches!(woken.recv(), Ok(Wake::Changed)));
        while wakes.try_send(Wake::Changed).is_ok() {}
        std::fs::rename(&half, &manifest).expect("rename");
        while !sources.seen.manifests.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        while !sources.waits() {
            sources.look(Duration::ZERO);
        }
        assert!(sources.due(QUIET / 2).is_none());
        assert!(sources.due(QUIET).is_some_and(|due| due.manifests));
        assert!(sources.due(QUIET).is_none());
    }

    #[test]
    fn what_was_not_let_in_is_due_again_and_once() {
        let mut sources = Sources::default();
        let now = Duration::from_secs(9);
        sources.try_again(now + QUIET);
        assert!(sources.due(now).is_none());
        assert!(sources.due(now + QUIET).is_some_and(|due| due.manifests && due.again));
        assert!(sources.due(now + QUIET).is_none());
        // With a change of sources it is one turn, which builds in any case.
        sources.try_again(now);
        sources.note(now, false);
        assert!(sources.due(now + QUIET).is_some_and(|due| due.manifests && !due.again));
        assert!(sources.due(now + QUIET).is_none());
    }

    #[test]
    fn a_change_is_due_though_something_is_written_all_the_time() {
        let mut sources = Sources::default();
        let mut now = Duration::from_secs(9);
        sources.manifests_changed(now);
        let end = now + PATIENCE;
        while now < end {
            assert!(sources.due(now).is_none());
            now += QUIET / 2;
            sources.seen.any.store(true, Ordering::Release);
            sources.look(now);
        }
        assert!(sources.due(now).is_some_and(|due| due.manifests));
        assert!(!sources.waits());
    }
}
