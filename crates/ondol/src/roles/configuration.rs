//! Which configuration runs, and how another one comes to: what stands behind `--watch`, `ondol apply` and `ondol rollback`.
//!
//! Invariants
//! - `plan.json` says what runs. It is written after everything that may refuse a configuration has taken it, and before the
//!   deploy loop hears of it; so a controller that is killed in between runs the one or the other, whole.
//! - What cannot be taken changes nothing: not what runs, not what is kept.
//!
//! Not here: when it is the time (`deploy/src/service.rs`), what the differences are (`manifest/src/diff.rs`).
//! Tests: beside `history.rs`; `tests/e2e/apply.rs`. Decision: ADR-0001.

use super::RoleArgs;
use super::controller::Events;
use super::history::{By, History, Revision};
use super::plan::{self, Kept, Plan, RolledBack};
use crate::home::Home;
use ondol_core::clock::SharedClock;
use ondol_core::id::{BootId, ServiceName};
use ondol_deploy::configuration::{Admit, Configurations, NotTaken, Order, Running, Taken};
use ondol_events::Topics;
use ondol_manifest::Diff;
use ondol_saga::Sagas;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::runtime::Handle;

/// What runs, and what ran.
pub(super) struct State {
    home: Home,
    only: Vec<ServiceName>,
    clock: SharedClock,
    now: Kept,
    history: History,
    /// Nothing ran yet in this life of the supervisor.
    pub(super) first: bool,
}

impl State {
    /// What ran before within this boot, else what the files say. [`State::keep`] makes it so.
    ///
    /// # Errors
    /// When the manifests are broken, or the revisions cannot be read.
    pub(super) fn begin(home: &Home, args: &RoleArgs, boot: &BootId, clock: SharedClock) -> anyhow::Result<Self> {
        let kept = plan::kept(home);
        let taken = kept.as_ref().map(|kept| kept.revision).filter(|revision| *revision > 0);
        let history = History::open(home, taken)?;
        let (now, first) = match kept.filter(|kept| &kept.boot == boot) {
            Some(kept) => (kept, false),
            None => {
                let now = Kept {
                    boot: boot.clone(),
                    plan: plan::read(home, &args.only)?,
                    revision: 0,
                    rolled_back: None,
                };
                (now, true)
            }
        };
        let (home, only) = (home.clone(), args.only.clone());
        Ok(Self {
            home,
            only,
            clock,
            now,
            history,
            first,
        })
    }

    /// What runs.
    pub(super) fn plan(&self) -> &Plan {
        &self.now.plan
    }

    /// Writes down that it runs from now on, as a new revision unless the newest one was the same.
    pub(super) fn keep(&mut self) -> anyhow::Result<()> {
        if self.now.revision > 0 {
            return Ok(plan::keep(&self.home, &self.now)?);
        }
        let newest = self.history.known().last().filter(|newest| newest.only == self.only);
        let same = newest.map(|newest| newest.revision).filter(|number| {
            let old = self.history.plan(*number);
            old.is_some_and(|old| Diff::between(&old.facts, &self.now.plan.facts).is_empty())
        });
        let now = Kept {
            revision: same.unwrap_or(0),
            ..self.now.clone()
        };
        Ok(self.write(now, By::Start, None)?)
    }

    /// Makes `next` what runs; without a number it gets one, and a revision.
    fn write(&mut self, mut next: Kept, by: By, of: Option<u64>) -> Result<(), ondol_core::whole::Unwritten> {
        let new = next.revision == 0;
        if new {
            next.revision = self.history.next();
            let revision = Revision {
                revision: next.revision,
                at: self.clock.wall(),
                by,
                of,
                only: self.only.clone(),
            };
            self.history.record(revision, &next.plan)?;
        }
        if let Err(error) = plan::keep(&self.home, &next) {
            if new {
                self.history.forget(next.revision);
            }
            return Err(error);
        }
        self.history.settle();
        self.now = next;
        Ok(())
    }

    fn running(&self) -> Running {
        Running {
            revision: self.now.revision,
            rolled_back_to: self.now.rolled_back.as_ref().map(|back| back.to),
        }
    }

    /// What `order` means now, and of which revision it is a copy.
    fn ordered(&self, order: Order) -> Result<(Kept, Option<u64>), NotTaken> {
        let to = match order {
            Order::Changed | Order::Apply => {
                let plan = plan::read(&self.home, &self.only)?;
                return Ok((self.next(plan, None), None));
            }
            Order::Rollback(to) => self.revision(to)?,
        };
        let mut plan = self
            .history
            .plan(to.revision)
            .ok_or_else(|| self.unknown(to.revision))?;
        let to = to.of.unwrap_or(to.revision);
        let files = plan::read(&self.home, &self.only).ok();
        let same = files
            .as_ref()
            .is_some_and(|files| Diff::between(&plan.facts, &files.facts).is_empty());
        if let Some(files) = &files {
            // The watcher looks at what is there now, not at what was there then.
            plan.system.manifests.clone_from(&files.system.manifests);
        }
        let files = files.map(|files| files.facts);
        Ok((self.next(plan, (!same).then_some(RolledBack { to, files })), Some(to)))
    }

    fn next(&self, plan: Plan, rolled_back: Option<RolledBack>) -> Kept {
        Kept {
            boot: self.now.boot.clone(),
            plan,
            revision: 0,
            rolled_back,
        }
    }

    fn unknown(&self, asked: u64) -> NotTaken {
        let known: Vec<_> = self
            .history
            .known()
            .iter()
            .map(|known| known.revision.to_string())
            .collect();
        NotTaken::Unknown {
            asked,
            known: match known.as_slice() {
                [] => "none is kept".into(),
                known => format!("these are kept: {}", known.join(", ")),
            },
        }
    }

    /// The revision to go back to.
    fn revision(&self, to: Option<u64>) -> Result<&Revision, NotTaken> {
        let Some(asked) = to else {
            // After a rollback the one before is that before the one that it went back to, else two would go nowhere.
            let from = self.running().rolled_back_to.unwrap_or(self.now.revision);
            return self.history.before(from, &self.only).ok_or(NotTaken::First(from));
        };
        let found = self.history.find(asked).ok_or_else(|| self.unknown(asked))?;
        let words = |only: &[ServiceName]| match only {
            [] => "all services".to_owned(),
            only => only.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", "),
        };
        if found.only == self.only {
            return Ok(found);
        }
        Err(NotTaken::Others {
            asked,
            then: words(&found.only),
            now: words(&self.only),
        })
    }

    /// Whether `files` are no change of what the files said when it was taken back.
    fn was_seen(&self, files: &Plan) -> bool {
        let seen = self.now.rolled_back.as_ref().and_then(|back| back.files.as_ref());
        seen.is_some_and(|seen| Diff::between(seen, &files.facts).is_empty())
    }
}

/// The configurations, for the deploy loop and the admin API.
pub(super) struct Configuration {
    state: Mutex<State>,
    sagas: Sagas,
    events: Events,
    explained: Arc<RwLock<Vec<Value>>>,
    runtime: Handle,
}

impl Configuration {
    pub(super) fn new(state: State, sagas: Sagas, events: Events, explained: Arc<RwLock<Vec<Value>>>) -> Self {
        Self {
            state: Mutex::new(state),
            sagas,
            events,
            explained,
            runtime: Handle::current(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the rooms, those that may refuse first, and writes it down between.
    fn carry_out(&self, state: &mut State, next: Kept, by: By, of: Option<u64>) -> Result<(), NotTaken> {
        let unkept = |error: &dyn std::fmt::Display| NotTaken::Unkept(error.to_string());
        let topics = Topics::new(&next.plan.published).map_err(|error| unkept(&error))?;
        let set_sagas = |plan: &Plan| self.runtime.block_on(self.sagas.set_definitions(plan.sagas.clone()));
        set_sagas(&next.plan).map_err(|error| unkept(&error))?;
        if let Err(error) = state.write(next, by, of) {
            if let Err(error) = set_sagas(&state.now.plan) {
                tracing::error!(%error, "the sagas' definitions are not those that run");
            }
            return Err(unkept(&chain(&error)));
        }
        self.runtime.block_on(self.events.set(topics, &state.now.plan));
        let mut explained = self.explained.write().unwrap_or_else(PoisonError::into_inner);
        explained.clone_from(&state.now.plan.routes);
        Ok(())
    }
}

/// An error with its cause, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Configurations for Configuration {
    fn running(&self) -> Running {
        self.lock().running()
    }

    fn changed(&self) -> bool {
        let state = self.lock();
        let Ok(files) = plan::read(&state.home, &state.only) else {
            return true;
        };
        let others = files.system.manifests != state.now.plan.system.manifests;
        match &state.now.rolled_back {
            Some(_) => !state.was_seen(&files),
            None => others || !Diff::between(&state.now.plan.facts, &files.facts).is_empty(),
        }
    }

    fn propose(&self, order: Order) -> Result<Value, NotTaken> {
        let state = self.lock();
        let (next, _) = state.ordered(order)?;
        Ok(json!(Diff::between(&state.now.plan.facts, &next.plan.facts)))
    }

    fn take(&self, order: Order, admit: Admit<'_>) -> Result<Taken, NotTaken> {
        let mut state = self.lock();
        let (mut next, of) = state.ordered(order)?;
        let diff = Diff::between(&state.now.plan.facts, &next.plan.facts);
        if order != Order::Changed || !state.was_seen(&next.plan) {
            if diff.is_empty() {
                next.revision = state.now.revision;
            }
            let by = match order {
                Order::Changed => By::Watch,
                Order::Apply => By::Apply,
                Order::Rollback(_) => By::Rollback,
            };
            admit(&next.plan.system)?;
            self.carry_out(&mut state, next, by, of)?;
        }
        Ok(Taken {
            plan: state.now.plan.system.clone(),
            running: state.running(),
            answer: json!(diff),
        })
    }

    fn revisions(&self) -> Vec<Value> {
        self.lock()
            .history
            .known()
            .iter()
            .rev()
            .map(|known| json!(known))
            .collect()
    }
}
