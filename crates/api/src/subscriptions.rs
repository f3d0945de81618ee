//! Subscriptions for operators: where each stands, its dead letters, and what may be done about them. The dead letters of an
//! outbox are seen and acted on here too, under `SERVICE.outbox`; there a position is the row's `seq`.

use crate::live::changes::{Change, Kind};
use crate::problem::{Answer, Problem};
use crate::sagas::OPERATOR;
use crate::state::Api;
use axum::Json;
use axum::extract::{Path, Query, State};
use ondol_events::subscription::phase::KeyState;
use ondol_events::subscription::view::{Details, KeyDetails, KeyView, Redrive, View};
use ondol_events::subscription::{Act, Action, KeyAction, RedriveRequest, SubscriptionName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Keys of one list where the client names no number.
const DEFAULT_LIMIT: u32 = 100;

/// `GET /v1/subscriptions`.
#[derive(Serialize)]
pub(crate) struct List {
    subscriptions: Vec<View>,
}

/// Every subscription with where it stands.
#[utoipa::path(get, path = "/v1/subscriptions", tag = "events",
    responses((status = 200, description = "`{\"subscriptions\": […]}`, by name.")))]
pub(crate) async fn list(State(api): State<Api>) -> Json<List> {
    let subscriptions = api.subscriptions.list().await;
    Json(List { subscriptions })
}

/// One subscription with its settings.
#[utoipa::path(get, path = "/v1/subscriptions/{name}", tag = "events", params(("name" = String, Path)),
    responses((status = 200, description = "The subscription."), (status = 404, description = "No such subscription.")))]
pub(crate) async fn show(State(api): State<Api>, Path(name): Path<SubscriptionName>) -> Answer<Json<Details>> {
    Ok(Json(api.subscriptions.show(&name).await?))
}

/// `{"action": "pause", "reason": "…"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActBody {
    action: ActionName,
    #[serde(default)]
    position: Option<u64>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ActionName {
    Pause,
    Resume,
    Reset,
}

fn operator(reason: String) -> Act {
    let who = OPERATOR.to_owned();
    Act { who, reason }
}

/// Tells those who look on what was done, and why.
fn told(api: &Api, name: &SubscriptionName, what: &str, reason: String) {
    let change = Change::new(api.clock.wall(), Kind::Action, name).to(what);
    api.live.changes().add(&change.why(Some(reason)));
}

/// Pauses, resumes or resets a subscription. Audited; a reset needs a paused subscription with nothing in flight.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/actions", tag = "events", params(("name" = String, Path)),
    request_body(content_type = "application/json", description = "`{\"action\": \"pause|resume|reset\", \"position\": 0, \"reason\": \"…\"}`"),
    responses((status = 200, description = "Done; the subscription."), (status = 409, description = "Not possible now.")))]
pub(crate) async fn act(
    State(api): State<Api>,
    Path(name): Path<SubscriptionName>,
    Json(body): Json<ActBody>,
) -> Answer<Json<Details>> {
    let (action, what) = match (body.action, body.position) {
        (ActionName::Pause, None) => (Action::Pause, "pause"),
        (ActionName::Resume, None) => (Action::Resume, "resume"),
        (ActionName::Reset, Some(position)) => (Action::Reset { position }, "reset"),
        _ => {
            return Err(Problem::bad_request(
                "position: `reset` needs it, no other action takes it",
            ));
        }
    };
    let act = operator(body.reason.clone());
    api.subscriptions.act(&name, action, act).await?;
    told(&api, &name, what, body.reason);
    Ok(Json(api.subscriptions.show(&name).await?))
}

/// `GET /v1/subscriptions/{name}/keys?…`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysQuery {
    state: Option<KeyState>,
    after: Option<String>,
    limit: Option<u32>,
}

/// A page of keys, by name; the last one's name goes on as `after`.
#[derive(Serialize)]
pub(crate) struct Keys {
    keys: Vec<KeyView>,
}

/// Keys whose events wait: parked, retrying or delayed.
#[utoipa::path(get, path = "/v1/subscriptions/{name}/keys", tag = "events",
    params(("name" = String, Path), ("state" = Option<String>, Query, description = "`parked`, `retrying` or `delayed`."),
        ("after" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, description = "`{\"keys\": […]}`, by name; an empty list is the end.")))]
pub(crate) async fn keys(
    State(api): State<Api>,
    Path(name): Path<SubscriptionName>,
    Query(query): Query<KeysQuery>,
) -> Answer<Json<Keys>> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if let Some(owner) = api.relays.owner(&name) {
        let keys = api.relays.keys(owner, query.state, query.after, limit).await?;
        return Ok(Json(Keys { keys }));
    }
    let keys = api
        .subscriptions
        .keys(&name, query.state, query.after.as_deref(), limit)
        .await?;
    Ok(Json(Keys { keys }))
}

/// One key with the events that wait under it, at most the first 100.
#[utoipa::path(get, path = "/v1/subscriptions/{name}/keys/{key}", tag = "events",
    params(("name" = String, Path), ("key" = String, Path)),
    responses((status = 200, description = "The key with its `queue`."), (status = 404, description = "Nothing waits under this key.")))]
pub(crate) async fn key(
    State(api): State<Api>,
    Path((name, key)): Path<(SubscriptionName, String)>,
) -> Answer<Json<KeyDetails>> {
    Ok(Json(match api.relays.owner(&name) {
        Some(owner) => api.relays.key(owner, &key).await?,
        None => api.subscriptions.key(&name, &key).await?,
    }))
}

/// `{"keys": ["order-1"], "type": "…", "rate": 50, "dry_run": true, "reason": "…"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedriveBody {
    keys: Option<Vec<String>>,
    #[serde(rename = "type")]
    kind: Option<String>,
    rate: Option<f64>,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    reason: String,
}

/// Tries parked keys anew, each in its order, so many events a second on average. Audited unless it is a dry run.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/redrive", tag = "events", params(("name" = String, Path)),
    request_body(content_type = "application/json", description = "`{\"keys\": […], \"type\": \"…\", \"rate\": 50, \"dry_run\": true, \"reason\": \"…\"}`; without `keys` and `type` all parked keys."),
    responses((status = 200, description = "`{\"keys\": n, \"events\": n, \"dry_run\": true}`.")))]
pub(crate) async fn redrive(
    State(api): State<Api>,
    Path(name): Path<SubscriptionName>,
    Json(body): Json<RedriveBody>,
) -> Answer<Json<Redrive>> {
    let RedriveBody {
        keys,
        kind,
        rate,
        dry_run,
        reason,
    } = body;
    let request = RedriveRequest {
        keys,
        kind,
        rate,
        dry_run,
    };
    let act = operator(reason.clone());
    let done = match api.relays.owner(&name) {
        Some(owner) => api.relays.redrive(owner, request, act).await?,
        None => api.subscriptions.redrive(&name, request, act).await?,
    };
    if !dry_run {
        told(&api, &name, "redrive", reason);
    }
    Ok(Json(done))
}

/// `{"action": "edit", "position": 7, "data": {…}, "reason": "…"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyBody {
    action: KeyActionName,
    position: u64,
    /// Kept as it was written.
    data: Option<Box<RawValue>>,
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeyActionName {
    Edit,
    Skip,
}

/// What was done.
#[derive(Serialize)]
pub(crate) struct Acted {
    key: String,
    position: u64,
}

/// Edits the data of one event that waits, or passes it over for good. Audited.
#[utoipa::path(post, path = "/v1/subscriptions/{name}/keys/{key}/actions", tag = "events",
    params(("name" = String, Path), ("key" = String, Path)),
    request_body(content_type = "application/json", description = "`{\"action\": \"edit|skip\", \"position\": 7, \"data\": {…}, \"reason\": \"…\"}`"),
    responses((status = 200, description = "Done: the key and the position."), (status = 404, description = "No such event waits."),
        (status = 409, description = "It is being delivered.")))]
pub(crate) async fn act_on_key(
    State(api): State<Api>,
    Path((name, key)): Path<(SubscriptionName, String)>,
    Json(body): Json<KeyBody>,
) -> Answer<Json<Acted>> {
    let (position, reason) = (body.position, body.reason);
    let (action, what) = match (body.action, body.data) {
        (KeyActionName::Edit, Some(data)) => {
            let data = data.get().into();
            (KeyAction::Edit { position, data }, "edit")
        }
        (KeyActionName::Skip, None) => (KeyAction::Skip { position }, "skip"),
        _ => return Err(Problem::bad_request("data: `edit` needs it, `skip` does not take it")),
    };
    let act = operator(reason.clone());
    match api.relays.owner(&name) {
        Some(owner) => api.relays.act_on_key(owner, &key, action, act).await?,
        None => api.subscriptions.act_on_key(&name, &key, action, act).await?,
    }
    told(&api, &name, what, reason);
    Ok(Json(Acted { key, position }))
}
