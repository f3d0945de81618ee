//! How many calls at once, by what they take: as many as make nobody wait.
//!
//! Calls that take longer side by side than one at a time stand in a line somewhere, be it for a processor, and everybody
//! who shares that line stands behind them. So the limit grows slowly while a call takes at most `TOLERANCE` times what it
//! takes alone, and shrinks at once by as much as it takes longer. What it takes alone changes with the work; it is measured
//! again from time to time by calls that go one at a time. Where that gives nothing, because calls hang, nothing is limited.
//!
//! A window is judged by the mean of its calls without the slowest eighth, so that work of several kinds does not look like a
//! line. By Little's law the limit then ends where calls side by side are done at five sixths of the speed that they would
//! have if they were nothing to each other.
//! Sources: Brakmo and Peterson, "TCP Vegas", 1995; the gradient of Netflix's concurrency-limits, 2018; BBR's probes.

use std::time::Duration;

/// A window is no shorter than this; the one that measures what a call takes alone, than the second.
const WINDOW: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(100));
/// Nor has it fewer calls than this; more than so many are not kept.
const CALLS: (usize, usize) = (16, 256);
/// What a call may take against what it takes alone.
const TOLERANCE: f64 = 1.2;
/// The most that one window takes away.
const STEEPEST: f64 = 0.5;
/// A window in which nobody waited adds as large a part of the limit as it is of this. Slow: the limit stands where one more
/// would wait, and others feel each try.
const GROWS_IN: Duration = Duration::from_secs(1);
/// What the longest window makes of the limit.
const QUICKEST: f64 = 1.5;
/// Between two measurements of what a call takes alone.
const MEASURE_EVERY: Duration = Duration::from_secs(20);
/// Longest measurement, with the wait for calls that were under way: a twentieth of the time.
const MEASURE_FOR: Duration = Duration::from_secs(1);

/// A limit between one and a most, for one kind of calls to one target.
#[derive(Clone, Debug)]
pub struct Adaptive {
    most: usize,
    limit: f64,
    phase: Phase,
    /// Nothing was ever taken away, so it may double.
    is_new: bool,
    window: Vec<Duration>,
    began_at: Duration,
    /// The most calls at once that the window saw.
    beside: usize,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// One call at a time.
    Measuring { until: Duration },
    /// A call takes so long alone; measured again then.
    Known { alone: Duration, until: Duration },
    /// Nothing was answered in time.
    Unknown { until: Duration },
}

impl Adaptive {
    /// Never more than `most`; begins by measuring.
    pub fn new(most: usize, now: Duration) -> Self {
        let mut new = Self {
            most: most.max(1),
            limit: 1.0,
            phase: Phase::Unknown { until: now },
            is_new: true,
            window: Vec::new(),
            began_at: Duration::ZERO,
            beside: 0,
        };
        new.limit(now);
        new
    }

    /// Calls that may be under way now, at least one.
    pub fn limit(&mut self, now: Duration) -> usize {
        match self.phase {
            Phase::Measuring { until } if now >= until => match self.window.is_empty() {
                true => {
                    self.phase = Phase::Unknown {
                        until: now + MEASURE_EVERY,
                    }
                }
                false => self.judge(now),
            },
            Phase::Known { until, .. } | Phase::Unknown { until } if now >= until => {
                self.window.clear();
                let until = now + MEASURE_FOR;
                self.phase = Phase::Measuring { until };
            }
            _ => {}
        }
        match self.phase {
            Phase::Measuring { .. } => 1,
            Phase::Known { .. } => self.limit as usize,
            Phase::Unknown { .. } => self.most,
        }
    }

    /// Takes what an answered call took; `beside` calls were under way when it began, itself among them. Those that began
    /// under a higher limit say nothing of this one.
    pub fn observe(&mut self, took: Duration, beside: usize, now: Duration) {
        if beside > self.limit(now) || matches!(self.phase, Phase::Unknown { .. }) {
            return;
        }
        if self.window.is_empty() {
            (self.began_at, self.beside) = (now, 0);
        }
        self.beside = self.beside.max(beside);
        if self.window.len() < CALLS.1 {
            self.window.push(took);
        }
        let least = match self.phase {
            Phase::Known { .. } => WINDOW.0,
            _ => WINDOW.1,
        };
        if self.window.len() >= CALLS.0 && now.saturating_sub(self.began_at) >= least {
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Duration) {
        let took = trimmed_mean(&mut self.window);
        self.window.clear();
        let alone = match self.phase {
            Phase::Known { alone, until } => {
                // Calls that went alone tell more of what that takes; one window of them may have met with something else.
                let alone = if self.beside > 1 { alone } else { (alone * 7 + took) / 8 };
                self.phase = Phase::Known { alone, until };
                alone
            }
            _ => {
                let until = now + MEASURE_EVERY;
                self.phase = Phase::Known { alone: took, until };
                took
            }
        };
        let ratio = TOLERANCE * alone.as_secs_f64() / took.as_secs_f64();
        if ratio < 1.0 {
            self.limit *= ratio.max(STEEPEST);
            self.is_new = false;
        } else if self.beside >= self.limit as usize {
            let took = now.saturating_sub(self.began_at).as_secs_f64();
            let growth = 1.0 + took / GROWS_IN.as_secs_f64();
            self.limit *= if self.is_new { 2.0 } else { growth.min(QUICKEST) };
        }
        self.limit = self.limit.clamp(1.0, self.most as f64);
    }
}

/// Of all but the slowest eighth; at least a nanosecond.
fn trimmed_mean(calls: &mut [Duration]) -> Duration {
    calls.sort_unstable();
    let kept = &calls[..calls.len() - calls.len() / 8];
    let mean = kept.iter().sum::<Duration>() / u32::try_from(kept.len().max(1)).unwrap_or(u32::MAX);
    mean.max(Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Calls one after the other until the limit, for so long; the limits seen in the second half. `takes` gives a call's
    /// time by how many are under way when it begins, and its number.
    fn course(most: usize, seconds: u64, takes: impl Fn(usize, u64) -> Duration) -> (Adaptive, Vec<usize>) {
        let (mut limit, mut now, mut seen) = (Adaptive::new(most, Duration::ZERO), Duration::ZERO, Vec::new());
        let (mut flights, mut number) = (BTreeMap::new(), 0);
        while now < Duration::from_secs(seconds) {
            while flights.len() < limit.limit(now) {
                let beside = flights.len() + 1;
                let took = takes(beside, number);
                flights.insert((now + took, number), (took, beside));
                number += 1;
            }
            let Some(((at, _), (took, beside))) = flights.pop_first() else {
                unreachable!("at least one is under way")
            };
            now = at;
            limit.observe(took, beside, now);
            if now > Duration::from_secs(seconds) / 2 {
                seen.push(limit.limit(now));
            }
        }
        (limit, seen)
    }

    fn median(mut seen: Vec<usize>) -> usize {
        seen.sort_unstable();
        seen[seen.len() / 2]
    }

    #[test]
    fn calls_that_share_processors_are_held_near_their_number() {
        for processors in [2, 8, 32] {
            let one = Duration::from_micros(400);
            let takes = |beside: usize, _| one.mul_f64((beside as f64 / processors as f64).max(1.0));
            let (_, seen) = course(256, 20, takes);
            let held = median(seen);
            assert!((processors..=2 * processors).contains(&held), "{processors}: {held}");
        }
    }

    #[test]
    fn calls_that_only_wait_go_up_to_the_most() {
        let (_, seen) = course(64, 120, |_, _| Duration::from_millis(300));
        assert_eq!(median(seen), 64);
    }

    #[test]
    fn calls_that_stand_in_one_line_go_one_at_a_time() {
        let (_, seen) = course(64, 20, |beside, _| Duration::from_millis(2) * beside as u32);
        assert_eq!(median(seen), 1);
    }

    #[test]
    fn beyond_the_end_of_the_line_is_tried_seldom() {
        let (_, seen) = course(16, 60, |beside, _| Duration::from_micros(250) * beside as u32);
        let tried = seen.iter().filter(|&&limit| limit > 1).count();
        assert!(tried * 8 < seen.len(), "{tried} of {}", seen.len());
    }

    #[test]
    fn calls_of_two_kinds_do_not_look_like_a_line() {
        let takes = |_, number| Duration::from_millis(if number % 3 == 0 { 1 } else { 50 });
        let (_, seen) = course(64, 60, takes);
        assert_eq!(median(seen), 64);
    }

    #[test]
    fn work_that_becomes_heavier_is_measured_anew() {
        let slow = |now: Duration| if now < Duration::from_secs(5) { 1 } else { 20 };
        let (mut limit, mut now) = (Adaptive::new(8, Duration::ZERO), Duration::ZERO);
        let mut highest_late = 0;
        while now < Duration::from_secs(60) {
            let took = Duration::from_millis(slow(now));
            now += took;
            let beside = limit.limit(now);
            limit.observe(took, beside, now);
            if now > Duration::from_secs(30) {
                highest_late = highest_late.max(limit.limit(now));
            }
        }
        assert_eq!(highest_late, 8, "what is alone now takes 20 ms");
    }

    #[test]
    fn a_call_that_hangs_holds_the_others_up_for_a_second_at_most() {
        let (mut limit, mut now) = (Adaptive::new(8, Duration::ZERO), Duration::ZERO);
        let (mut ones, mut looks) = (0, 0);
        while now < Duration::from_secs(100) {
            now += Duration::from_millis(10);
            looks += 1;
            ones += u32::from(limit.limit(now) == 1);
        }
        assert!(ones * 15 < looks, "{ones} of {looks} while nothing was answered");
    }

    proptest! {
        #[test]
        fn it_stays_between_one_and_the_most(
            most in 0usize..300,
            calls in proptest::collection::vec((0u64..2_000_000, 0usize..400, 0u64..50_000), 0..600),
        ) {
            let (mut limit, mut now) = (Adaptive::new(most, Duration::ZERO), Duration::ZERO);
            for (took, beside, pause) in calls {
                now += Duration::from_micros(pause);
                limit.observe(Duration::from_micros(took), beside, now);
                prop_assert!((1..=most.max(1)).contains(&limit.limit(now)));
                prop_assert!(limit.window.len() <= CALLS.1);
            }
        }
    }
}
