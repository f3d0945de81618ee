//! Which instances to start, drain and stop, decided from what is wanted and what is seen. Pure: no clock, no I/O.
//!
//! Invariants
//! - An instance that serves is stopped only after it was drained: no request in flight, or its drain time passed.
//! - With `overlap` an old generation is drained only once as many new instances as wanted are ready, so a build that
//!   never becomes ready replaces nothing.
//! - Without `overlap` no new instance starts while an old one lives.
//! - A service whose `release` is not known yet keeps what runs.
//!
//! Not here: restarts of crashed instances (the supervisor's), builds (`builds.rs`).
//! Tests: below.

use ondol_core::id::{InstanceId, ServiceName};
use ondol_core::wire::supervision::{Facts, InstanceFact, Phase};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What one service should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Want {
    /// Which.
    pub service: ServiceName,
    /// What to run; `None`: not built yet.
    pub release: Option<String>,
    /// Instances; 0: none.
    pub count: u32,
    /// Services that must be ready first, as long as they have not had their `start_within`.
    pub requires: Vec<ServiceName>,
    /// Old and new generation may run together.
    pub overlap: bool,
    /// How long a draining instance may go on.
    pub drain: Duration,
    /// How long dependants wait for it.
    pub start_within: Duration,
}

/// What to do to the supervisor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start this instance with this release.
    Start(InstanceId, String),
    /// End this instance.
    Stop(InstanceId),
}

/// What is remembered between two looks.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Since when each draining instance drains.
    drains: BTreeMap<InstanceId, Duration>,
    /// Stops that were asked and are not seen yet.
    stopping: BTreeSet<InstanceId>,
    /// When each service was first seen alive.
    alive_since: BTreeMap<ServiceName, Duration>,
}

impl Machine {
    /// One look. `in_flight` gives an instance's exact number of running requests, or `None` when nobody knows.
    /// `now` is monotonic. Actions are to be carried out in order before the next look.
    pub fn step(
        &mut self,
        wants: &[Want],
        facts: &Facts,
        in_flight: &dyn Fn(&InstanceId) -> Option<u64>,
        now: Duration,
    ) -> Vec<Action> {
        self.forget_the_dead(facts);
        for fact in facts.instances.iter().filter(|fact| lives(fact)) {
            self.alive_since.entry(fact.id.service.clone()).or_insert(now);
        }
        let mut actions = Vec::new();
        for want in wants {
            self.one(want, wants, facts, now, &mut actions);
        }
        self.retire_unknown(wants, facts, now);
        self.finish_drains(wants, facts, in_flight, now, &mut actions);
        actions
    }

    /// A stop that was asked did not happen: the next look asks again.
    pub fn not_stopped(&mut self, id: &InstanceId) {
        self.stopping.remove(id);
    }

    /// Instances that get no new requests.
    pub fn draining(&self) -> BTreeSet<InstanceId> {
        self.drains.keys().cloned().collect()
    }

    /// The required services that `want` still waits for.
    pub fn waits_for<'a>(&self, want: &'a Want, wants: &[Want], facts: &Facts, now: Duration) -> Vec<&'a ServiceName> {
        let blocks = |name: &&ServiceName| {
            let ready = facts.of(name).any(|fact| fact.phase == Phase::Ready);
            let limit = wants
                .iter()
                .find(|other| &&other.service == name)
                .map(|other| other.start_within);
            let waited = self.alive_since.get(*name).map(|since| now.saturating_sub(*since));
            // A service that nobody declares cannot be waited for.
            !ready && limit.is_some_and(|limit| waited.is_none_or(|waited| waited < limit))
        };
        want.requires.iter().filter(blocks).collect()
    }

    fn forget_the_dead(&mut self, facts: &Facts) {
        let alive = |id: &InstanceId| facts.instances.iter().any(|fact| &fact.id == id && lives(fact));
        self.drains.retain(|id, _| alive(id));
        self.stopping.retain(alive);
    }

    fn one(&mut self, want: &Want, wants: &[Want], facts: &Facts, now: Duration, actions: &mut Vec<Action>) {
        let Some(release) = &want.release else { return };
        let live: Vec<_> = facts.of(&want.service).filter(|fact| lives(fact)).collect();
        // One that already drains goes, even when its release is wanted again: it gets no new requests.
        let stays = |fact: &InstanceFact| &fact.release == release && !self.drains.contains_key(&fact.id);
        let (current, old): (Vec<_>, Vec<_>) = live.iter().copied().partition(|fact| stays(fact));
        let wanted = want.count as usize;

        if want.count == 0 || (!want.overlap && !old.is_empty()) {
            let leaving = if want.count == 0 { live } else { old };
            leaving.iter().for_each(|fact| self.drain(&fact.id, now));
            return;
        }
        let first_start = live.is_empty();
        if current.len() < wanted && (!first_start || self.waits_for(want, wants, facts, now).is_empty()) {
            let numbers = (1..).filter(|number| !live.iter().any(|fact| fact.id.number == *number));
            for number in numbers.take(wanted - current.len()) {
                let id = InstanceId {
                    service: want.service.clone(),
                    number,
                };
                actions.push(Action::Start(id, release.clone()));
            }
        }
        let ready = current.iter().filter(|fact| fact.phase == Phase::Ready).count();
        if ready >= wanted {
            old.iter().for_each(|fact| self.drain(&fact.id, now));
        }
        let mut extra: Vec<_> = current.iter().map(|fact| &fact.id).collect();
        extra.sort_by_key(|id| id.number);
        extra.iter().skip(wanted).for_each(|id| self.drain(id, now));
    }

    /// Instances of services that are not declared any more go too.
    fn retire_unknown(&mut self, wants: &[Want], facts: &Facts, now: Duration) {
        let known: BTreeSet<_> = wants.iter().map(|want| &want.service).collect();
        for fact in facts
            .instances
            .iter()
            .filter(|fact| lives(fact) && !known.contains(&fact.id.service))
        {
            self.drain(&fact.id, now);
        }
    }

    fn drain(&mut self, id: &InstanceId, now: Duration) {
        self.drains.entry(id.clone()).or_insert(now);
    }

    fn finish_drains(
        &mut self,
        wants: &[Want],
        facts: &Facts,
        in_flight: &dyn Fn(&InstanceId) -> Option<u64>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        for (id, since) in &self.drains {
            let serves = facts
                .instances
                .iter()
                .any(|fact| &fact.id == id && fact.phase == Phase::Ready);
            let limit = wants
                .iter()
                .find(|want| want.service == id.service)
                .map_or(Duration::ZERO, |want| want.drain);
            let over = now.saturating_sub(*since) >= limit;
            if (!serves || over || in_flight(id) == Some(0)) && self.stopping.insert(id.clone()) {
                actions.push(Action::Stop(id.clone()));
            }
        }
    }
}

/// Whether an instance still holds its number, its port and perhaps a process.
fn lives(fact: &InstanceFact) -> bool {
    fact.phase != Phase::Stopped
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::clock::Timestamp;
    use ondol_core::id::BootId;
    use ondol_core::wire::supervision::Containment;

    fn want(service: &str, release: &str, count: u32) -> Want {
        Want {
            service: service.parse().expect("valid"),
            release: (!release.is_empty()).then(|| release.into()),
            count,
            requires: vec![],
            overlap: true,
            drain: Duration::from_secs(30),
            start_within: Duration::from_secs(10),
        }
    }

    /// `orders.1=a:ready` and so on.
    fn facts(text: &str) -> Facts {
        let one = |item: &str| {
            let (id, rest) = item.split_once('=').expect("id=release:phase");
            let (release, phase) = rest.split_once(':').expect("release:phase");
            InstanceFact {
                id: id.parse().expect("valid"),
                phase: serde_json::from_value(phase.into()).expect("phase"),
                pid: None,
                port: 1,
                release: release.into(),
                start: 1,
                since: Timestamp(0),
                started_at: None,
                restarts: 0,
                last_exit: None,
                reason: None,
                until: None,
                containment: Containment::Group,
            }
        };
        let boot = BootId {
            system: "s".into(),
            boot: "b".into(),
        };
        let instances = text.split_whitespace().map(one).collect();
        Facts {
            boot,
            version: 0,
            pid: 1,
            roles: vec![],
            instances,
            jobs: vec![],
            stopping: false,
        }
    }

    fn show(actions: &[Action]) -> String {
        let one = |action: &Action| match action {
            Action::Start(id, release) => format!("start {id}={release}"),
            Action::Stop(id) => format!("stop {id}"),
        };
        actions.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// One look of a fresh machine at `now` = 0 with nothing in flight known.
    fn check(wants: &[Want], seen: &str, expected: &str) -> Machine {
        let mut machine = Machine::default();
        let actions = machine.step(wants, &facts(seen), &|_| None, Duration::ZERO);
        assert_eq!(show(&actions), expected, "seen: {seen}");
        machine
    }

    #[test]
    fn missing_instances_start_with_the_lowest_free_numbers() {
        check(&[want("a", "r", 2)], "", "start a.1=r, start a.2=r");
        check(&[want("a", "r", 3)], "a.2=r:ready", "start a.1=r, start a.3=r");
        check(&[want("a", "r", 1)], "a.1=r:crash-loop", "");
        check(&[want("a", "r", 1)], "a.1=r:stopped", "start a.1=r");
    }

    #[test]
    fn an_unbuilt_release_keeps_what_runs() {
        check(&[want("a", "", 1)], "a.1=old:ready", "");
    }

    #[test]
    fn the_old_generation_goes_only_when_the_new_one_is_ready() {
        let wants = [want("a", "new", 1)];
        assert!(check(&wants, "a.1=old:ready", "start a.2=new").draining().is_empty());
        assert!(
            check(&wants, "a.1=old:ready a.2=new:starting", "")
                .draining()
                .is_empty()
        );
        assert!(
            check(&wants, "a.1=old:ready a.2=new:crash-loop", "")
                .draining()
                .is_empty()
        );
        assert_eq!(check(&wants, "a.1=old:ready a.2=new:ready", "").draining().len(), 1);
    }

    #[test]
    fn a_drained_instance_stops_once_when_nothing_is_in_flight_or_its_time_is_over() {
        let (wants, seen) = ([want("a", "new", 1)], facts("a.1=old:ready a.2=new:ready"));
        let mut machine = Machine::default();
        let at = Duration::from_secs;
        assert_eq!(show(&machine.step(&wants, &seen, &|_| Some(2), at(0))), "");
        assert_eq!(show(&machine.step(&wants, &seen, &|_| None, at(5))), "");
        assert_eq!(show(&machine.step(&wants, &seen, &|_| Some(0), at(6))), "stop a.1");
        assert_eq!(
            show(&machine.step(&wants, &seen, &|_| Some(0), at(7))),
            "",
            "asked once"
        );
        let mut machine = Machine::default();
        machine.step(&wants, &seen, &|_| Some(2), at(0));
        assert_eq!(show(&machine.step(&wants, &seen, &|_| Some(2), at(30))), "stop a.1");
    }

    #[test]
    fn a_stop_that_failed_is_asked_again() {
        let (wants, seen) = ([want("a", "new", 1)], facts("a.1=old:ready a.2=new:ready"));
        let mut machine = Machine::default();
        assert_eq!(
            show(&machine.step(&wants, &seen, &|_| Some(0), Duration::ZERO)),
            "stop a.1"
        );
        machine.not_stopped(&seen.instances[0].id);
        assert_eq!(
            show(&machine.step(&wants, &seen, &|_| Some(0), Duration::ZERO)),
            "stop a.1"
        );
    }

    #[test]
    fn going_back_to_a_release_that_drains_never_leaves_the_service_without_an_instance() {
        let (seen, busy) = (facts("a.1=old:ready a.2=new:ready"), |_: &InstanceId| Some(1));
        let mut machine = Machine::default();
        machine.step(&[want("a", "new", 1)], &seen, &busy, Duration::ZERO);
        assert_eq!(machine.draining().len(), 1, "the old one drains");
        let back = [want("a", "old", 1)];
        assert_eq!(
            show(&machine.step(&back, &seen, &busy, Duration::ZERO)),
            "start a.3=old"
        );
        assert_eq!(machine.draining().len(), 1, "the new one serves until a.3 does");
        machine.step(
            &back,
            &facts("a.1=old:ready a.2=new:ready a.3=old:ready"),
            &busy,
            Duration::ZERO,
        );
        let ids: Vec<_> = machine.draining().iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["a.1", "a.2"]);
    }

    #[test]
    fn an_old_instance_that_does_not_serve_stops_at_once() {
        check(&[want("a", "new", 1)], "a.1=old:backing-off a.2=new:ready", "stop a.1");
    }

    #[test]
    fn without_overlap_the_old_one_goes_first() {
        let wants = [Want {
            overlap: false,
            ..want("a", "new", 1)
        }];
        let machine = check(&wants, "a.1=old:ready", "");
        assert_eq!(machine.draining().len(), 1);
        check(&wants, "a.1=old:stopped", "start a.1=new");
    }

    #[test]
    fn dependants_wait_for_what_they_require_but_not_for_ever() {
        let wants = [
            want("a", "r", 1),
            Want {
                requires: vec!["a".parse().expect("valid")],
                ..want("b", "r", 1)
            },
        ];
        check(&wants, "", "start a.1=r");
        check(&wants, "a.1=r:ready", "start b.1=r");
        let (mut machine, seen) = (Machine::default(), facts("a.1=r:starting"));
        assert_eq!(
            show(&machine.step(&wants, &seen, &|_| None, Duration::from_secs(1))),
            ""
        );
        assert_eq!(
            show(&machine.step(&wants, &seen, &|_| None, Duration::from_secs(11))),
            "start b.1=r"
        );
    }

    #[test]
    fn scaling_down_drains_the_highest_numbers() {
        let machine = check(&[want("a", "r", 1)], "a.1=r:ready a.2=r:ready a.3=r:ready", "");
        let ids: Vec<_> = machine.draining().iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["a.2", "a.3"]);
    }

    #[test]
    fn a_service_that_is_not_declared_any_more_is_stopped() {
        check(&[], "a.1=r:backing-off", "stop a.1");
    }
}
