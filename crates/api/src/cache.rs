//! Kept answers of services: dropping them in every proxy.

use crate::live::changes::{Change, Kind};
use crate::problem::{Answer, Problem};
use crate::state::Api;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use ondol_core::error::ErrorCode;
use ondol_core::wire::proxy::Purge;
use serde::Serialize;

/// What has gone.
#[derive(Serialize)]
pub(crate) struct Dropped {
    /// Kept answers, over all proxies.
    dropped: u64,
    /// Proxies that were asked, and said so.
    proxies: usize,
}

/// Drops kept answers in every proxy, and says how many once they have gone. What was asked for before is not kept after it.
#[utoipa::path(post, path = "/v1/cache/purge", tag = "system",
    request_body(content_type = "application/json", description = "`{}` drops all; `\"service\"` those of one service; `\"path\"` those of one \
        path as the service gets it, whatever the query, or with `/*` at its end of all below it."),
    responses((status = 200, description = "`dropped`: how many; `proxies`: how many said so."),
        (status = 400, description = "The path can fit nothing."),
        (status = 404, description = "No such service."),
        (status = 503, description = "A proxy did not say so in time, or none is there; what it keeps may still be given.")))]
pub(crate) async fn purge(State(api): State<Api>, Json(purge): Json<Purge>) -> Answer<Json<Dropped>> {
    let refused = |why| Problem::bad_request(format!("path {:?}: {why}", purge.path.as_deref().unwrap_or_default()));
    // As a proxy of an older version knows it too.
    let purge = purge.canonical().map_err(refused)?;
    if let Some(name) = &purge.service {
        let plan = api.deploy.plan();
        let here = plan.services.iter().any(|service| service.service == *name);
        if !here && !plan.elsewhere().any(|(_, service)| service.service == *name) {
            return Err(Problem::not_found(format!("there is no service {name}")));
        }
    }
    let purged = api.proxies.purge(&purge).await;
    let all = purged.proxies + purged.silent;
    let name = purge.service.as_ref().map_or("cache", |service| service.as_str());
    let mut what = format!(
        "purge of kept answers, {}",
        purge.path.as_deref().unwrap_or("everything")
    );
    if purged.silent > 0 {
        what.push_str(&format!(", by {} of {all} proxies", purged.proxies));
    }
    if purged.proxies > 0 {
        let change = Change::new(api.clock.wall(), Kind::Action, name);
        api.live.changes().add(&change.to(what));
    }
    if purged.silent > 0 || purged.proxies == 0 {
        let detail = format!(
            "{} of {all} proxies said that they dropped what they keep ({} answers); ask again",
            purged.proxies, purged.dropped
        );
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::new("AP-008"), detail);
        return Err(Problem {
            retry_after: Some(1),
            ..problem
        });
    }
    Ok(Json(Dropped {
        dropped: purged.dropped,
        proxies: purged.proxies,
    }))
}
