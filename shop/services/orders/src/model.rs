//! The read model: one row for each order, made of the log's events, in this service's own SQLite file.
//!
//! Every read of an order is answered from here, so reads go on while Ondol's controller, and with it the log, is away.
//!
//! Invariants
//! - The position up to which the log has been read commits in the transaction that changes the rows. A crash between two
//!   commits repeats nothing and skips nothing.
//! - Two instances may share the file and both follow the log: whoever is second finds the position passed and adds nothing.
//! - Nothing is here that is not in the log: delete the file, and it fills again.
//!
//! Tests: `tests/http/`.

use crate::event::{Event, Stored};
use crate::log::{Entry, LogError};
use crate::view::View;
use shop_kit::{Database, Problem, Tx};
use sqlx::{Error, Row};
use std::time::Duration;
use tokio::sync::watch;

/// The tables, in the order in which they came to be.
pub const MIGRATIONS: [&str; 1] = ["
CREATE TABLE followed (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    position BIGINT NOT NULL -- of the last event that the rows below know
);
INSERT INTO followed (only_row, position) VALUES (1, 0);
CREATE TABLE orders (
    id       TEXT PRIMARY KEY,
    opened   BIGINT NOT NULL UNIQUE, -- position of its first event: newer orders have greater ones
    customer TEXT NOT NULL,
    status   TEXT NOT NULL,
    total    BIGINT NOT NULL,
    view     TEXT NOT NULL           -- the answer, as JSON
);
CREATE INDEX orders_of_a_customer ON orders (customer, opened);
CREATE INDEX orders_by_status ON orders (status, total);
"];

/// How long a handler waits for the model to learn of its own event. Below a saga step's 5 s.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a page of the log could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The database.
    #[error("the read model's database")]
    Database(#[from] Error),
    /// No write could be begun.
    #[error("the read model's database takes no write: {}", .0.reason())]
    Write(Problem),
    /// A row that this version cannot read, or write.
    #[error("the stored picture of order {order}")]
    View {
        /// Which.
        order: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// How many orders there are, and what the confirmed ones come to.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Totals {
    /// Orders under way.
    pub pending: i64,
    /// Orders carried through.
    pub confirmed: i64,
    /// Orders undone.
    pub cancelled: i64,
    /// Sum of the confirmed orders' totals, in minor units.
    pub confirmed_total: i64,
    /// ISO 4217.
    pub currency: &'static str,
}

/// The read model. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Model {
    database: Database,
    position: watch::Sender<u64>,
}

impl Model {
    /// Over an open SQLite database that has [`MIGRATIONS`].
    ///
    /// # Errors
    /// The database's.
    pub async fn open(database: Database) -> Result<Self, Error> {
        let position = sqlx::query_scalar::<_, i64>("SELECT position FROM followed")
            .fetch_one(database.read())
            .await?;
        Ok(Self {
            database,
            position: watch::Sender::new(position.unsigned_abs()),
        })
    }

    /// Position of the last event that it knows.
    pub fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Waits until it knows the event at `position`. `false` after three seconds.
    pub async fn reached(&self, position: u64) -> bool {
        let mut seen = self.position.subscribe();
        let reached = seen.wait_for(|known| *known >= position);
        matches!(tokio::time::timeout(PATIENCE, reached).await, Ok(Ok(_)))
    }

    /// Takes in a page of the log: rows and position in one transaction.
    ///
    /// An event that cannot be read is passed over with a line in the log of errors: it must not hide those after it.
    ///
    /// # Errors
    /// [`ModelError`]; nothing was taken in.
    pub async fn take(&self, page: &[Entry]) -> Result<(), ModelError> {
        let Some(last) = page.last().map(|entry| entry.position) else {
            return Ok(());
        };
        let mut tx = self.database.write().await.map_err(ModelError::Write)?;
        let select = sqlx::query_scalar::<_, i64>("SELECT position FROM followed");
        let known = select.fetch_one(&mut *tx).await?.unsigned_abs();
        for entry in page.iter().filter(|entry| entry.position > known) {
            match &entry.event {
                Ok((order, stored)) => take_one(&mut tx, order, stored).await?,
                Err(error) => passed_over(entry.position, error),
            }
        }
        let update = sqlx::query("UPDATE followed SET position = MAX(position, $1)").bind(signed(last));
        update.execute(&mut *tx).await?;
        tx.commit().await?;
        self.position.send_if_modified(|position| {
            let newer = last > *position;
            *position = last.max(*position);
            newer
        });
        Ok(())
    }

    /// One order of this customer, as JSON. `None`: there is none, or it is somebody else's.
    ///
    /// # Errors
    /// The database's.
    pub async fn one(&self, customer: &str, id: &str) -> Result<Option<String>, Error> {
        let select = sqlx::query_scalar("SELECT view FROM orders WHERE id = $1 AND customer = $2");
        select
            .bind(id.to_owned())
            .bind(customer.to_owned())
            .fetch_optional(self.database.read())
            .await
    }

    /// This customer's orders, the newest first, older than the order `after` (empty: from the newest), at most `limit`;
    /// each with its id and JSON.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, customer: &str, after: &str, limit: u32) -> Result<Vec<(String, String)>, Error> {
        let select = sqlx::query_as(
            "SELECT id, view FROM orders
             WHERE customer = $1 AND ($2 = '' OR opened < (SELECT opened FROM orders WHERE id = $2 AND customer = $1))
             ORDER BY opened DESC LIMIT $3",
        );
        let select = select
            .bind(customer.to_owned())
            .bind(after.to_owned())
            .bind(i64::from(limit));
        select.fetch_all(self.database.read()).await
    }

    /// Orders by rising id after `after`, at most `rows`; each with its id, its customer and JSON.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_id(&self, after: &str, rows: i64) -> Result<Vec<(String, String, String)>, Error> {
        let select = sqlx::query_as("SELECT id, customer, view FROM orders WHERE id > $1 ORDER BY id LIMIT $2");
        let select = select.bind(after.to_owned()).bind(rows);
        select.fetch_all(self.database.read()).await
    }

    /// Orders by status.
    ///
    /// # Errors
    /// The database's.
    pub async fn totals(&self) -> Result<Totals, Error> {
        let select =
            "SELECT status, COUNT(*) AS number, CAST(SUM(total) AS BIGINT) AS total FROM orders GROUP BY status";
        let mut totals = Totals {
            currency: shop_kit::CURRENCY,
            ..Totals::default()
        };
        for row in sqlx::query(select).fetch_all(self.database.read()).await? {
            let number = row.try_get("number")?;
            match row.try_get::<String, _>("status")?.as_str() {
                "pending" => totals.pending = number,
                "confirmed" => (totals.confirmed, totals.confirmed_total) = (number, row.try_get("total")?),
                _ => totals.cancelled = number,
            }
        }
        Ok(totals)
    }
}

async fn take_one(tx: &mut Tx, order: &str, stored: &Stored) -> Result<(), ModelError> {
    let unfit = |source| ModelError::View {
        order: order.to_owned(),
        source,
    };
    let select = sqlx::query_scalar::<_, String>("SELECT view FROM orders WHERE id = $1").bind(order.to_owned());
    let before = select.fetch_optional(&mut **tx).await?;
    let before = before
        .map(|json| serde_json::from_str(&json))
        .transpose()
        .map_err(unfit)?;
    let Some(view) = View::after(before, order, stored) else {
        tracing::error!(
            order,
            event = stored.id,
            "a confirmation of an order that the log does not hold"
        );
        return Ok(());
    };
    let json = serde_json::to_string(&view).map_err(unfit)?;
    match &stored.event {
        // The first event says whose order it is; a cancellation may be the first.
        Event::Placed(placed) => insert(tx, order, &placed.asked.customer, stored.position, &view, json).await?,
        Event::Cancelled(cancelled) if view.history.len() == 1 => {
            insert(tx, order, &cancelled.asked.customer, stored.position, &view, json).await?;
        }
        Event::Confirmed(_) | Event::Cancelled(_) => {
            let update = sqlx::query("UPDATE orders SET status = $2, view = $3 WHERE id = $1").bind(order.to_owned());
            update.bind(view.status.as_str()).bind(json).execute(&mut **tx).await?;
        }
    }
    Ok(())
}

async fn insert(tx: &mut Tx, id: &str, customer: &str, opened: u64, view: &View, json: String) -> Result<(), Error> {
    let insert = sqlx::query(
        "INSERT INTO orders (id, opened, customer, status, total, view) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, total = excluded.total, view = excluded.view",
    );
    let insert = insert
        .bind(id.to_owned())
        .bind(signed(opened))
        .bind(customer.to_owned());
    insert
        .bind(view.status.as_str())
        .bind(view.total)
        .bind(json)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn passed_over(position: u64, error: &LogError) {
    let why = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::error!(position, %error, why, "an event of the log cannot be read; the read model goes on without it");
}

/// SQLite has signed numbers only; no log will be so long that it matters.
fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}
