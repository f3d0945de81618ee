//! `GET /v1/flows/{correlation}`: everything that a correlation id ties together, as one graph.
//!
//! Nodes are sagas, their calls, events and deliveries; edges say what called, caused and delivered what. A node's id
//! begins with its kind, because a saga's call and the first event that it made may share their id.
//!
//! Bounds: [`MAX_NODES`] nodes, [`MAX_SAGAS`] sagas; `truncated` says that there is more.

use crate::problem::{Answer, Problem};
use crate::state::Api;
use crate::topics::causation;
use axum::Json;
use axum::extract::{Path, State};
use ondol_core::clock::Timestamp;
use ondol_core::engine::{Order, StoredEvent, Wanted};
use ondol_core::id::SagaId;
use ondol_events::FAMILY;
use ondol_events::subscription::view::Standing;
use ondol_saga::query::{Moment, View};
use ondol_saga::record::Event;
use ondol_saga::state::{Op, Status};
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};

const MAX_NODES: usize = 2_000;
const MAX_SAGAS: u32 = 100;

/// Something that happened in the flow.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Node {
    id: String,
    kind: &'static str,
    label: String,
    service: Option<String>,
    at: Option<Timestamp>,
    ended: Option<Timestamp>,
    state: String,
    /// Attempts beyond the first, of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    retries: Option<u32>,
    /// The admin API's path that says more.
    link: Option<String>,
}

/// What led to what.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Edge {
    from: String,
    to: String,
    kind: &'static str,
}

/// A flow.
#[derive(Default, Serialize)]
pub(crate) struct Flow {
    correlation: String,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// The flow is greater than this graph.
    truncated: bool,
}

/// Everything that belongs to a correlation id: sagas, their calls and compensations, events, deliveries.
#[utoipa::path(get, path = "/v1/flows/{correlation}", tag = "events", params(("correlation" = String, Path)),
    responses((status = 200, description = "The graph: `nodes` and `edges`, at most 2,000 nodes."),
        (status = 404, description = "Nothing has this correlation id.")))]
pub(crate) async fn flow(State(api): State<Api>, Path(correlation): Path<String>) -> Answer<Json<Flow>> {
    let mut story = Story::default();
    // An event that begins a flow gives it its name.
    let root = api.streams.event(&correlation).await?;
    if let Some(root) = root.filter(|root| root.event.correlation.is_none()) {
        story.add(&api, vec![root]).await?;
    }
    let mut after = 0;
    // A page ends by its bytes too, so only an empty one says that there is no more. One page is in memory at a time.
    while story.events.nodes.len() <= MAX_NODES {
        let limit = u32::try_from(MAX_NODES + 1 - story.events.nodes.len()).unwrap_or(u32::MAX);
        let wanted = Wanted::Correlation(correlation.clone());
        let page = api.streams.log(wanted, after, Order::Ascending, limit).await?;
        let Some(last) = page.last_position() else { break };
        after = last;
        story.add(&api, page.events).await?;
    }
    let (ids, more) = sagas(&api, &correlation, &story.causes).await?;
    let mut flow = Flow {
        truncated: more,
        correlation,
        ..Flow::default()
    };
    for id in ids {
        flow.add_saga(&api.sagas.show(id).await?);
    }
    flow.append(story.events);
    flow.append(story.deliveries);
    if flow.nodes.is_empty() {
        let detail = format!("nothing has the correlation id {:?}", flow.correlation);
        return Err(Problem::not_found(detail));
    }
    flow.finish();
    Ok(Json(flow))
}

/// What the log tells of a flow.
#[derive(Default)]
struct Story {
    events: Flow,
    deliveries: Flow,
    causes: BTreeSet<String>,
}

impl Story {
    async fn add(&mut self, api: &Api, events: Vec<StoredEvent>) -> Answer<()> {
        for stored in &events {
            self.events.add_event(stored);
        }
        self.causes.extend(events.iter().filter_map(causation));
        for standing in api.subscriptions.standing(events.clone()).await? {
            self.deliveries.add_delivery(&standing, &events);
        }
        Ok(())
    }
}

/// Sagas of the flow, and those whose calls made its events; whether there are more than [`MAX_SAGAS`].
async fn sagas(api: &Api, correlation: &str, causes: &BTreeSet<String>) -> Answer<(BTreeSet<SagaId>, bool)> {
    let most = MAX_SAGAS as usize;
    let mut found = api.sagas.in_flow(correlation, MAX_SAGAS + 1).await?;
    let more = found.len() > most;
    found.truncate(most);
    let mut ids: BTreeSet<SagaId> = found.into_iter().collect();
    for cause in causes {
        let saga = cause.split('.').next().and_then(|id| id.parse().ok());
        // A cause may look like a saga's call and be something else.
        let Some(id) = saga.filter(|id| !ids.contains(id)) else {
            continue;
        };
        if api.sagas.show(id).await.is_err() {
            continue;
        }
        if ids.len() >= most {
            return Ok((ids, true));
        }
        ids.insert(id);
    }
    Ok((ids, more))
}

impl Flow {
    fn add_saga(&mut self, saga: &View) {
        let id = &saga.summary.id;
        let node = format!("saga:{id}");
        let ended = saga
            .history
            .iter()
            .rev()
            .find(|moment| matches!(moment.event, Event::Ended { .. }));
        self.nodes.push(Node {
            id: node.clone(),
            kind: "saga",
            label: saga.summary.saga.clone(),
            service: None,
            at: Some(saga.started_at),
            ended: ended.map(|moment| moment.at),
            state: saga.summary.state.clone(),
            retries: None,
            link: Some(format!("/v1/sagas/{id}")),
        });
        if let Some(cause) = &saga.causation {
            self.edge(format!("event:{cause}"), node.clone(), "caused");
        }
        for step in &saga.steps {
            for (op, status, attempts) in [
                (Op::Action, step.action, step.attempts),
                (Op::Compensate, step.compensate, step.compensate_attempts),
            ] {
                if status == Status::Idle {
                    continue;
                }
                let (sent, ended) = times(&saga.history, &step.name, op);
                let key = format!("{id}.{}.{}", step.name, op.as_str());
                let call = format!("step:{key}");
                let from = match op {
                    Op::Action => node.clone(),
                    Op::Compensate => format!("step:{id}.{}.{}", step.name, Op::Action.as_str()),
                };
                self.edge(from, call.clone(), "called");
                self.nodes.push(Node {
                    id: call,
                    kind: "step",
                    label: match op {
                        Op::Action => step.name.clone(),
                        Op::Compensate => format!("{} undone", step.name),
                    },
                    service: Some(step.service.to_string()),
                    at: sent,
                    ended,
                    state: name(status),
                    retries: Some(attempts.saturating_sub(1)),
                    link: Some(format!("/v1/sagas/{id}")),
                });
            }
        }
    }

    fn add_event(&mut self, stored: &StoredEvent) {
        let event = &stored.event;
        let node = format!("event:{}", event.id);
        if let Some(cause) = causation(stored) {
            // A saga's call comes first: the first event that it makes may have the call's key as its id.
            self.edge(format!("step:{cause}"), node.clone(), "caused");
            if cause != event.id {
                self.edge(format!("event:{cause}"), node.clone(), "caused");
            }
        }
        self.nodes.push(Node {
            id: node,
            kind: "event",
            label: event.kind.clone(),
            service: source(stored),
            at: Some(event.at),
            ended: None,
            state: if stored.stream.family() == FAMILY {
                "published"
            } else {
                "appended"
            }
            .to_owned(),
            retries: None,
            link: Some(format!("/v1/events/{}", event.id)),
        });
    }

    fn add_delivery(&mut self, standing: &Standing, events: &[StoredEvent]) {
        let Some(stored) = events.iter().find(|stored| stored.position == standing.position) else {
            return;
        };
        let node = format!("delivery:{}@{}", standing.subscription, standing.position);
        self.edge(format!("event:{}", stored.event.id), node.clone(), "delivered");
        self.nodes.push(Node {
            id: node,
            kind: "delivery",
            label: standing.subscription.clone(),
            service: standing.subscription.split('.').next().map(Into::into),
            at: None,
            ended: None,
            state: standing.state.to_owned(),
            retries: None,
            link: Some(format!("/v1/subscriptions/{}", standing.subscription)),
        });
    }

    fn append(&mut self, part: Self) {
        self.nodes.extend(part.nodes);
        self.edges.extend(part.edges);
    }

    fn edge(&mut self, from: String, to: String, kind: &'static str) {
        self.edges.push(Edge { from, to, kind });
    }

    /// Keeps the bound, and only edges whose ends are both there; of two causes of one event the first.
    fn finish(&mut self) {
        self.truncated |= self.nodes.len() > MAX_NODES;
        self.nodes.truncate(MAX_NODES);
        let ids: HashSet<&str> = self.nodes.iter().map(|node| node.id.as_str()).collect();
        let mut caused: HashSet<String> = HashSet::new();
        self.edges.retain(|edge| {
            let there = ids.contains(edge.from.as_str()) && ids.contains(edge.to.as_str());
            there && (edge.kind != "caused" || caused.insert(edge.to.clone()))
        });
    }
}

/// When a call was first sent, and when its last answer came.
fn times(history: &[Moment], step: &str, op: Op) -> (Option<Timestamp>, Option<Timestamp>) {
    let sent = history
        .iter()
        .find(|moment| matches!(&moment.event, Event::Sent { step: of, op: by, .. } if of == step && *by == op));
    let answered = history
        .iter()
        .rev()
        .find(|moment| matches!(&moment.event, Event::Answered { step: of, op: by, .. } if of == step && *by == op));
    (sent.map(|moment| moment.at), answered.map(|moment| moment.at))
}

/// A status as the saga's own page names it.
fn name(status: Status) -> String {
    let name = serde_json::to_value(status).ok();
    name.and_then(|name| name.as_str().map(Into::into)).unwrap_or_default()
}

/// The service that made an event, where its `source` is `/services/NAME`.
fn source(stored: &StoredEvent) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct From {
        source: String,
    }
    let From { source } = serde_json::from_slice(&stored.event.body).ok()?;
    source
        .strip_prefix("/services/")
        .and_then(|rest| rest.split('/').next())
        .map(Into::into)
}
