//! What others compare with theirs: every order, from the read model.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use shop_kit::reconcile::{After, item};
use shop_kit::{Params, Problem};

use crate::api::Orders;
use crate::view::View;

/// `GET /internal/reconcile/orders`.
///
/// # Errors
/// 400; 500 for a stored picture that this version cannot read; the database's.
pub async fn orders(State(orders): State<Orders>, Params(after): Params<After>) -> Result<Json<Value>, Problem> {
    let rows = orders.model.by_id(&after.after, after.rows()?).await?;
    let item = |(id, customer, json): (String, String, String)| {
        let view: View = serde_json::from_str(&json).map_err(|error| Problem::internal(&error))?;
        let pieces: u64 = view.items.iter().map(|line| u64::from(line.quantity)).sum();
        let at = view.history.last().map(|moment| moment.at.as_millisecond());
        let more = json!({
            "status": view.status, "customer": customer, "total": view.total, "currency": view.currency, "pieces": pieces,
        });
        Ok(item(&id, at, more))
    };
    let items = rows.into_iter().map(item).collect::<Result<_, Problem>>()?;
    Ok(after.page(items))
}
