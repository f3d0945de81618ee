//! Where a route's requests go, as the proxy takes it.

use super::route::field_changes;
use crate::doc::route::RouteDoc;
use crate::doc::traffic::{CorsDoc, SessionDoc};
use crate::source::At;
use crate::value::CorsName;
use ondol_core::id::ServiceName;
use ondol_core::wire::proxy::{Action, Backend, Cors, Mirror, Session, SessionKind};

/// To the backends, and where there are none to the route's own service.
pub(super) fn forward(service: &ServiceName, route: &RouteDoc) -> Action {
    if route.backends.is_empty() {
        return Action::forward(service.clone());
    }
    let backends = route.backends.iter().map(|doc| Backend {
        service: doc.service.value.clone(),
        weight: doc.weight.value,
        request_fields: doc.request_headers.as_ref().map(field_changes).unwrap_or_default(),
        response_fields: doc.response_headers.as_ref().map(field_changes).unwrap_or_default(),
    });
    Action::Forward(backends.collect())
}

pub(super) fn mirrors(route: &RouteDoc) -> Vec<Mirror> {
    let mirrors = route.mirrors.iter().map(|doc| Mirror {
        service: doc.service.value.clone(),
        share: doc.share.value.0,
    });
    mirrors.collect()
}

pub(super) fn cors(doc: &CorsDoc) -> Cors {
    let names = |names: &[At<CorsName>]| names.iter().map(|name| name.value.0.clone()).collect();
    Cors {
        allow_origins: doc.allow_origins.iter().map(|origin| origin.value.0.clone()).collect(),
        allow_methods: doc.allow_methods.iter().map(|method| method.value.0.clone()).collect(),
        allow_headers: names(&doc.allow_headers),
        expose_headers: names(&doc.expose_headers),
        allow_credentials: doc.allow_credentials.value,
        max_age_s: doc.max_age.value.0 / 1_000,
    }
}

/// `None` where it has no name, which a check refuses.
pub(super) fn session(doc: &SessionDoc) -> Option<Session> {
    let cookie = doc.cookie.as_ref().map(|name| (SessionKind::Cookie, &name.value.0));
    let header = doc.header.as_ref().map(|name| (SessionKind::Header, &name.value.0));
    let (kind, name) = cookie.or(header)?;
    Some(Session {
        kind,
        name: name.clone(),
        absolute_timeout_ms: doc.absolute_timeout.map(|most| most.value.0),
        idle_timeout_ms: doc.idle_timeout.map(|most| most.value.0),
        permanent: doc.permanent.value,
    })
}
