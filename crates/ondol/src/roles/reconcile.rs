//! The saga engine as reconciliations need it: a source, and what mends.

use ondol_core::BoxFuture;
use ondol_core::id::SagaName;
use ondol_events::reconcile::{self, Started, Wish};
use ondol_saga::start::scope;
use ondol_saga::{Sagas, StartRequest};
use std::time::Duration;

/// A start of which it is not known whether it was kept; under its key it can be asked for again.
const DOUBTFUL: &str = "SG-011";

pub(super) struct SagaPort(pub(super) Sagas);

impl reconcile::Sagas for SagaPort {
    fn of(&self, saga: SagaName, after: Option<String>, limit: u32) -> BoxFuture<Result<Vec<Started>, String>> {
        let sagas = self.0.clone();
        Box::pin(async move {
            // Of a definition that is not run here nothing is known: `--only` may have left it out.
            let mut plans = sagas.definitions().into_iter();
            if !plans.any(|plan| plan.definition.saga == saga) {
                return Err(format!("there is no saga {saga} here"));
            }
            let found = sagas.of(&saga, after, limit).await.map_err(|error| error.to_string())?;
            let started = found.into_iter().map(|saga| Started {
                id: saga.id,
                at: saga.updated_at,
                state: saga.state,
            });
            Ok(started.collect())
        })
    }

    fn start(&self, wish: Wish) -> BoxFuture<Result<String, String>> {
        let sagas = self.0.clone();
        Box::pin(async move {
            let [name, key, since] = &wish.key;
            let request = StartRequest {
                saga: wish.saga,
                scope: scope(&["reconciliation", name, key]),
                key: Some(since.clone()),
                key_required: true,
                body: wish.input.to_string().into(),
                auth: None,
                correlation: Some(wish.correlation),
                causation: None,
                traceparent: None,
                wait: Duration::ZERO,
            };
            let answer = sagas.start(request).await;
            let doubtful = answer.code.as_ref().is_some_and(|code| code.as_str() == DOUBTFUL);
            match answer.saga.filter(|_| !doubtful) {
                Some(id) => Ok(id.to_string()),
                None => Err(refused(&answer.body)),
            }
        })
    }
}

/// The code and the detail of a problem document.
fn refused(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| problem[name].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("code"), text("detail"))
}
