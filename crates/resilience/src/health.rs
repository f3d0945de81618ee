//! Active checks with hysteresis: two failures in a row take an instance out, one success brings it back.
//!
//! One lost answer under load must not take an instance out; one that answers again must not wait. An instance starts
//! as well: the supervisor has found it ready before it became an endpoint.

const FAILURES_OUT: u8 = 2;

/// What the checks of one instance say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    failures: u8,
}

impl Health {
    /// Takes a check's result; true when the verdict changed.
    pub fn record(&mut self, well: bool) -> bool {
        let before = self.is_well();
        self.failures = if well { 0 } else { self.failures.saturating_add(1) };
        before != self.is_well()
    }

    /// Whether it may be used.
    pub fn is_well(self) -> bool {
        self.failures < FAILURES_OUT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_in_a_row_take_it_out_and_one_success_brings_it_back() {
        let mut health = Health::default();
        let results = [true, false, true, false, false, false, true, false];
        let seen = results.map(|well| (health.record(well), health.is_well()));
        let states = seen.map(|(_, well)| well);
        assert_eq!(states, [true, true, true, true, false, false, true, true]);
        assert_eq!(
            seen.map(|(changed, _)| changed),
            [false, false, false, false, true, false, true, false]
        );
        for _ in 0..1_000 {
            health.record(false);
        }
        assert!(!health.is_well(), "a long time out does not wrap");
    }
}
