//! Asks the carriers, beside everything else: books parcels that were handed over, and follows those on their way.
//!
//! Never in the way of the saga: what is to do are rows, not calls; calls are at most [`AT_ONCE`]; and the one writer of the
//! database is asked for little, a transaction for many parcels and a [`BREATH`] after each.
//!
//! What must hold
//! - While the carriers are away or hang, this waits and tries again, at most every [`LONGEST_PAUSE`], and nothing else notices.
//! - At most [`FOLLOWED`] parcels are followed at a time, the first booked first; one that has been delivered makes room.
//! - Nothing is kept in memory that is not in the rows: after a crash this begins again from them.
//!
//! Of several instances one does this, by a lease in the database.
//! Tests: `tests/carriers.rs`, with the real carriers, killed and stopped.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::{self, Sender};
use tokio::time::{Instant, MissedTickBehavior};
use tonic::Status;

use crate::carriers::v1::follow_request::Change;
use crate::carriers::v1::follow_response::News;
use crate::carriers::v1::{self, FollowRequest, FollowResponse, TrackRequest};
use crate::carriers::{Carriers, CarriersError, Promise};
use crate::deliveries::{Deliveries, RowsError, Unbooked};

/// How often the rows are looked at for what is new; also the first pause after a failure, doubled by each that follows.
const TICK: Duration = Duration::from_secs(1);
/// Largest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Parcels of one round of bookings.
const ROUND: i64 = 64;
/// Calls at a time.
const AT_ONCE: usize = 16;
/// Parcels followed at a time: the contract's bound.
const FOLLOWED: usize = 10_000;
/// Changes of the stream that the carriers have not read yet.
const CHANGES: usize = 512;
/// News taken in by one transaction.
const NEWS: usize = 256;
/// Pause after a transaction.
const BREATH: Duration = Duration::from_millis(100);
/// The carriers say at least every 15 s that they live; silent for so long, they do not.
const SILENCE: Duration = Duration::from_secs(45);

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum CourierError {
    #[error(transparent)]
    Carriers(#[from] CarriersError),
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error("the carriers have been silent for {SILENCE:?}")]
    Silent,
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Courier {
    deliveries: Deliveries,
    carriers: Carriers,
    name: String,
}

impl Courier {
    /// For the parcels of these rows.
    pub fn new(deliveries: Deliveries, carriers: Carriers) -> Self {
        let name = uuid::Uuid::new_v4().to_string();
        Self {
            deliveries,
            carriers,
            name,
        }
    }

    /// Does its work for ever.
    ///
    /// # Drop
    /// At any moment: what was not written down is asked for again.
    pub async fn run(self) -> Infallible {
        let (booking, following) = (self.clone(), self);
        let booking = again("booking parcels", || booking.book());
        let following = again("following parcels", || following.follow());
        tokio::select! {
            never = booking => never,
            never = following => never,
        }
    }

    /// Books what is to be booked, until nothing is left or the carriers cannot.
    async fn book(&self) -> Result<(), CourierError> {
        while self.deliveries.lease(&self.name).await? {
            let round = self.deliveries.unbooked(ROUND).await?;
            if round.is_empty() {
                break;
            }
            let mut asking = stream::iter(round)
                .map(|parcel| self.ask(parcel))
                .buffer_unordered(AT_ONCE);
            let (mut answers, mut failed) = (Vec::new(), None);
            while let Some((tracking, answer)) = asking.next().await {
                let kept = answer.map_err(|error| failed = Some(error));
                answers.push((tracking, kept));
                // Where one finds nobody the others would, too.
                if failed.is_some() {
                    break;
                }
            }
            self.deliveries.asked(&answers).await?;
            if let Some(error) = failed {
                return Err(error.into());
            }
            tokio::time::sleep(BREATH).await;
        }
        Ok(())
    }

    async fn ask(&self, parcel: Unbooked) -> (String, Result<Option<Promise>, CarriersError>) {
        // More than a carrier takes is refused by them, however much more.
        let pieces = i32::try_from(parcel.pieces).unwrap_or(i32::MAX);
        let answer = match self.carriers.book(&parcel.tracking, pieces).await {
            Ok(promise) => Ok(Some(promise)),
            Err(CarriersError::Refused(why)) => {
                tracing::warn!(parcel = parcel.tracking, why, "no carrier takes this parcel");
                Ok(None)
            }
            Err(error) => Err(error),
        };
        (parcel.tracking, answer)
    }

    /// Follows parcels until the stream ends.
    async fn follow(&self) -> Result<(), CourierError> {
        if !self.deliveries.lease(&self.name).await? {
            return Ok(());
        }
        let (changes, outgoing) = mpsc::channel(CHANGES);
        let news = self.carriers.follow(outgoing).await?.ready_chunks(NEWS);
        let mut news = pin!(news);
        let mut following = Following::new(changes);
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                said = news.next() => {
                    let Some(said) = said else { return Ok(()) };
                    heard = Instant::now();
                    if !self.take(said, &mut following).await? {
                        return Ok(());
                    }
                }
                _ = tick.tick() => {
                    if !self.deliveries.lease(&self.name).await? {
                        return Ok(());
                    }
                    let more = self.deliveries.moving(following.last, following.room()).await?;
                    more.into_iter().for_each(|parcel| following.add(parcel.tracking, parcel.sequence, parcel.booked));
                }
                () = tokio::time::sleep_until(heard + SILENCE) => return Err(CourierError::Silent),
            }
        }
    }

    /// Takes in what they said. `false`: they said that the stream ends, as they do when they are replaced.
    async fn take(
        &self,
        said: Vec<Result<FollowResponse, Status>>,
        following: &mut Following,
    ) -> Result<bool, CourierError> {
        let (mut events, mut unknown, mut ended) = (Vec::new(), Vec::new(), None);
        for news in said {
            match news.map(|response| response.news) {
                Ok(Some(News::Event(event))) if following.parcels.contains(&event.parcel) => events.push(event),
                Ok(Some(News::Unknown(parcel))) if following.parcels.contains(&parcel) => unknown.push(parcel),
                Ok(_) => {} // Alive, or of a parcel that was not asked for.
                Err(status) => ended = Some(status),
            }
        }
        if !events.is_empty() {
            self.deliveries.moved(&events).await?;
        }
        if !unknown.is_empty() {
            tracing::warn!(
                count = unknown.len(),
                "the carriers do not know parcels that they had booked"
            );
            self.deliveries.unknown(&unknown).await?;
        }
        let delivered = events.iter().filter(|event| event.status() == v1::Status::Delivered);
        for parcel in delivered.map(|event| &event.parcel).chain(&unknown) {
            following.parcels.remove(parcel);
        }
        if let Some(status) = &ended {
            tracing::info!(why = %status, "the carriers ended the stream");
        }
        if !events.is_empty() || ended.is_some() {
            tokio::time::sleep(BREATH).await;
        }
        Ok(ended.is_none())
    }
}

/// What one stream follows.
struct Following {
    changes: Sender<FollowRequest>,
    parcels: HashSet<String>,
    /// The place of the last one in the order of bookings.
    last: i64,
}

impl Following {
    fn new(changes: Sender<FollowRequest>) -> Self {
        Self {
            changes,
            parcels: HashSet::new(),
            last: 0,
        }
    }

    /// How many more parcels may be added now. Never more changes than fit the channel: waiting for the carriers to read
    /// while they wait for us to read would be for ever.
    fn room(&self) -> i64 {
        let room = (FOLLOWED - self.parcels.len()).min(self.changes.capacity());
        i64::try_from(room).unwrap_or_default()
    }

    fn add(&mut self, parcel: String, sequence: i64, booked: i64) {
        let after = i32::try_from(sequence).unwrap_or(i32::MAX);
        let add = TrackRequest {
            parcel: parcel.clone(),
            after,
        };
        let change = FollowRequest {
            change: Some(Change::Add(add)),
        };
        // Full it is not, by `room`; closed means that the stream has ended, which is heard next.
        if self.changes.try_send(change).is_ok() {
            self.parcels.insert(parcel);
            self.last = booked;
        }
    }
}

/// Works again and again, ever more slowly while it fails.
async fn again<F: Future<Output = Result<(), CourierError>>>(what: &'static str, work: impl Fn() -> F) -> Infallible {
    let mut pause = TICK;
    loop {
        let done = work().await;
        pause = match done {
            Ok(()) => TICK,
            Err(error) => {
                // Once for each time that they go away, not once for each try.
                if pause == TICK {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, what, "the carriers cannot be asked; their last answers stand");
                }
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
        tokio::time::sleep(pause).await;
    }
}
