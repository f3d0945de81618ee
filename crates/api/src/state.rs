//! What the handlers reach: the handles of the rooms.

use crate::console::Sessions;
use crate::live::Live;
use ondol_core::clock::SharedClock;
use ondol_deploy::Deploy;
use ondol_deploy::configuration::Configurations;
use ondol_deploy::token::TokenKey;
use ondol_discovery::control::Proxies;
use ondol_events::reconcile::Reconciliations;
use ondol_events::relay::Relays;
use ondol_events::{Publisher, Streams, Subscriptions};
use ondol_saga::Sagas;
use ondol_telemetry::Red;
use serde_json::Value;
use std::ops::Deref;
use std::sync::{Arc, Mutex, RwLock};

/// Shared by every request: a clone counts one reference, however many handles are behind it.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

impl From<Parts> for Api {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The handles.
#[derive(Clone)]
pub struct Parts {
    /// Builds, instances, settings.
    pub deploy: Deploy,
    /// Sagas.
    pub sagas: Sagas,
    /// Event streams.
    pub streams: Streams,
    /// Published types, and publishing.
    pub publisher: Publisher,
    /// Events delivered to services.
    pub subscriptions: Subscriptions,
    /// Outboxes of services, published.
    pub relays: Relays,
    /// What services say of the same things, compared.
    pub reconciliations: Reconciliations,
    /// What proxies say.
    pub proxies: Proxies,
    /// What proxies counted.
    pub red: Arc<Mutex<Red>>,
    /// Makes and checks service tokens.
    pub tokens: TokenKey,
    /// The admin API's bearer token.
    pub admin_token: Arc<str>,
    /// Values of `Host` that are this API: `127.0.0.1:7070`, `localhost:7070`.
    pub hosts: Arc<[String]>,
    /// What changes, for those who look on.
    pub live: Live,
    /// Who is signed in to the console.
    pub sessions: Sessions,
    /// What holds for each route and which line of which file says so, of the plan that runs.
    pub explained: Arc<RwLock<Vec<Value>>>,
    /// What runs, what the files say, and what ran.
    pub configurations: Arc<dyn Configurations>,
    /// Time.
    pub clock: SharedClock,
}
