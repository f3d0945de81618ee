//! Exponential back-off with full jitter: a pause drawn evenly between zero and min(cap, first × 2^n).
//!
//! Full jitter spreads callers that failed together over the whole span, so they do not come back together.
//! Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

/// The pause before retry `n`, counted from 0; `random` is 64 random bits.
///
/// At least zero and at most [`largest`]. Exact to the nanosecond for spans under 584 years; never panics.
pub fn full_jitter(first: Duration, cap: Duration, n: u32, random: u64) -> Duration {
    let most = u64::try_from(largest(first, cap, n).as_nanos()).unwrap_or(u64::MAX);
    // The high word of the product is even over 0..=most, since `most + 1` values share the 2^64 draws.
    Duration::from_nanos(((u128::from(random) * (u128::from(most) + 1)) >> 64) as u64)
}

/// The largest pause before retry `n`: min(cap, first × 2^n).
pub fn largest(first: Duration, cap: Duration, n: u32) -> Duration {
    let doubled = first.as_nanos().saturating_mul(1 << n.min(127));
    if doubled < cap.as_nanos() {
        Duration::from_nanos(u64::try_from(doubled).unwrap_or(u64::MAX))
    } else {
        cap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_largest_pause_doubles_up_to_the_cap() {
        for (n, ms) in [
            (0, 25),
            (1, 50),
            (2, 100),
            (3, 200),
            (4, 250),
            (31, 250),
            (32, 250),
            (u32::MAX, 250),
        ] {
            assert_eq!(largest(25 * MS, 250 * MS, n), ms * MS, "{n}");
        }
    }

    #[test]
    fn the_extreme_draws_give_the_extreme_pauses() {
        assert_eq!(full_jitter(25 * MS, 250 * MS, 1, 0), Duration::ZERO);
        assert_eq!(full_jitter(25 * MS, 250 * MS, 1, u64::MAX), 50 * MS);
        assert_eq!(
            full_jitter(25 * MS, 250 * MS, 0, 1 << 63),
            Duration::from_nanos(12_500_000)
        );
    }

    proptest! {
        #[test]
        fn a_pause_never_passes_the_cap_nor_the_doubled_first(
            first in 0..100_000_u64, cap in 0..1_000_000_u64, n in 0..200_u32, random: u64,
        ) {
            let pause = full_jitter(first as u32 * MS, cap as u32 * MS, n, random);
            let reference = (u128::from(first) << n.min(64)).min(u128::from(cap));
            prop_assert!(pause.as_nanos() <= reference * 1_000_000);
        }
    }
}
