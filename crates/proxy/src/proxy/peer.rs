//! What is particular to callers of other systems: their certificate says who they are, and little of what they say is believed.

use super::Front;
use crate::filter::{client, identity};
use crate::message::RequestHead;
use crate::tables::Tables;
use crate::tls;
use crate::tls::handshake::Session;
use ondol_core::id::ServiceName;

/// What a caller has left: it shortens ours and can do no harm.
const DEADLINE: &str = "ondol-deadline-ms";

/// What its sagas say of their own steps: no word on anybody else.
const OF_STEPS: [&str; 2] = ["ondol-op", "ondol-attempt"];

impl Front<'_> {
    /// The position of the edge by which this connection's caller comes to what it asks for; `None`: it may not, or its certificate
    /// has ended meanwhile.
    pub(super) fn visits(&self, tables: &Tables) -> Option<usize> {
        let session = self.tls.as_ref()?;
        let now = self.worker.shared().clock.wall();
        let holds = session.client_until.is_some_and(|until| now <= until);
        tables
            .visitors
            .edge(session.client.as_deref()?, session.server()?)
            .filter(|_| holds)
    }
}

/// Takes away what another system says of users, priorities and clients' addresses, which only our own gateway and services may; and
/// writes down who calls by its certificate.
pub(super) fn forget(head: &mut RequestHead, caller: &ServiceName, session: Option<&Session>) {
    let steps = OF_STEPS.iter().filter(|_| *caller == ServiceName::ondol());
    let kept: Vec<_> = steps
        .chain([&DEADLINE])
        .filter_map(|name| Some((*name, head.fields.get_str(name)?.to_owned())))
        .collect();
    identity::strip(&mut head.fields);
    client::forget_claims(&mut head.fields);
    for (name, value) in kept {
        head.fields.push(name, value);
    }
    if let Some(caller) = session.and_then(|session| session.client.as_deref()) {
        head.fields.push(tls::identity::FIELD, caller);
    }
}
