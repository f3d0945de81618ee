//! What others may ask of the saga engine.
//!
//! Tests: `tests/engine.rs`.

use crate::config::Definition;
use crate::driver::{Also, Driver};
use crate::error::SagaError;
use crate::hub::{Command, Progress, Watcher};
use crate::operator::Action;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::query::{self, ListQuery, Page, Stats, Summary, View};
use crate::record::{self, Saved, SavedKey, VERSION};
use crate::render::Known;
use crate::service;
use crate::shared::{Counts, Ports, Settings, Shared};
use crate::start::{self, KeyRow, MAX_WAIT, Refusal, StartAnswer, StartRequest};
use crate::state::State;
use ondol_core::engine::{Guard, Row, RowOp, StoreError, Table, Write};
use ondol_core::id::{SagaId, SagaName};
use ondol_core::task::Kind;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};

/// How often an operator's action looks for a driver that goes and comes.
const HAND_OVERS: usize = 16;

/// The saga engine. A clone is the same engine.
#[derive(Clone)]
pub struct Sagas {
    shared: Arc<Shared>,
}

impl Sagas {
    /// An engine that does nothing yet: first [`Sagas::set_definitions`], then [`Sagas::run`].
    pub fn new(ports: Ports, settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared::new(ports, settings)),
        }
    }

    /// Replaces what may be started. Sagas that run keep the definition they were started with, also one that is gone.
    ///
    /// # Errors
    /// [`SagaError::Plan`] for the first definition that cannot run, [`SagaError::Store`] when they cannot be kept;
    /// nothing has changed then.
    pub async fn set_definitions(&self, definitions: Vec<Definition>) -> Result<(), SagaError> {
        let plans: Vec<Arc<Plan>> = definitions
            .into_iter()
            .map(|one| Plan::compile(one).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let at = self.shared.ports.clock.wall();
        let mut write = Write::default();
        for plan in &plans {
            if self
                .shared
                .ports
                .engine
                .row(Table::Definition, plan.hash.to_string())
                .await?
                .is_none()
            {
                let (name, body) = (plan.definition.saga.to_string(), plan.json.clone());
                let (key, state, detail) = (
                    plan.hash.to_string(),
                    "known".to_owned(),
                    plan.definition.owner.to_string(),
                );
                write.rows.push(RowOp::Put(
                    Table::Definition,
                    Row {
                        key,
                        state,
                        name,
                        detail,
                        wake_at: None,
                        updated_at: at,
                        body,
                    },
                ));
            }
        }
        if !write.rows.is_empty() {
            self.shared.ports.engine.commit(write).await?;
        }
        self.shared.set_plans(plans);
        Ok(())
    }

    /// Takes up what is unfinished and drives what is due, in the background, until the family of tasks stops.
    /// Call once.
    ///
    /// # Errors
    /// [`SagaError::Store`] when the store cannot be read.
    pub async fn run(&self) -> Result<(), SagaError> {
        service::count(&self.shared).await?;
        self.shared
            .ports
            .tasks
            .spawn(Kind::Saga, service::run(self.shared.clone()));
        Ok(())
    }

    /// What may be started now.
    pub fn definitions(&self) -> Vec<Arc<Plan>> {
        self.shared.plans()
    }

    /// Starts a saga, or joins the one that the same key started, and waits for its end as long as `request.wait`.
    ///
    /// Always an HTTP answer: of the definition once the saga has ended, or may be seen; else a problem with a code.
    ///
    /// # Cancellation
    /// Dropping the future stops the waiting only; a saga that was made goes on.
    pub async fn start(&self, request: StartRequest) -> StartAnswer {
        match self.begin(request).await {
            Ok(answer) => answer,
            Err(refusal) => refusal.answer(),
        }
    }

    async fn begin(&self, request: StartRequest) -> Result<StartAnswer, Refusal> {
        let wait = request.wait.min(MAX_WAIT);
        let key = start::key_row(&request)?;
        let Some(plan) = self.shared.plan_named(&request.saga) else {
            // Nobody may start it any more; what was started under this key keeps its answer.
            let refusal = Refusal::unknown_saga(&request.saga);
            return self.join_or(refusal, key.as_ref(), wait).await;
        };
        let input = match start::input(&plan, &request) {
            Ok(input) => input,
            // What fitted the definition of its day still joins, whatever the present one asks for.
            Err(refusal) => return self.join_or(refusal, key.as_ref(), wait).await,
        };
        let places = self.shared.places.clone();
        let place = tokio::time::timeout(self.shared.settings.place_wait, places.acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return self.join_or(Refusal::full(), key.as_ref(), wait).await;
        };

        let ports = &self.shared.ports;
        let id = SagaId::make(&*ports.clock, &*ports.entropy);
        let text: Arc<str> = id.to_string().into();
        let now = ports.clock.wall();
        let saved = Saved {
            v: VERSION,
            definition: plan.hash.clone(),
            started: now,
            correlation: start::correlation(request.correlation.as_deref()).map_or_else(|| text.clone(), Arc::from),
            causation: request
                .causation
                .as_deref()
                .and_then(|id| start::correlation(Some(id)))
                .map(Arc::from),
            traceparent: start::traceparent(request.traceparent.as_deref()).map(Arc::from),
            auth: request.auth.map(Arc::new),
            input: Arc::new(input),
            state: State::new(&plan, now),
            answer: None,
        };
        let mut also = match &key {
            Some(key) => first_rows(key, id, plan.definition.saga.as_str(), now)
                .map_err(|error| Refusal::store(None, error.to_string()))?,
            None => Also::default(),
        };
        if saved.correlation != text {
            let row = query::flow_row(&saved.correlation, &text, now);
            also.rows.push(RowOp::Put(Table::Correlation, row));
        }
        let watcher = self.shared.hub.watch(id);
        let Some(claim) = self.shared.hub.claim(id) else {
            return Err(Refusal::full());
        };
        let mut driver = Driver::new(self.shared.clone(), plan, saved, claim, Some(place));
        // In a task of its own: a start whose client goes away in the middle of the commit is driven all the same.
        let (told, began) = oneshot::channel();
        // Boxed, because spawning moves its future several times.
        let drive = Box::pin(async move {
            let begun = driver.start(also).await;
            let _gone = told.send(begun.as_ref().map(|_| ()).map_err(SagaError::clone));
            if let Ok(effects) = begun {
                driver.run(effects).await;
            }
        });
        ports.tasks.spawn(Kind::Saga, drive);
        match began.await {
            Ok(Ok(())) => {
                Counts::add(&self.shared.counts.started);
                self.await_end(id, watcher, wait).await
            }
            Ok(Err(SagaError::Store(StoreError::Exists(row)))) => self.join(&row, key.as_ref(), wait).await,
            Ok(Err(SagaError::Store(error @ StoreError::TooLarge { .. }))) => {
                Err(Refusal::too_large(error.to_string()))
            }
            Ok(Err(error)) => Err(Refusal::store(
                Some(id).filter(|_| is_doubtful(&error)),
                error.to_string(),
            )),
            Err(_) => Err(Refusal::store(None, "the saga engine is ending".to_owned())),
        }
    }

    /// No new saga can begin, as `refusal` says; the one that the key began with this body can be joined all the same.
    async fn join_or(&self, refusal: Refusal, key: Option<&KeyRow>, wait: Duration) -> Result<StartAnswer, Refusal> {
        let Some(known) = key else { return Err(refusal) };
        let row = self.shared.ports.engine.row(Table::StartKey, known.key.clone()).await;
        match row.map_err(|error| Refusal::store(None, error.to_string()))? {
            Some(row) => self.join(&row, key, wait).await,
            None => Err(refusal),
        }
    }

    async fn join(&self, row: &Row, key: Option<&KeyRow>, wait: Duration) -> Result<StartAnswer, Refusal> {
        let known: SavedKey = record::read(&row.body).map_err(|error| Refusal::store(None, error.to_string()))?;
        let id = known
            .saga
            .parse()
            .map_err(|_| Refusal::store(None, "the start key's row is torn".to_owned()))?;
        if key.is_none_or(|key| key.body != known.body) {
            return Err(Refusal::other_body(Some(id)));
        }
        Counts::add(&self.shared.counts.joined);
        let watcher = self.shared.hub.watch(id);
        self.await_end(id, watcher, wait).await
    }

    /// `done` or `aborted` as soon as the saga has ended, `waiting` at the wait's end, but never before it may be seen.
    async fn await_end(&self, id: SagaId, mut watcher: Watcher, wait: Duration) -> Result<StartAnswer, Refusal> {
        // A saga that nobody drives now may have ended long ago.
        let nobody_drives = !self.shared.hub.is_driven(id) && !matches!(watcher.now(), Progress::Ended(_));
        if nobody_drives && let Some(answer) = self.stored(id).await?.answer {
            return Ok(StartAnswer::rendered(&answer, id));
        }
        let visible_wait = self.shared.settings.visible_wait;
        for (patience, enough_to_see) in [(wait, false), (visible_wait, true)] {
            let done = tokio::time::timeout(patience, seen(&mut watcher, enough_to_see)).await;
            if let Ok(Some(answer)) = done {
                return Ok(StartAnswer::rendered(&answer, id));
            }
            // The row says more than the watcher of a saga that nobody drives; this is the slow path.
            let saved = self.stored(id).await?;
            if let Some(answer) = &saved.answer {
                return Ok(StartAnswer::rendered(answer, id));
            }
            let plan = self
                .shared
                .plan_hashed(&saved.definition)
                .await
                .map_err(|error| Refusal::store(Some(id), error.to_string()))?;
            if saved.state.is_visible(&plan) {
                let known = Known {
                    id: &id.to_string(),
                    plan: &plan,
                    saved: &saved,
                };
                return Ok(StartAnswer::rendered(&known.waiting_answer(), id));
            }
        }
        Err(Refusal::not_visible(id))
    }

    async fn stored(&self, id: SagaId) -> Result<Saved, Refusal> {
        query::load(&self.shared, id)
            .await
            .map(|found| found.1)
            .map_err(|error| Refusal::store(Some(id), error.to_string()))
    }

    /// Acts on a saga for `who`, and writes it into the audit with the same commit. Gives where the saga stands then.
    ///
    /// # Errors
    /// [`SagaError::NotFound`], [`SagaError::Refused`] with the reason, or the store's.
    pub async fn act(&self, id: SagaId, action: Action, who: &str) -> Result<Phase, SagaError> {
        for _ in 0..HAND_OVERS {
            let Some(driver) = self.shared.hub.driver(id) else {
                // Beyond the bound of places: a person must be able to act when everything is full.
                if !service::take_up(&self.shared, id, None).await? && !self.shared.hub.is_driven(id) {
                    let phase = query::load(&self.shared, id).await?.1.state.phase;
                    let why = format!("the saga has ended ({phase})");
                    return Err(crate::operator::Refused {
                        action: action.name(),
                        why,
                    }
                    .into());
                }
                continue;
            };
            let (reply, answer) = oneshot::channel();
            if driver
                .send(Box::new(Command {
                    action: action.clone(),
                    who: who.to_owned(),
                    reply,
                }))
                .await
                .is_err()
            {
                continue;
            }
            // Without an answer the driver went before it read the command.
            if let Ok(answer) = answer.await {
                return answer;
            }
        }
        Err(SagaError::Busy)
    }

    /// Sagas, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, query: ListQuery) -> Result<Page, SagaError> {
        query::list(&self.shared, query).await
    }

    /// Sagas of a definition by rising id after `after`, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(
        &self,
        definition: &SagaName,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Summary>, SagaError> {
        query::of(&self.shared, definition, after, limit).await
    }

    /// Sagas of one flow, at most `limit`: the one that gave it its name, then those that were started in it.
    ///
    /// # Errors
    /// The store's.
    pub async fn in_flow(&self, correlation: &str, limit: u32) -> Result<Vec<SagaId>, SagaError> {
        query::in_flow(&self.shared, correlation, limit).await
    }

    /// Every saga that changes from now on, once its change is durable. Bounded: who reads too slowly is told how many
    /// it missed, and reads the list again.
    pub fn changes(&self) -> broadcast::Receiver<Summary> {
        self.shared.changed.subscribe()
    }

    /// How many sagas stand where, by phase; of the two ends only those of this process. Cost: reads counters.
    pub fn phases(&self) -> Vec<(&'static str, u64)> {
        query::phases(&self.shared)
    }

    /// One saga with its whole history.
    ///
    /// # Errors
    /// [`SagaError::NotFound`], [`SagaError::Stored`] or the store's.
    pub async fn show(&self, id: SagaId) -> Result<View, SagaError> {
        query::show(&self.shared, id).await
    }

    /// Counts for metrics. Cost: reads counters, and asks the store for its size.
    ///
    /// # Errors
    /// The store's.
    pub async fn stats(&self) -> Result<Stats, SagaError> {
        query::stats(&self.shared).await
    }
}

/// The store may have taken the start although it did not say so.
fn is_doubtful(error: &SagaError) -> bool {
    matches!(error, SagaError::Store(StoreError::Unavailable(_)))
}

fn first_rows(key: &KeyRow, id: SagaId, name: &str, now: ondol_core::clock::Timestamp) -> Result<Also, SagaError> {
    let body = record::write(&SavedKey {
        v: VERSION,
        saga: id.to_string(),
        body: key.body.clone(),
    })?;
    let (state, name, detail) = ("started".to_owned(), name.to_owned(), id.to_string());
    let row = Row {
        key: key.key.clone(),
        state,
        name,
        detail,
        wake_at: None,
        updated_at: now,
        body,
    };
    let guards = vec![Guard::Absent(Table::StartKey, key.key.clone())];
    Ok(Also {
        guards,
        rows: vec![RowOp::Put(Table::StartKey, row)],
    })
}

/// Waits for the end; with `enough_to_see` also for the moment from which `waiting` may be answered.
async fn seen(watcher: &mut Watcher, enough_to_see: bool) -> Option<Arc<record::FinalAnswer>> {
    loop {
        match watcher.now() {
            Progress::Ended(answer) => return Some(answer),
            Progress::Visible if enough_to_see => return None,
            Progress::Visible | Progress::Begun => watcher.changed().await,
        }
    }
}
