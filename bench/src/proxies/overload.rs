//! Three times as many requests as a service can do: how much of its capacity still becomes answers in time.
//!
//! The service has sixteen workers, and a request takes one of them 40 ms; it works on whatever it was sent. Its capacity is
//! measured without a proxy, over kept connections. Good is a 2xx within a second of when the request was due.

use super::flow::Flow;
use super::{Bench, Entrance, backend, kept, tell};
use crate::goal::Goal;
use std::sync::Arc;
use std::time::Duration;

/// More than there are workers, so that none is ever idle.
const CONNECTIONS: u64 = 64;
/// Requests by which the capacity is measured.
const MEASURES: u64 = 1_600;
const TIMES: f64 = 3.0;
const WARM_UP: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(1);
const CAPACITY: &str = "a service of bounded capacity, alone";
const GOODPUT: &str = "asked three times as much: answers within 1 s, of the capacity";

pub(super) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let origin = bench.behind.bounded;
    let ask: Arc<[_]> = [b"GET /bounded/small HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()].into();
    for round in 0..bench.args.rounds {
        backend::forget(origin)?;
        let took = kept::run(origin, CONNECTIONS, MEASURES, &ask)?;
        let capacity = MEASURES as f64 / took.as_secs_f64();
        bench.report.ours(CAPACITY, "requests/s", capacity);
        let flow = Flow {
            rate: TIMES * capacity,
            warm_up: WARM_UP,
            counted: Duration::from_secs(bench.args.seconds),
            patience: DEADLINE,
            seed: u64::from(round),
        };
        for contender in &bench.contenders {
            backend::forget(origin)?;
            let seen = flow.run(contender.port(Entrance::Bounded), Entrance::Bounded.path())?;
            let share = 100.0 * seen.goodput(flow) / capacity;
            tell(&mut bench.report, GOODPUT, "%", contender, share);
        }
        backend::forget(origin)?;
    }
    bench.report.goal(GOODPUT, Goal::AtLeast(90.0));
    Ok(())
}
