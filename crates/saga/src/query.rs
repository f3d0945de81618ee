//! Lists, single sagas with their history, and figures: what people and the console see.
//!
//! Figures have no saga id and no step as a label; the list does.

use crate::config::{CallTemplate, StepKind};
use crate::error::SagaError;
use crate::phase::Phase;
use crate::plan::Plan;
use crate::record::{self, Event, FinalAnswer, Happened, Saved};
use crate::shared::Shared;
use crate::state::{Failure, Op, Status};
use bytes::Bytes;
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Order, Row, RowFilter, StoreSize, Table};
use ondol_core::id::{SagaId, SagaName, ServiceName};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most sagas of one page.
pub const MAX_PAGE: u32 = 1_000;
/// Most sagas that are looked at for one page, where the store cannot filter by itself.
pub const MAX_LOOKED_AT: usize = 20_000;
/// Log records of one saga that are read at a time.
const HISTORY_PAGE: u32 = 1_000;

/// Which sagas. All set fields must match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListQuery {
    /// In this phase.
    pub state: Option<Phase>,
    /// Of this definition.
    pub definition: Option<String>,
    /// At this step.
    pub step: Option<String>,
    /// Of a definition that this service owns or takes part in, as definitions are now.
    pub service: Option<String>,
    /// Whose start's body, correlation id or starter holds this text, in any case.
    pub text: Option<String>,
    /// Older than this one: the last of the page before.
    pub before: Option<SagaId>,
    /// At most so many; 0 means 100, more than [`MAX_PAGE`] means that.
    pub limit: u32,
}

/// Sagas of one look, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Page {
    /// At most as many as asked for; fewer, or none, also where [`MAX_LOOKED_AT`] came first.
    pub items: Vec<Summary>,
    /// Goes on as `before`; `None`: there are no older ones.
    pub next: Option<String>,
}

/// A saga in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// Its definition's name.
    pub saga: String,
    /// Where it stands.
    pub state: String,
    /// The step it is at; empty once it has ended.
    pub step: String,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it is looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wake_at: Option<Timestamp>,
}

/// A step of a saga that is shown.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// What its failure means.
    pub kind: StepKind,
    /// Whom it calls.
    pub service: ServiceName,
    /// How: method and path, with the definition's templates.
    pub call: String,
    /// How it is undone; `None`: there is nothing to undo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
    /// Of the parallel group, or alone.
    pub stage: usize,
    /// How far its call is.
    pub action: Status,
    /// How far its undoing is.
    pub compensate: Status,
    /// Attempts of the call.
    pub attempts: u32,
    /// Attempts of the undoing.
    pub compensate_attempts: u32,
    /// It may have had its effect although no answer said so.
    pub in_doubt: bool,
    /// What the last attempt came to, when not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The kept fields of its answer.
    pub output: Value,
}

/// One event of the history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Moment {
    /// Its record's place in the log.
    pub position: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// A saga, whole.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct View {
    /// As in lists.
    #[serde(flatten)]
    pub summary: Summary,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it goes back by itself.
    pub deadline: Timestamp,
    /// The definition's hash.
    pub definition: Arc<str>,
    /// The correlation id.
    pub correlation: Arc<str>,
    /// Id of the event or call that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation: Option<Arc<str>>,
    /// Who started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The start's body.
    pub input: Arc<Value>,
    /// Why it goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Its steps.
    pub steps: Vec<StepView>,
    /// What its starter got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<FinalAnswer>,
    /// What happened, in order, as far as the first [`Settings::history`](crate::Settings) records tell.
    pub history: Vec<Moment>,
    /// The log holds more of it than is shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub history_cut: bool,
}

/// Figures for metrics.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stats {
    /// Sagas by phase; of the two ends only those of this process.
    pub phases: Vec<(&'static str, u64)>,
    /// Started by this process.
    pub started: u64,
    /// Starts that joined a saga.
    pub joined: u64,
    /// Taken up from the store.
    pub taken_up: u64,
    /// Commits.
    pub commits: u64,
    /// Calls, polls too.
    pub calls: u64,
    /// Sagas that could not be read. Must be 0.
    pub unreadable: u64,
    /// Sagas in memory now.
    pub active: u64,
    /// The bound of `active`.
    pub active_limit: u64,
    /// What the store holds; start keys, answers and records are never purged so far.
    pub store: StoreSize,
}

impl Summary {
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            id: row.key.clone(),
            saga: row.name.clone(),
            state: row.state.clone(),
            step: row.detail.clone(),
            updated_at: row.updated_at,
            wake_at: row.wake_at,
        }
    }
}

pub(crate) async fn load(shared: &Shared, id: SagaId) -> Result<(Row, Saved), SagaError> {
    let row = shared.ports.engine.row(Table::Saga, id.to_string()).await?;
    let row = row.ok_or_else(|| SagaError::NotFound(id.to_string()))?;
    let saved = record::read(&row.body)?;
    Ok((row, saved))
}

/// What the store cannot filter by: looked for in the rows themselves.
struct Search {
    /// Definitions in which the service takes part.
    definitions: Option<Vec<String>>,
    /// In lower case.
    text: Option<String>,
}

impl Search {
    fn of(shared: &Shared, query: &ListQuery) -> Self {
        let takes_part = |service: &str, plan: &Plan| {
            let calls = plan
                .steps
                .iter()
                .flat_map(|step| [Some(&step.action), step.undo.as_ref().map(|undo| &undo.call)]);
            plan.definition.owner.as_str() == service || calls.flatten().any(|call| call.service.as_str() == service)
        };
        let of_service = |service: &String| {
            let plans = shared.plans().into_iter().filter(|plan| takes_part(service, plan));
            plans.map(|plan| plan.definition.saga.to_string()).collect()
        };
        Self {
            definitions: query.service.as_ref().map(of_service),
            text: query.text.as_ref().map(|text| text.to_lowercase()),
        }
    }

    fn is_needed(&self) -> bool {
        self.definitions.is_some() || self.text.is_some()
    }

    fn matches(&self, row: &Row) -> bool {
        let is_of = |definitions: &Vec<String>| definitions.contains(&row.name);
        self.definitions.as_ref().is_none_or(is_of) && self.text.as_ref().is_none_or(|text| holds(row, text))
    }
}

/// The text is in what the starter gave: not in the machine's own words, which are in every row.
fn holds(row: &Row, text: &str) -> bool {
    let Ok(saved) = record::read::<Saved>(&row.body) else {
        return false;
    };
    let subject = saved.auth.as_ref().map(|auth| auth.subject.to_lowercase());
    saved.correlation.to_lowercase().contains(text)
        || subject.is_some_and(|subject| subject.contains(text))
        || saved.input.to_string().to_lowercase().contains(text)
}

pub(crate) async fn list(shared: &Shared, query: ListQuery) -> Result<Page, SagaError> {
    let search = Search::of(shared, &query);
    let filter = RowFilter {
        state: query.state.map(|state| state.as_str().to_owned()),
        name: query.definition,
        detail: query.step,
        ..RowFilter::default()
    };
    let limit = if query.limit == 0 {
        100
    } else {
        query.limit.min(MAX_PAGE)
    } as usize;
    let at_once = if search.is_needed() { MAX_PAGE } else { limit as u32 };
    let mut page = Page::default();
    let (mut before, mut looked_at) = (query.before.map(|id| id.to_string()), 0);
    while page.items.len() < limit && looked_at < MAX_LOOKED_AT {
        let engine = &shared.ports.engine;
        let rows = engine
            .rows(Table::Saga, filter.clone(), Order::Descending, before.clone(), at_once)
            .await?;
        let Some(last) = rows.last() else {
            return Ok(Page { next: None, ..page });
        };
        (before, looked_at) = (Some(last.key.clone()), looked_at + rows.len());
        let found = rows.iter().filter(|row| search.matches(row)).map(Summary::of);
        page.items.extend(found.take(limit - page.items.len()));
    }
    page.next = match page.items.last() {
        Some(last) if page.items.len() == limit => Some(last.id.clone()),
        _ => before,
    };
    Ok(page)
}

/// Sagas of a definition by rising id. A page that the store cut short is filled: fewer than `limit` are the last ones.
pub(crate) async fn of(
    shared: &Shared,
    definition: &SagaName,
    mut after: Option<String>,
    limit: u32,
) -> Result<Vec<Summary>, SagaError> {
    let filter = RowFilter {
        name: Some(definition.to_string()),
        ..RowFilter::default()
    };
    let (engine, mut found) = (&shared.ports.engine, Vec::new());
    while found.len() < limit as usize {
        let left = limit - found.len() as u32;
        let rows = engine
            .rows(Table::Saga, filter.clone(), Order::Ascending, after, left)
            .await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.key.clone());
        found.extend(rows.iter().map(Summary::of));
    }
    Ok(found)
}

/// The row that says that a saga belongs to a flow of another name. No correlation id holds a space.
pub(crate) fn flow_row(correlation: &str, id: &str, now: Timestamp) -> Row {
    Row {
        key: format!("{correlation} {id}"),
        state: "started".to_owned(),
        name: String::new(),
        detail: String::new(),
        wake_at: None,
        updated_at: now,
        body: Bytes::new(),
    }
}

/// Sagas of a flow, by id, at most `limit`: the one that gave it its name, and those that were started in it.
pub(crate) async fn in_flow(shared: &Shared, correlation: &str, limit: u32) -> Result<Vec<SagaId>, SagaError> {
    let mut found = Vec::new();
    if let Ok(own) = correlation.parse::<SagaId>()
        && shared.ports.engine.row(Table::Saga, own.to_string()).await?.is_some()
    {
        found.push(own);
    }
    let prefix = format!("{correlation} ");
    let (filter, after) = (RowFilter::default(), Some(prefix.clone()));
    let rows = shared
        .ports
        .engine
        .rows(Table::Correlation, filter, Order::Ascending, after, limit)
        .await?;
    let of_flow = rows.iter().map_while(|row| row.key.strip_prefix(&prefix));
    found.extend(of_flow.filter_map(|id| id.parse::<SagaId>().ok()));
    Ok(found)
}

pub(crate) async fn show(shared: &Shared, id: SagaId) -> Result<View, SagaError> {
    let (row, saved) = load(shared, id).await?;
    let plan = shared.plan_hashed(&saved.definition).await?;
    let (history, history_cut) = history(shared, id).await?;
    // A plan numbers the steps as its definition lists them.
    let declared = plan.definition.stages.iter().flat_map(|stage| &stage.steps);
    let line = |call: &CallTemplate| format!("{} {}{}", call.method, call.service, call.path);
    let steps = plan
        .steps
        .iter()
        .zip(declared)
        .zip(&saved.state.steps)
        .map(|((planned, declared), step)| StepView {
            name: planned.name.to_string(),
            kind: planned.kind,
            service: planned.action.service.clone(),
            call: line(&declared.call),
            undo: declared.compensate.as_ref().map(|undo| line(&undo.call)),
            stage: planned.stage,
            action: step.action.status,
            compensate: step.undo.status,
            attempts: step.action.sent,
            compensate_attempts: step.undo.sent,
            in_doubt: step.action.doubt && !step.action.is_settled(),
            why: step.leg(Op::Compensate).why.clone().or_else(|| step.action.why.clone()),
            output: Value::Object(step.output.clone()),
        });
    Ok(View {
        summary: Summary::of(&row),
        started_at: saved.started,
        deadline: saved.state.deadline,
        definition: saved.definition.clone(),
        correlation: saved.correlation.clone(),
        causation: saved.causation.clone(),
        subject: saved.auth.as_ref().map(|auth| auth.subject.clone()),
        input: saved.input.clone(),
        failure: saved.state.failure.clone(),
        steps: steps.collect(),
        answer: saved.answer,
        history,
        history_cut,
    })
}

/// What happened, page by page up to the bound; true when there is more.
async fn history(shared: &Shared, id: SagaId) -> Result<(Vec<Moment>, bool), SagaError> {
    let (mut history, mut read, mut after) = (Vec::new(), 0, 0);
    loop {
        let engine = &shared.ports.engine;
        let page = engine.records(id.to_string(), after, HISTORY_PAGE).await?;
        // A page may end early by its bytes: only an empty one is the last.
        let Some(last) = page.last() else {
            return Ok((history, false));
        };
        after = last.position;
        for stored in page {
            if read == shared.settings.history {
                return Ok((history, true));
            }
            read += 1;
            let happened: Happened = record::read(&stored.record.body)?;
            let (position, at) = (stored.position, stored.record.at);
            history.extend(happened.events.into_iter().map(|event| Moment { position, at, event }));
        }
    }
}

pub(crate) fn phases(shared: &Shared) -> Vec<(&'static str, u64)> {
    let count = |phase: Phase| (phase.as_str(), shared.counts.phase(phase));
    Phase::ALL.into_iter().map(count).collect()
}

pub(crate) async fn stats(shared: &Shared) -> Result<Stats, SagaError> {
    let (counts, read) = (&shared.counts, |counter: &std::sync::atomic::AtomicU64| {
        counter.load(Ordering::Relaxed)
    });
    let active = shared.settings.active.saturating_sub(shared.places.available_permits());
    Ok(Stats {
        phases: phases(shared),
        started: read(&counts.started),
        joined: read(&counts.joined),
        taken_up: read(&counts.taken_up),
        commits: read(&counts.commits),
        calls: read(&counts.calls),
        unreadable: read(&counts.unreadable),
        active: active as u64,
        active_limit: shared.settings.active as u64,
        store: shared.ports.engine.size().await?,
    })
}
