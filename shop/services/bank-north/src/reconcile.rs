//! What the other bank is compared with: the transfers that leave this one, the deposits that come to it, and its books.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::reconcile::{After, item};
use shop_kit::{Database, Params, Problem};

/// What is in each account at the beginning, in cents: see the migration.
const SEEDED: i64 = 100_000;

const TRANSFERS: &str =
    "SELECT id, amount, status, to_account, changed_ms FROM transfers WHERE id > $1 ORDER BY id LIMIT $2";
const DEPOSITS: &str = "SELECT id, amount, account, at_ms FROM deposits WHERE id > $1 ORDER BY id LIMIT $2";

/// One statement, so that all sums are of the same moment.
const BOOKS: &str = "\
SELECT
    (SELECT COALESCE(SUM(balance), 0) FROM accounts),
    (SELECT COUNT(*) FROM accounts) * $1
        + (SELECT COALESCE(SUM(amount), 0) FROM deposits)
        - (SELECT COALESCE(SUM(amount), 0) FROM transfers WHERE status IN ('pending', 'done'))";

/// `GET /internal/reconcile/transfers`.
///
/// # Errors
/// 400; the database's.
pub async fn transfers(State(database): State<Database>, Params(after): Params<After>) -> Result<Json<Value>, Problem> {
    type Row = (String, i64, String, String, i64);
    let select = sqlx::query_as(TRANSFERS).bind(after.after.clone()).bind(after.rows()?);
    let rows: Vec<Row> = select.fetch_all(database.read()).await?;
    let items = rows.into_iter().map(|(id, amount, status, to, at)| {
        let more = json!({ "amount": amount, "status": status, "to": to });
        item(&id, Some(at), more)
    });
    Ok(after.page(items.collect()))
}

/// `GET /internal/reconcile/deposits`.
///
/// # Errors
/// 400; the database's.
pub async fn deposits(State(database): State<Database>, Params(after): Params<After>) -> Result<Json<Value>, Problem> {
    let select = sqlx::query_as(DEPOSITS).bind(after.after.clone()).bind(after.rows()?);
    let rows: Vec<(String, i64, String, i64)> = select.fetch_all(database.read()).await?;
    let items = rows
        .into_iter()
        .map(|(id, amount, account, at)| item(&id, Some(at), json!({ "amount": amount, "account": account })));
    Ok(after.page(items.collect()))
}

/// `GET /internal/reconcile/books`: one item, what is in all accounts and what must be by what came and left.
///
/// # Errors
/// 400; the database's.
pub async fn books(State(database): State<Database>, Params(after): Params<After>) -> Result<Json<Value>, Problem> {
    after.rows()?;
    let (balance, booked): (i64, i64) = sqlx::query_as(BOOKS).bind(SEEDED).fetch_one(database.read()).await?;
    let book = item("books", None, json!({ "balance": balance, "booked": booked }));
    let items = Some(book).filter(|_| after.after.as_str() < "books");
    Ok(after.page(items.into_iter().collect()))
}
