//! The stock itself: counting up and down, with every rule in the statement that would break it.

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::AnyConnection;

/// A line: so many of this product.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Item {
    /// Which.
    pub product_id: String,
    /// How many.
    pub quantity: i64,
}

/// How a reservation went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reserved {
    /// Everything is held.
    All,
    /// Of this there is not enough; what was taken before it is for the caller to roll back.
    OutOfStock(Item),
    /// This is no product.
    Unknown(Item),
}

/// How a held reservation ends: its new status, and what happens to the goods.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    status: &'static str,
    goods: &'static str,
}

/// The goods stay.
pub const RELEASE: Ending = Ending {
    status: "released",
    goods: "UPDATE stock SET reserved = reserved - $2 WHERE product_id = $1",
};

/// The goods go.
pub const DEDUCT: Ending = Ending {
    status: "deducted",
    goods: "UPDATE stock SET reserved = reserved - $2, on_hand = on_hand - $2, shipped = shipped + $2 \
            WHERE product_id = $1",
};

/// One line per product, in the order of their ids.
pub fn merged(items: Vec<Item>) -> Vec<Item> {
    let mut quantities = BTreeMap::<String, i64>::new();
    for item in items {
        *quantities.entry(item.product_id).or_default() += item.quantity;
    }
    quantities
        .into_iter()
        .map(|(product_id, quantity)| Item { product_id, quantity })
        .collect()
}

/// Holds these lines under `id`; stops at the first that cannot be held.
///
/// # Errors
/// The database's.
pub async fn reserve(tx: &mut AnyConnection, id: &str, items: &[Item]) -> Result<Reserved, sqlx::Error> {
    let insert = "INSERT INTO reservations (id, status, changed_ms) \
                  VALUES ($1, 'held', CAST(unixepoch('subsec') * 1000 AS INTEGER))";
    let insert = sqlx::query(insert).bind(id.to_owned());
    insert.execute(&mut *tx).await?;
    for item in items {
        // The look and the taking are one statement: see payments.
        let take = "UPDATE stock SET reserved = reserved + $2 WHERE product_id = $1 AND on_hand - reserved >= $2";
        let take = sqlx::query(take).bind(item.product_id.clone()).bind(item.quantity);
        if take.execute(&mut *tx).await?.rows_affected() == 0 {
            let known = available(&mut *tx, &item.product_id).await?.is_some();
            return Ok(if known {
                Reserved::OutOfStock(item.clone())
            } else {
                Reserved::Unknown(item.clone())
            });
        }
        let insert = "INSERT INTO reservation_items (reservation_id, product_id, quantity) VALUES ($1, $2, $3)";
        let insert = sqlx::query(insert)
            .bind(id.to_owned())
            .bind(item.product_id.clone())
            .bind(item.quantity);
        insert.execute(&mut *tx).await?;
    }
    Ok(Reserved::All)
}

/// Ends a held reservation. `false`: there is none under this id that is held.
///
/// # Errors
/// The database's.
pub async fn end(tx: &mut AnyConnection, id: &str, ending: Ending) -> Result<bool, sqlx::Error> {
    let mark = "UPDATE reservations SET status = $2, changed_ms = CAST(unixepoch('subsec') * 1000 AS INTEGER) \
                WHERE id = $1 AND status = 'held'";
    let mark = sqlx::query(mark);
    if mark
        .bind(id.to_owned())
        .bind(ending.status)
        .execute(&mut *tx)
        .await?
        .rows_affected()
        == 0
    {
        return Ok(false);
    }
    let items = "SELECT product_id, quantity FROM reservation_items WHERE reservation_id = $1";
    let items = sqlx::query_as::<_, (String, i64)>(items)
        .bind(id.to_owned())
        .fetch_all(&mut *tx)
        .await?;
    for (product_id, quantity) in items {
        sqlx::query(ending.goods)
            .bind(product_id)
            .bind(quantity)
            .execute(&mut *tx)
            .await?;
    }
    Ok(true)
}

/// Adds goods to a known product and says how many can then be had. `None`: no such product.
///
/// # Errors
/// The database's.
pub async fn restock(tx: &mut AnyConnection, product_id: &str, add: i64) -> Result<Option<i64>, sqlx::Error> {
    let update = "UPDATE stock SET on_hand = on_hand + $2, received = received + $2 WHERE product_id = $1 \
                  RETURNING on_hand - reserved";
    sqlx::query_scalar(update)
        .bind(product_id.to_owned())
        .bind(add)
        .fetch_optional(tx)
        .await
}

/// How many can be had. `None`: no such product.
async fn available(tx: &mut AnyConnection, product_id: &str) -> Result<Option<i64>, sqlx::Error> {
    let select = sqlx::query_scalar("SELECT on_hand - reserved FROM stock WHERE product_id = $1");
    select.bind(product_id.to_owned()).fetch_optional(tx).await
}
