//! What is particular to callers of other systems: their certificate says who they are, and little of what they say is believed.

use super::Front;
use crate::filter::identity;
use crate::message::RequestHead;
use crate::tables::Tables;
use crate::tls;
use crate::tls::handshake::Session;

/// What a caller has left: it shortens ours and can do no harm.
const DEADLINE: &str = "ondol-deadline-ms";

impl Front<'_> {
    /// The position of the edge by which this connection's caller comes to what it asks for; `None`: it may not.
    pub(super) fn visits(&self, tables: &Tables) -> Option<usize> {
        let session = self.tls.as_ref()?;
        tables.visitors.edge(session.client.as_deref()?, session.server()?)
    }
}

/// Takes away what another system says of users, priorities and attempts, which only our own gateway and services may; and writes
/// down who calls by its certificate.
pub(super) fn forget(head: &mut RequestHead, session: Option<&Session>) {
    let left = head.fields.get_str(DEADLINE).map(str::to_owned);
    identity::strip(&mut head.fields);
    if let Some(left) = left {
        head.fields.push(DEADLINE, left);
    }
    if let Some(caller) = session.and_then(|session| session.client.as_deref()) {
        head.fields.push(tls::identity::FIELD, caller);
    }
}
