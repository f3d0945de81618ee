//! One bad instance of five: at 70 % of what the five could do together, how long requests take and how many are answered.
//!
//! Each instance has four workers, and a request takes one of them 20 ms, so the five do 1,000 requests a second and are asked
//! 700. The bad one answers 400 ms later than it is asked, however many ask it; or it answers 500 at once. Each proxy balances and
//! ejects as it does where nothing is said of it.

use super::flow::{Flow, Seen};
use super::{Bench, Entrance, backend, tell};
use crate::goal::Goal;
use std::time::Duration;

/// Requests a second that the five could do together, by `late` and `failing` in `ours`.
const CAPACITY: f64 = 1_000.0;
const WARM_UP: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(5);

/// A name, a unit, the figure.
type Figure = (&'static str, &'static str, fn(&Seen) -> f64);

const LATE: [Figure; 2] = [
    (
        "one of five answers 400 ms late, 70 % load: p99",
        "ms",
        Seen::p99_of_all,
    ),
    ("the same: answered well within 5 s", "%", Seen::good_percent),
];
const FAILING: [Figure; 2] = [
    (
        "one of five answers 500 at once, 70 % load: answered well",
        "%",
        Seen::good_percent,
    ),
    ("the same: p99 of those", "ms", Seen::p99_of_good),
];

pub(super) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    for round in 0..bench.args.rounds {
        turn(bench, Entrance::Late, &LATE, round)?;
        turn(bench, Entrance::Failing, &FAILING, round)?;
    }
    bench.report.goal(LATE[0].0, Goal::Times("HAProxy", 0.5));
    Ok(())
}

fn turn(bench: &mut Bench, entrance: Entrance, figures: &[Figure], round: u32) -> anyhow::Result<()> {
    let flow = Flow {
        rate: 0.7 * CAPACITY,
        warm_up: WARM_UP,
        counted: Duration::from_secs(bench.args.seconds),
        patience: PATIENCE,
        // The same crowd for everybody, another one in each round.
        seed: u64::from(round),
    };
    for contender in &bench.contenders {
        for port in bench.behind.instances(entrance) {
            backend::forget(*port)?;
        }
        let seen = flow.run(contender.port(entrance), entrance.path())?;
        for (name, unit, figure) in figures {
            tell(&mut bench.report, name, unit, contender, figure(&seen));
        }
    }
    Ok(())
}
