//! The carriers, asked as their contract says (`shop/services/carriers/proto`): gRPC through the mesh.
//!
//! They are slow, not always there, and somebody else's: every call has a deadline, and what they say is checked before it is
//! kept. The mesh neither retries nor ends these calls (their service declares streams), so both are done here and by the caller.
//!
//! `v1` is generated from the contract; `tests/contract.rs` makes it and checks that it is current.

#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated from the contract, which documents it"
)]
#[rustfmt::skip]
pub mod v1;

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tokio::sync::mpsc::Receiver;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use v1::carriers_client::CarriersClient;
use v1::{BookRequest, FollowRequest, FollowResponse, Offer, QuoteRequest};

/// For one answer. Above what the carriers usually take, a quarter of a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// For a connection to the mesh, which is on this machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Largest message, in bytes; the contract's are some hundreds.
const MAX_MESSAGE: usize = 64 * 1024;
/// Longest name of a carrier or place that is kept, in characters.
const MAX_NAME: usize = 100;

/// A client. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Carriers(CarriersClient<Channel>);

/// A carrier has the parcel and promises to deliver it between these days, such as `2026-11-24`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Promise {
    /// Who.
    pub carrier: String,
    /// From this day on.
    pub earliest: String,
    /// Until this day.
    pub latest: String,
}

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CarriersError {
    /// They will never take this parcel.
    #[error("the carriers refuse: {0}")]
    Refused(String),
    /// Not now. What they did is unknown, and asking again does no harm.
    #[error("no answer from the carriers: {0}")]
    Unavailable(String),
    /// An answer that the contract does not allow.
    #[error("the carriers said what makes no sense: {0}")]
    Nonsense(&'static str),
}

impl From<Status> for CarriersError {
    fn from(status: Status) -> Self {
        let text = format!("{:?}: {}", status.code(), status.message());
        match status.code() {
            Code::InvalidArgument | Code::AlreadyExists => Self::Refused(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl Carriers {
    /// The client of the carriers at `url`, such as `http://127.0.0.1:20001`. Connects when it is first used. Must be called
    /// within the runtime.
    ///
    /// # Errors
    /// For what is no URL.
    pub fn new(url: String) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url)?.connect_timeout(CONNECT_WITHIN);
        let client = CarriersClient::new(endpoint.connect_lazy());
        Ok(Self(
            client
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE),
        ))
    }

    /// Gives the parcel to the carrier that would deliver it first. A parcel that has been booked keeps its booking.
    ///
    /// # Errors
    /// [`CarriersError`].
    ///
    /// # Drop
    /// It may have been booked; asking again finds that booking.
    pub async fn book(&self, parcel: &str, pieces: i32) -> Result<Promise, CarriersError> {
        let quote = QuoteRequest {
            parcel: parcel.to_owned(),
            pieces,
        };
        let quote = answer(self.0.clone().quote(bounded(quote))).await?;
        let best = quote
            .offers
            .into_iter()
            .next()
            .ok_or(CarriersError::Nonsense("no offer"))?;
        let book = BookRequest {
            parcel: parcel.to_owned(),
            pieces,
            carrier: best.carrier,
        };
        let booked = answer(self.0.clone().book(bounded(book))).await?;
        promise(booked.promise.ok_or(CarriersError::Nonsense("no promise"))?)
    }

    /// The two-way stream: `changes` go out as they come, and what happens to the parcels comes in.
    ///
    /// # Errors
    /// [`CarriersError`] when it does not begin in time.
    ///
    /// # Drop
    /// Dropping the answer ends the stream.
    pub async fn follow(
        &self,
        changes: Receiver<FollowRequest>,
    ) -> Result<impl Stream<Item = Result<FollowResponse, Status>> + Send + use<>, CarriersError> {
        let outgoing = stream::unfold(
            changes,
            |mut changes| async move { Some((changes.recv().await?, changes)) },
        );
        let news: Streaming<FollowResponse> = answer(self.0.clone().follow(outgoing)).await?;
        Ok(news)
    }
}

/// A request whose deadline the carriers know, too.
fn bounded<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_WITHIN);
    request
}

/// The deadline counts here whatever the other side does with it: a stopped process does nothing.
async fn answer<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, CarriersError> {
    match tokio::time::timeout(ANSWER_WITHIN, call).await {
        Ok(answered) => Ok(answered?.into_inner()),
        Err(_) => Err(CarriersError::Unavailable(format!("nothing within {ANSWER_WITHIN:?}"))),
    }
}

fn promise(offer: Offer) -> Result<Promise, CarriersError> {
    if !is_day(&offer.earliest) || !is_day(&offer.latest) || offer.latest < offer.earliest {
        return Err(CarriersError::Nonsense("a promise without days"));
    }
    Ok(Promise {
        carrier: short(&offer.carrier),
        earliest: offer.earliest,
        latest: offer.latest,
    })
}

/// Of the form `2026-11-24`.
fn is_day(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| {
            if matches!(place, 4 | 7) {
                byte == b'-'
            } else {
                byte.is_ascii_digit()
            }
        })
}

/// A name as long as one may be.
pub(crate) fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_needs_two_days_in_order() {
        let offer = |earliest: &str, latest: &str| Offer {
            carrier: "c".repeat(1_000),
            earliest: earliest.into(),
            latest: latest.into(),
        };
        let kept = promise(offer("2026-11-24", "2026-11-24")).unwrap();
        assert_eq!((kept.carrier.len(), kept.latest.as_str()), (MAX_NAME, "2026-11-24"));
        for (earliest, latest) in [
            ("2026-11-24", "2026-11-23"),
            ("soon", "later"),
            ("", ""),
            ("2026-11-2x", "2026-11-24"),
        ] {
            assert!(promise(offer(earliest, latest)).is_err(), "{earliest} to {latest}");
        }
    }
}
