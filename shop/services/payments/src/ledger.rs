//! Double entry: every movement of money is written twice, once where it leaves and once where it arrives.
//!
//! The sum of all entries is zero at any time. A bug that charges without crediting cannot hide: the sum shows it.

use std::time::{SystemTime, UNIX_EPOCH};

use shop_kit::Tx;

/// Where deposits come from. Its balance is negative: what the world has put in.
pub const WORLD: &str = "world";
/// What the shop has earned: charges less refunds.
pub const SHOP: &str = "shop";

/// A customer's account in the ledger.
pub fn wallet(owner: &str) -> String {
    format!("wallet:{owner}")
}

/// Writes a movement of `amount` cents. Its name is unique, so the same movement cannot be written twice.
///
/// # Errors
/// The database's; a name that was there before is one of them.
pub async fn record(tx: &mut Tx, movement: &str, from: &str, to: &str, amount: i64) -> Result<(), sqlx::Error> {
    let insert = "INSERT INTO entries (movement, account, amount, at_ms) VALUES ($1, $2, $3, $6), ($1, $4, $5, $6)";
    let insert = sqlx::query(insert).bind(movement.to_owned());
    let insert = insert
        .bind(from.to_owned())
        .bind(-amount)
        .bind(to.to_owned())
        .bind(amount)
        .bind(now_ms());
    insert.execute(&mut **tx).await.map(drop)
}

/// For people who read the ledger; nothing is decided by it. A clock before 1970 reads as 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
