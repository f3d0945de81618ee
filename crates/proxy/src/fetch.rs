//! Key sets for token issuers, fetched from their services as the built-in caller `ondol`.

use crate::cluster::{Outcome, Way, Wish};
use crate::exchange::Response;
use crate::filter::auth::KeySource;
use crate::filter::keys;
use crate::message::{Body, Frame, RequestHead};
use crate::state::Worker;
use crate::tables::Target;
use crate::upstream::{self, Failure, Use};
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::Breaker;
use std::time::Duration;

/// Where the snapshot has no edge from `ondol` to the service, the defaults of `defaults.md` hold.
const BREAKER: Breaker = Breaker {
    failure_ratio: 0.5,
    minimum: 20,
    open_ms: 5_000,
};

/// For the head of the answer; shorter than what `filter::auth` gives the whole fetch, so that the instance's silence is
/// recorded before the fetch is given up.
const HEAD_LIMIT: Duration = Duration::from_secs(4);

/// Fetches through the pool and the clusters of a worker of its own.
pub struct Fetch(Worker);

impl Fetch {
    /// One that uses this worker, which serves nothing else.
    pub fn new(worker: Worker) -> Self {
        Self(worker)
    }

    fn way(&self, service: &ServiceName) -> Option<Way> {
        let (shared, ondol) = (self.0.shared(), ServiceName::ondol());
        let tables = shared.tables.load_full()?;
        let edge = tables
            .edges
            .iter()
            .find(|edge| edge.spec.caller == ondol && edge.spec.peer.is_none() && edge.spec.target == *service);
        match edge.map(|edge| &edge.target) {
            Some(Target::Service(way)) => Some(way.clone()),
            _ => shared.clusters.way(Some(&ondol), service, &BREAKER),
        }
    }
}

impl KeySource for Fetch {
    async fn fetch(&self, service: &ServiceName, path: &str) -> Result<Bytes, String> {
        self.0.pool.tidy();
        let way = self
            .way(service)
            .ok_or_else(|| format!("there is no service {service}"))?;
        let clock = &self.0.shared().clock;
        let begun = clock.mono();
        let mut permit = way
            .pick(begun, self.0.entropy(), &[], Wish::default())
            .map_err(|error| error.to_string())?;
        let mut head = RequestHead::new(Method::GET, service.as_str(), path).map_err(|error| error.to_string())?;
        head.fields.push("accept", "application/jwk-set+json, application/json");
        head.fields.push("ondol-caller", "ondol");
        let place = way.place(permit.endpoint());
        let asking = async {
            let ready = upstream::connect(&self.0.pool, &place, Use::First).await?;
            ready.exchange(&head, Body::Empty, false).await
        };
        let answer = tokio::time::timeout(HEAD_LIMIT, asking).await;
        let now = clock.mono();
        permit.report(outcome(&answer, now.saturating_sub(begun)), now, self.0.entropy());
        let Response { head, body, .. } = answer
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| error.to_string())?;
        if head.status != StatusCode::OK {
            return Err(format!("it answered {}", head.status));
        }
        whole(body).await
    }
}

/// What the fetch says of the instance, as any other call does.
fn outcome<T>(answer: &Result<Result<Response<'_>, Failure>, T>, took: Duration) -> Outcome {
    match answer {
        Ok(Ok(response)) => Outcome::Answered {
            status: response.head.status.as_u16(),
            took: Some(took),
            slow: false,
            retry_after: None,
        },
        Ok(Err(failure)) if failure.is_not_sent() => Outcome::NotSent,
        Ok(Err(_)) | Err(_) => Outcome::Broken,
    }
}

async fn whole(mut body: Body<'_>) -> Result<Bytes, String> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Frame::Data(data) = frame.map_err(|error| error.to_string())? {
            if bytes.len() + data.len() > keys::LARGEST {
                return Err(format!("the key set is larger than {} bytes", keys::LARGEST));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}
