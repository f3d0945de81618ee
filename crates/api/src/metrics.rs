//! `GET /metrics`: Prometheus text for the whole system.

use crate::problem::Answer;
use crate::state::Api;
use axum::extract::State;
use http::header;
use ondol_core::engine::{StoreSize, Table};
use ondol_core::wire::supervision::Phase;
use ondol_events::reconcile;
use ondol_events::subscription::phase::Mode;
use ondol_events::subscription::view::View;
use ondol_saga::query::Stats;
use ondol_telemetry::exposition::{self, Page};
use std::sync::PoisonError;

/// Prometheus text, version 0.0.4.
#[utoipa::path(get, path = "/metrics", tag = "metrics", responses((status = 200, description = "Prometheus text.")))]
pub(crate) async fn metrics(State(api): State<Api>) -> Answer<([(header::HeaderName, &'static str); 1], String)> {
    let mut page = Page::default();
    {
        let red = api.red.lock().unwrap_or_else(PoisonError::into_inner);
        exposition::traffic(&mut page, &red);
        exposition::tls(&mut page, &red);
    }
    instances(&mut page, &api);
    let stats = api.sagas.stats().await?;
    sagas(&mut page, &stats);
    store(&mut page, &stats.store);
    subscriptions(&mut page, &api).await;
    outboxes(&mut page, &api);
    reconciliations(&mut page, &api).await;
    Ok((
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        page.finish(),
    ))
}

fn instances(page: &mut Page, api: &Api) {
    let status = api.deploy.status();
    page.family(
        "ondol_instances_wanted",
        "gauge",
        "Instances that a service should have.",
    );
    for service in &status.services {
        page.sample(
            "ondol_instances_wanted",
            &[("service", service.service.as_str())],
            service.wanted,
        );
    }
    page.family(
        "ondol_instances_ready",
        "gauge",
        "Instances of the wanted release that are ready.",
    );
    for service in &status.services {
        page.sample(
            "ondol_instances_ready",
            &[("service", service.service.as_str())],
            service.ready,
        );
    }
    page.family("ondol_instance_up", "gauge", "1 while the instance is ready.");
    for fact in status.services.iter().flat_map(|service| &service.instances) {
        let (service, id) = (fact.id.service.as_str(), fact.id.to_string());
        let labels = [
            ("service", service),
            ("instance", id.as_str()),
            ("release", fact.release.as_str()),
        ];
        page.sample("ondol_instance_up", &labels, u8::from(fact.phase == Phase::Ready));
    }
    page.family("ondol_instance_restarts_total", "counter", "Starts beyond the first.");
    for fact in status.services.iter().flat_map(|service| &service.instances) {
        let (service, id) = (fact.id.service.as_str(), fact.id.to_string());
        page.sample(
            "ondol_instance_restarts_total",
            &[("service", service), ("instance", &id)],
            fact.restarts,
        );
    }
}

fn sagas(page: &mut Page, stats: &Stats) {
    page.family(
        "ondol_sagas",
        "gauge",
        "Sagas by state; of those that ended only this controller's.",
    );
    for (state, count) in &stats.phases {
        page.sample("ondol_sagas", &[("state", state)], count);
    }
    page.family("ondol_sagas_active", "gauge", "Sagas in memory now.")
        .sample("ondol_sagas_active", &[], stats.active);
    for (name, help, value) in [
        (
            "ondol_saga_starts_total",
            "Sagas started by this controller.",
            stats.started,
        ),
        (
            "ondol_saga_joins_total",
            "Starts that joined a saga by their key.",
            stats.joined,
        ),
        ("ondol_saga_commits_total", "Commits of sagas.", stats.commits),
        (
            "ondol_saga_calls_total",
            "Calls of participants, polls too.",
            stats.calls,
        ),
        (
            "ondol_sagas_unreadable_total",
            "Sagas whose stored form could not be read; must be 0.",
            stats.unreadable,
        ),
    ] {
        page.family(name, "counter", help).sample(name, &[], value);
    }
}

/// Labels are names of the manifests and words of the platform: as many as were declared.
async fn subscriptions(page: &mut Page, api: &Api) {
    let views = api.subscriptions.list().await;
    let mut gauge = |name, help, value: fn(&View) -> u64| {
        page.family(name, "gauge", help);
        for view in &views {
            page.sample(name, &[("subscription", &view.name)], value(view));
        }
    };
    gauge(
        "ondol_subscription_lag_events",
        "Events of the log that it has not passed.",
        |view| view.lag,
    );
    gauge("ondol_subscription_in_flight", "Events under way.", |view| {
        view.in_flight as u64
    });
    gauge(
        "ondol_subscription_at_once",
        "How many of the window may be under way now; fewer than `parallel` while it catches up.",
        |view| view.at_once as u64,
    );
    gauge("ondol_subscription_parked_events", "Events of parked keys.", |view| {
        view.parked_events as u64
    });
    gauge(
        "ondol_subscription_running",
        "1 while it runs; 0 while it is full, waiting, misconfigured or paused.",
        |view| u64::from(view.state == Mode::Running),
    );
    gauge(
        "ondol_subscription_full",
        "1 while dead letters keep it from reading on.",
        |view| u64::from(view.state == Mode::Full),
    );
    page.family("ondol_subscription_keys", "gauge", "Keys whose events wait, by state.");
    for view in &views {
        for (state, keys) in [
            ("retrying", view.retrying_keys),
            ("parked", view.parked_keys),
            ("delayed", view.delayed_keys),
        ] {
            let labels = [("subscription", view.name.as_str()), ("state", state)];
            page.sample("ondol_subscription_keys", &labels, keys);
        }
    }
    page.family("ondol_subscription_delivered_total", "counter", "Events acknowledged.");
    for view in &views {
        page.sample(
            "ondol_subscription_delivered_total",
            &[("subscription", &view.name)],
            view.delivered,
        );
    }
    page.family(
        "ondol_subscription_attempts_total",
        "counter",
        "Attempts by what they came to, of this controller.",
    );
    for (name, outcomes) in api.subscriptions.outcomes() {
        for (outcome, count) in outcomes {
            let labels = [("subscription", name.as_str()), ("outcome", outcome)];
            page.sample("ondol_subscription_attempts_total", &labels, count);
        }
    }
}

fn outboxes(page: &mut Page, api: &Api) {
    let figures = api.relays.figures();
    page.family(
        "ondol_outbox_published_total",
        "counter",
        "Rows published as events, by this controller.",
    );
    for (service, published, _) in &figures {
        page.sample("ondol_outbox_published_total", &[("service", service)], published);
    }
    page.family(
        "ondol_outbox_poisoned_rows",
        "gauge",
        "Rows that wait for a person, and those behind them.",
    );
    for (service, _, held) in &figures {
        page.sample("ondol_outbox_poisoned_rows", &[("service", service)], held);
    }
}

/// `name` is one of the manifests': as many as were declared.
async fn reconciliations(page: &mut Page, api: &Api) {
    let views = api.reconciliations.list().await;
    page.family(
        "ondol_reconcile_drifts",
        "gauge",
        "Keys of which services disagree, seen by two runs.",
    );
    for view in &views {
        page.sample("ondol_reconcile_drifts", &[("name", &view.name)], view.reported);
    }
    page.family(
        "ondol_reconcile_state",
        "gauge",
        "1 for what is known since the last run.",
    );
    for view in &views {
        for state in reconcile::State::ALL {
            let labels = [("name", view.name.as_str()), ("state", state.as_str())];
            page.sample("ondol_reconcile_state", &labels, u8::from(view.state == state));
        }
    }
    page.family(
        "ondol_reconcile_last_run_timestamp_seconds",
        "gauge",
        "When the last run began; absent before the first.",
    );
    for view in &views {
        if let Some(at) = view.last_run {
            let labels = [("name", view.name.as_str())];
            page.sample("ondol_reconcile_last_run_timestamp_seconds", &labels, at.0 / 1_000);
        }
    }
}

fn store(page: &mut Page, size: &StoreSize) {
    page.family("ondol_store_bytes", "gauge", "Bytes that the store takes.")
        .sample("ondol_store_bytes", &[], size.bytes);
    page.family("ondol_store_records_total", "counter", "Last position of the log.");
    page.sample("ondol_store_records_total", &[], size.records);
    page.family("ondol_store_events_total", "counter", "Last position of the event log.");
    page.sample("ondol_store_events_total", &[], size.events);
    page.family(
        "ondol_store_rows",
        "gauge",
        "Rows by table; start keys and final answers are kept for ever.",
    );
    for (table, rows) in Table::ALL.iter().zip(&size.rows) {
        let name = format!("{table:?}").to_lowercase();
        page.sample("ondol_store_rows", &[("table", &name)], rows);
    }
}
