//! The configuration: what runs and ran, what another one would change, and taking it.

use crate::live::changes::{Change, Kind};
use crate::problem::Answer;
use crate::state::Api;
use axum::Json;
use axum::extract::State;
use ondol_core::wire::proxy::{FieldChanges, RouteMatch, ValueMatch};
use ondol_core::wire::supervision::Readiness;
use ondol_deploy::arguments;
use ondol_deploy::config::SystemPlan;
use ondol_deploy::configuration::{Order, Running};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What runs, without what may be secret, and what ran.
#[derive(Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    plan: SystemPlan,
    #[serde(flatten)]
    running: Running,
    /// Newest first: `revision`, `at`, `by` (`start`, `watch`, `apply`, `rollback`), `of` for a rollback, `only`.
    revisions: Vec<Value>,
}

/// What to take.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
    /// Go back to this one. Absent: what the files say.
    revision: Option<Which>,
}

/// Which revision.
#[derive(Deserialize)]
#[serde(untagged)]
enum Which {
    Number(u64),
    Word(Previous),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Previous {
    Previous,
}

impl Asked {
    fn order(&self) -> Order {
        match self.revision {
            None => Order::Apply,
            Some(Which::Number(number)) => Order::Rollback(Some(number)),
            Some(Which::Word(Previous::Previous)) => Order::Rollback(None),
        }
    }
}

/// The effective configuration: builds, services, policies; its revision and those before it. Environment values, connection
/// strings, and values of the header fields that routes set or ask for are left out, since they may hold secrets; of commands those arguments
/// that look like secrets, or all of them where a variable or a file is named.
#[utoipa::path(get, path = "/v1/config", tag = "system", responses((status = 200, description = "The plan, `revision`, \
    `rolled_back_to` where it is not what the files say, and `revisions`, newest first.")))]
pub(crate) async fn show(State(api): State<Api>) -> Answer<Json<Shown>> {
    let mut plan = (*api.deploy.plan()).clone();
    plan.store = redacted(&plan.store);
    let builds = plan.builds.values_mut();
    builds.for_each(|build| build.argv = arguments::command(&build.argv, build.refers));
    for service in &mut plan.services {
        service.env.values_mut().for_each(|value| *value = HIDDEN.into());
        service.database = service.database.as_deref().map(redacted);
        service.run = arguments::command(&service.run, service.refers);
        if let Readiness::Exec(argv) = &mut service.ready {
            *argv = arguments::command(argv, service.refers);
        }
        for route in &mut service.routes {
            hide_values(&mut route.request_fields);
            hide_values(&mut route.response_fields);
            hide_matches(&mut route.matches);
        }
    }
    let configurations = api.configurations.clone();
    let (running, revisions) = blocking(move || (configurations.running(), configurations.revisions())).await?;
    Ok(Json(Shown {
        plan,
        running,
        revisions,
    }))
}

/// Stands for a value that is not shown.
const HIDDEN: &str = "…";

fn hide_values(changes: &mut FieldChanges) {
    let values = changes.set.iter_mut().chain(&mut changes.add);
    values.for_each(|(_, value)| *value = HIDDEN.into());
}

fn hide_matches(matches: &mut RouteMatch) {
    let values = matches.headers.iter_mut().chain(&mut matches.query);
    values.for_each(|(_, value)| *value = ValueMatch::Exact(HIDDEN.into()));
}

/// Only the kind of a connection string.
fn redacted(url: &str) -> String {
    format!("{}:…", url.split(':').next().unwrap_or_default())
}

/// Takes what the files say, or goes back to a revision; or says what that would change. The files are read by the controller,
/// on its machine and in the environment that the system was started in.
#[utoipa::path(post, path = "/v1/config", tag = "system",
    request_body(content_type = "application/json", description = "`{}` takes the files; `{\"revision\": 7}` or \
        `{\"revision\": \"previous\"}` goes back; `\"dry_run\": true` changes nothing."),
    responses((status = 200, description = "`changes`, by service, route and key; `taken`, and the `revision` that runs now, \
        which is durable."),
        (status = 404, description = "There is no such revision."),
        (status = 409, description = "A revision of other services, or an address to listen at is held by somebody. Nothing has changed."),
        (status = 422, description = "The manifests are broken; `findings` has every error. Nothing has changed."),
        (status = 503, description = "A build goes on, or it cannot be written down. Nothing has changed.")))]
pub(crate) async fn take(State(api): State<Api>, Json(asked): Json<Asked>) -> Answer<Json<Value>> {
    let order = asked.order();
    if asked.dry_run {
        let configurations = api.configurations.clone();
        let (running, proposed) = blocking(move || (configurations.running(), configurations.propose(order))).await?;
        return Ok(Json(answer(proposed?, false, running)));
    }
    let taken = api.deploy.configure(order).await?;
    let to = match order {
        Order::Rollback(_) => format!("rollback, revision {}", taken.running.revision),
        Order::Apply | Order::Changed => format!("apply, revision {}", taken.running.revision),
    };
    let change = Change::new(api.clock.wall(), Kind::Action, "configuration").to(to);
    api.live.changes().add(&change);
    Ok(Json(answer(taken.answer, true, taken.running)))
}

fn answer(mut changes: Value, taken: bool, running: Running) -> Value {
    changes["taken"] = json!(taken);
    changes["revision"] = json!(running.revision);
    changes["rolled_back_to"] = json!(running.rolled_back_to);
    changes
}

/// Reads of files would hold up every other request of the thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ondol_deploy::handle::Refused::Stopping.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::wire::proxy::PathMatch;

    #[test]
    fn what_is_asked_is_one_of_three_things_and_nothing_else_is_read() {
        let order = |text: &str| serde_json::from_str::<Asked>(text).map(|asked| (asked.order(), asked.dry_run));
        assert_eq!(order("{}").expect("read"), (Order::Apply, false));
        let back = order("{\"revision\":7,\"dry_run\":true}").expect("read");
        assert_eq!(back, (Order::Rollback(Some(7)), true));
        let back = order("{\"revision\":\"previous\"}").expect("read");
        assert_eq!(back, (Order::Rollback(None), false));
        for bad in ["{\"revision\":\"last\"}", "{\"revision\":-1}", "{\"dry\":true}"] {
            assert!(order(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_are_shown_without_their_values() {
        let pair = |value: &str| ("x-key".to_owned(), value.to_owned());
        let mut changes = FieldChanges {
            remove: vec!["x-old".into()],
            set: vec![pair("secret")],
            add: vec![pair("secret")],
        };
        hide_values(&mut changes);
        let hidden = (vec![pair(HIDDEN)], vec![pair(HIDDEN)]);
        assert_eq!(
            (changes.remove, (changes.set, changes.add)),
            (vec!["x-old".to_owned()], hidden)
        );
        let value = |value: ValueMatch| vec![("x-key".to_owned(), value)];
        let mut matches = RouteMatch {
            path: PathMatch::Prefix("/a".into()),
            methods: vec![],
            hosts: vec![],
            headers: value(ValueMatch::Exact("secret".into())),
            query: value(ValueMatch::Regex("secret".into())),
        };
        hide_matches(&mut matches);
        let hidden = value(ValueMatch::Exact(HIDDEN.into()));
        assert_eq!((matches.headers, matches.query), (hidden.clone(), hidden));
    }

    #[test]
    fn only_the_kind_of_a_connection_string_is_shown() {
        assert_eq!(redacted("postgres://me:secret@host/db"), "postgres:…");
    }
}
