//! Storms in a glass: the policies of this crate against simulated backends that fail, slow down, hang and come back, each
//! storm with a policy and without it. Virtual time and one seed: the same figures on every machine, in seconds.
//!
//! After them what moves when an instance comes or goes, by each way to hash.
//!
//! `cargo xtask bench resilience`; `-- --json` for machines.

#![allow(missing_docs, reason = "a program, whose parts have names that say what they are")]

mod moves;
mod scenes;
mod world;

use scenes::Storm;
use world::{Outcome, play};

const SEED: u64 = 7;

fn main() {
    let json = std::env::args().any(|word| word == "--json");
    if !json {
        println!(
            "{:34} {:12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}",
            "storm", "policy", "good/s", "critical", "p50 ms", "p99 ms", "attempts", "worst line"
        );
    }
    for storm in scenes::all() {
        for (is_with, policies) in [(true, storm.with), (false, storm.without)] {
            let outcome = play(&storm.scene, policies, SEED);
            println!(
                "{}",
                if json {
                    as_json(&storm, is_with, &outcome)
                } else {
                    as_row(&storm, is_with, &outcome)
                }
            );
        }
    }
    moves::print(json);
}

/// Good answers a second, the share of critical requests that got one, p50 and p99 in ms, attempts per request.
fn figures(storm: &Storm, outcome: &Outcome) -> [f64; 5] {
    let ms = |q| outcome.quantile(q).as_secs_f64() * 1e3;
    [
        outcome.good.len() as f64 / storm.scene.lasts.as_secs_f64(),
        outcome.critical_good as f64 / outcome.critical as f64,
        ms(0.5),
        ms(0.99),
        outcome.attempts as f64 / outcome.requests as f64,
    ]
}

fn as_row(storm: &Storm, is_with: bool, outcome: &Outcome) -> String {
    let [good, critical, p50, p99, attempts] = figures(storm, outcome);
    let policy = if is_with { storm.policy } else { "–" };
    let (name, critical) = (if is_with { storm.name } else { "" }, critical * 100.0);
    let line = outcome.worst_line;
    format!("{name:34} {policy:12} {good:9.0} {critical:8.0}% {p50:9.0} {p99:9.0} {attempts:9.2} {line:10}")
}

fn as_json(storm: &Storm, is_with: bool, outcome: &Outcome) -> String {
    let [good, critical, p50, p99, attempts] = figures(storm, outcome);
    let (name, policy, line) = (storm.name, storm.policy, outcome.worst_line);
    format!(
        "{{\"storm\":\"{name}\",\"policy\":\"{policy}\",\"with\":{is_with},\"good_per_s\":{good:.1},\
         \"critical_good\":{critical:.4},\"p50_ms\":{p50:.2},\"p99_ms\":{p99:.2},\"attempts\":{attempts:.3},\
         \"worst_line\":{line}}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures with and without the policy of the storm with this name; see [`figures`].
    fn plays(name: &str) -> [[f64; 5]; 2] {
        let storm = scenes::all()
            .into_iter()
            .find(|storm| storm.name == name)
            .expect("a storm");
        [storm.with, storm.without].map(|policies| figures(&storm, &play(&storm.scene, policies, SEED)))
    }

    #[test]
    fn the_same_seed_gives_the_same_course() {
        let storm = &scenes::all()[0];
        let [one, two] = [(); 2].map(|()| figures(storm, &play(&storm.scene, storm.with, SEED)));
        assert_eq!(one, two);
    }

    #[test]
    fn outlier_detection_leaves_a_failing_backend_alone() {
        let [with, without] = plays("one backend of five fails");
        assert!(with[0] > 1.15 * without[0], "{with:?} {without:?}");
    }

    #[test]
    fn balancing_leaves_a_slow_backend_what_it_can_do() {
        let [with, without] = plays("one backend of five is slow");
        assert!(with[0] > 1.15 * without[0], "{with:?} {without:?}");
    }

    #[test]
    fn fewer_requests_are_a_sign_of_a_fast_backend_too() {
        let [with, without] = plays("the same slow backend");
        assert!(with[0] > 1.15 * without[0], "{with:?} {without:?}");
    }

    #[test]
    fn a_key_that_many_ask_for_does_not_drown_its_backend() {
        let [with, without] = plays("two in five requests for one key");
        assert!(with[0] > 1.15 * without[0], "{with:?} {without:?}");
    }

    #[test]
    fn a_bulkhead_keeps_what_capacity_there_is() {
        let [with, without] = plays("brown-out: half the capacity");
        assert!(
            with[0] > 2.0 * without[0] && with[3] < 0.5 * without[3],
            "{with:?} {without:?}"
        );
    }

    #[test]
    fn critical_requests_are_served_before_others() {
        let [with, without] = plays("twice the load, a tenth critical");
        assert!(with[1] > 0.95 && without[1] < 0.7, "{with:?} {without:?}");
        assert!(
            with[0] > 0.9 * without[0],
            "and nobody pays for the order: {with:?} {without:?}"
        );
    }

    #[test]
    fn a_budget_keeps_retries_a_small_share() {
        let [with, without] = plays("retry storm after 3 s of hanging");
        assert!(with[4] < 1.3 && without[4] > 2.0, "{with:?} {without:?}");
        assert!(with[0] > 2.0 * without[0], "{with:?} {without:?}");
    }

    #[test]
    fn all_policies_together_end_the_storm_with_its_cause() {
        let [with, without] = plays("the same storm");
        assert!(with[0] > 1_200.0 && with[0] > 5.0 * without[0], "{with:?} {without:?}");
    }

    #[test]
    fn a_breaker_spares_a_service_that_hangs() {
        let [with, without] = plays("10 s of hanging, 50 callers");
        assert!(with[0] > 2.0 * without[0] && with[4] < 0.8, "{with:?} {without:?}");
    }

    #[test]
    fn slow_start_gives_a_cold_backend_time() {
        let [with, without] = plays("a cold backend joins");
        assert!(with[0] > 1.03 * without[0], "{with:?} {without:?}");
    }

    #[test]
    fn a_hedge_cuts_the_tail_for_little() {
        let [with, without] = plays("one in fifty takes long");
        assert!(with[3] < 0.6 * without[3], "{with:?} {without:?}");
        assert!(with[4] < 1.06, "{with:?}");
    }

    #[test]
    fn what_is_near_answers_sooner() {
        let [with, without] = plays("half of six are 20 ms further away");
        assert!(with[0] > 0.99 * without[0], "{with:?} {without:?}");
        assert!(with[2] < 0.8 * without[2], "{with:?} {without:?}");
    }

    #[test]
    fn a_zone_that_lost_most_sends_elsewhere_what_it_cannot_bear() {
        let [with, without] = plays("two of three at home fail");
        assert!(with[0] > 1.05 * without[0], "{with:?} {without:?}");
        assert!(with[3] < 0.3 * without[3], "{with:?} {without:?}");
    }
}
