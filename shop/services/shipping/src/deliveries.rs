//! What the carriers said last of each parcel: the rows, and how they are told to others.
//!
//! The saga never waits for carriers: its step writes a row that says `unbooked`, in its own transaction, and `courier.rs` goes on
//! from there. Reads are answered from the rows alone, so they go on while the carriers are away, and say of when they are (`as_of`).
//!
//! What must hold
//! - A parcel's events are taken in the order of their sequence; one that is known changes nothing.
//! - A parcel that the carriers could not be asked for goes to the end of the line, so that none holds the others up.

use serde_json::{Value, json};
use shop_kit::{Database, Problem, Tx};

use crate::carriers::v1::{Event, Status};
use crate::carriers::{Promise, short};

/// How long the right to ask the carriers lasts, in milliseconds. It is renewed at half of it.
const LEASE_MS: i64 = 30_000;

/// The moment of writing, as the answers tell it.
const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')";

/// The rows.
#[derive(Clone, Debug)]
pub struct Deliveries(Database);

/// A parcel that is yet to be booked.
#[derive(Clone, Debug)]
pub struct Unbooked {
    /// Its tracking number.
    pub tracking: String,
    /// How many things are in it.
    pub pieces: i64,
}

/// A parcel on its way.
#[derive(Clone, Debug)]
pub struct Moving {
    /// Its tracking number.
    pub tracking: String,
    /// The last event that is known; 0 for none.
    pub sequence: i64,
    /// Its place in the order of bookings.
    pub booked: i64,
}

/// Why the rows cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// The database.
    #[error("the deliveries in the database")]
    Database(#[from] sqlx::Error),
    /// No write could be begun.
    #[error("the database takes no write: {}", .0.reason())]
    Write(Problem),
}

/// What the carriers' status is called here. `None` for one that this version does not know.
fn status_word(status: i32) -> Option<&'static str> {
    match Status::try_from(status) {
        Ok(Status::Booked) => Some("booked"),
        Ok(Status::PickedUp) => Some("picked_up"),
        Ok(Status::InTransit) => Some("in_transit"),
        Ok(Status::OutForDelivery) => Some("out_for_delivery"),
        Ok(Status::Delivered) => Some("delivered"),
        Ok(Status::Unspecified) | Err(_) => None,
    }
}

/// Writes down that a parcel is to be booked, in the transaction that hands it over.
pub(crate) async fn expect(tx: &mut Tx, tracking: &str, pieces: i64) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("INSERT INTO deliveries (tracking, pieces) VALUES ($1, $2)");
    insert
        .bind(tracking.to_owned())
        .bind(pieces)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// A parcel's delivery as it is told: null while no carrier has promised anything.
pub(crate) async fn of(database: &Database, tracking: &str) -> Result<Value, sqlx::Error> {
    type Row = (String, String, String, String, Option<String>, String);
    let select = sqlx::query_as::<_, Row>(
        // What is to be booked anew has been booked, for all that a customer knows.
        "SELECT carrier, earliest, latest, CASE status WHEN 'unbooked' THEN 'booked' ELSE status END, place, as_of \
         FROM deliveries WHERE tracking = $1 AND booked IS NOT NULL AND status <> 'refused'",
    );
    let found = select.bind(tracking.to_owned()).fetch_optional(database.read()).await?;
    Ok(
        found.map_or(Value::Null, |(carrier, earliest, latest, status, place, as_of)| {
            json!({
                "carrier": carrier, "earliest": earliest, "latest": latest,
                "status": status, "place": place, "as_of": as_of,
            })
        }),
    )
}

impl Deliveries {
    /// In this database.
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Takes or keeps the right to ask the carriers, for one of several instances on the same database. Two that had it at
    /// once, after a long pause of one, would ask twice and harm nothing.
    ///
    /// # Errors
    /// [`RowsError`]; who has it is then unknown.
    pub async fn lease(&self, holder: &str) -> Result<bool, RowsError> {
        let left = "SELECT holder, until_ms - CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM courier";
        let (current, left): (String, i64) = sqlx::query_as(left).fetch_one(self.0.read()).await?;
        if left > 0 && current != holder {
            return Ok(false);
        }
        if left > LEASE_MS / 2 {
            return Ok(true);
        }
        let take = "UPDATE courier SET holder = $1, until_ms = CAST(unixepoch('subsec') * 1000 AS INTEGER) + $2 \
                    WHERE holder = $1 OR until_ms <= CAST(unixepoch('subsec') * 1000 AS INTEGER)";
        let mut tx = self.0.write().await.map_err(RowsError::Write)?;
        let take = sqlx::query(take).bind(holder.to_owned()).bind(LEASE_MS);
        let taken = take.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        Ok(taken == 1)
    }

    /// Parcels to be booked: those never asked for first, then those that were asked for longest ago.
    ///
    /// # Errors
    /// [`RowsError::Database`].
    pub async fn unbooked(&self, limit: i64) -> Result<Vec<Unbooked>, RowsError> {
        let select = "SELECT tracking, pieces FROM deliveries WHERE status = 'unbooked' ORDER BY asked_ms LIMIT $1";
        let select = sqlx::query_as::<_, (String, i64)>(select).bind(limit);
        let rows = select.fetch_all(self.0.read()).await?;
        Ok(rows
            .into_iter()
            .map(|(tracking, pieces)| Unbooked { tracking, pieces })
            .collect())
    }

    /// Writes down what came of asking: a promise, a refusal for ever (`Ok(None)`), or nothing (`Err`).
    ///
    /// # Errors
    /// [`RowsError`]; then nothing is written.
    pub async fn asked(&self, answers: &[(String, Result<Option<Promise>, ()>)]) -> Result<(), RowsError> {
        let booked = format!(
            "UPDATE deliveries SET status = 'booked', carrier = $2, earliest = $3, latest = $4, sequence = 0, as_of = {NOW}, \
             booked = (SELECT COALESCE(MAX(booked), 0) + 1 FROM deliveries) WHERE tracking = $1 AND status = 'unbooked'"
        );
        let mut tx = self.0.write().await.map_err(RowsError::Write)?;
        for (tracking, answer) in answers {
            let update = match answer {
                Ok(Some(promise)) => sqlx::query(sqlx::AssertSqlSafe(booked.clone()))
                    .bind(tracking.clone())
                    .bind(promise.carrier.clone())
                    .bind(promise.earliest.clone())
                    .bind(promise.latest.clone()),
                Ok(None) => {
                    sqlx::query("UPDATE deliveries SET status = 'refused' WHERE tracking = $1 AND status = 'unbooked'")
                        .bind(tracking.clone())
                }
                Err(()) => sqlx::query(
                    "UPDATE deliveries SET asked_ms = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE tracking = $1",
                )
                .bind(tracking.clone()),
            };
            update.execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Parcels on their way that were booked after this one, in the order of their booking.
    ///
    /// # Errors
    /// [`RowsError::Database`].
    pub async fn moving(&self, after: i64, limit: i64) -> Result<Vec<Moving>, RowsError> {
        let select = "SELECT tracking, sequence, booked FROM deliveries \
                      WHERE status IN ('booked', 'picked_up', 'in_transit', 'out_for_delivery') AND booked > $1 \
                      ORDER BY booked LIMIT $2";
        let select = sqlx::query_as::<_, (String, i64, i64)>(select).bind(after).bind(limit);
        let rows = select.fetch_all(self.0.read()).await?;
        let moving = |(tracking, sequence, booked)| Moving {
            tracking,
            sequence,
            booked,
        };
        Ok(rows.into_iter().map(moving).collect())
    }

    /// Takes in events, all in one transaction. A status that this version does not know leaves the one before it.
    ///
    /// # Errors
    /// [`RowsError`]; then none is taken in.
    pub async fn moved(&self, events: &[Event]) -> Result<(), RowsError> {
        let update = format!(
            "UPDATE deliveries SET sequence = $2, status = COALESCE($3, status), place = $4, as_of = {NOW} \
             WHERE tracking = $1 AND sequence < $2 AND booked IS NOT NULL"
        );
        let mut tx = self.0.write().await.map_err(RowsError::Write)?;
        for event in events {
            let update = sqlx::query(sqlx::AssertSqlSafe(update.clone()))
                .bind(event.parcel.clone())
                .bind(i64::from(event.sequence))
                .bind(status_word(event.status).map(str::to_owned))
                .bind(short(&event.place));
            update.execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    /// The carriers do not know these parcels: their books are gone. They are booked anew; until then what was promised stands.
    ///
    /// # Errors
    /// [`RowsError`].
    pub async fn unknown(&self, parcels: &[String]) -> Result<(), RowsError> {
        let mut tx = self.0.write().await.map_err(RowsError::Write)?;
        for tracking in parcels {
            let update = "UPDATE deliveries SET status = 'unbooked' WHERE tracking = $1 AND status <> 'delivered'";
            sqlx::query(update).bind(tracking.clone()).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}
