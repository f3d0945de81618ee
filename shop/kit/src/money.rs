//! Money: whole minor units (cents) in one currency. No fractions, so sums are exact.

use crate::Problem;

/// The shop's only currency (ISO 4217). Two minor digits: 1,000.00 is 100_000.
pub const CURRENCY: &str = "EUR";

/// Largest amount of one movement, in minor units: ten million. Far from where sums of an `i64` overflow.
pub const MAX_AMOUNT: i64 = 1_000_000_000;

/// Checks an amount that somebody sent.
///
/// # Errors
/// 400 `bad_amount` unless it is between 1 and [`MAX_AMOUNT`].
pub fn positive_amount(amount: i64) -> Result<i64, Problem> {
    if (1..=MAX_AMOUNT).contains(&amount) {
        return Ok(amount);
    }
    Err(Problem::bad_request(
        "bad_amount",
        format!("An amount is a whole number from 1 to {MAX_AMOUNT}, in cents"),
    ))
}
