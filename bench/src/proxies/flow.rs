//! An open loop: requests come when they are due, whatever became of those before them, and a request's time counts from
//! then (no coordinated omission). Who has no answer in time goes away, as people do.

use super::arrivals::Arrivals;
use super::kept::on_a_thread;
use crate::http::{Ask, Client};
use anyhow::Context;
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The clients may be so late with a hundredth of what they send; else they were the bottleneck, and it is said.
const PUNCTUAL: Duration = Duration::from_millis(10);

#[derive(Clone, Copy)]
pub(super) struct Flow {
    /// A second.
    pub(super) rate: f64,
    /// Sent and not counted.
    pub(super) warm_up: Duration,
    /// Requests due in this time afterwards are counted.
    pub(super) counted: Duration,
    /// From when a request is due to its answer.
    pub(super) patience: Duration,
    pub(super) seed: u64,
}

/// What became of the requests that are counted. Times in microseconds.
pub(super) struct Seen {
    sent: u64,
    /// Good answers that came in the time that is counted, to whatever request: what was due before it and answered in it stands
    /// for what was due in it and answered later.
    came: u64,
    /// Answered by 2xx in time.
    good: Histogram<u64>,
    /// Of all; who was not answered well has taken the whole patience.
    all: Histogram<u64>,
    /// From when they were due to when they were sent.
    lag: Histogram<u64>,
}

impl Seen {
    fn new() -> anyhow::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 120_000_000, 3).context("a histogram");
        Ok(Self {
            sent: 0,
            came: 0,
            good: histogram()?,
            all: histogram()?,
            lag: histogram()?,
        })
    }

    fn take(&mut self, told: Told, patience: Duration) {
        self.sent += 1;
        self.lag.saturating_record(told.lag.as_micros() as u64);
        if let Some(took) = told.good {
            self.good.saturating_record(took.as_micros() as u64);
        }
        let took = told.good.unwrap_or(patience);
        self.all.saturating_record(took.as_micros() as u64);
    }

    /// Answered well, of those that were sent.
    pub(super) fn good_percent(&self) -> f64 {
        100.0 * self.good.len() as f64 / self.sent.max(1) as f64
    }

    /// Good answers a second.
    pub(super) fn goodput(&self, flow: Flow) -> f64 {
        self.came as f64 / flow.counted.as_secs_f64()
    }

    /// Milliseconds; of all, where those that failed have taken the whole patience.
    pub(super) fn p99_of_all(&self) -> f64 {
        self.all.value_at_quantile(0.99) as f64 / 1e3
    }

    /// Milliseconds.
    pub(super) fn p99_of_good(&self) -> f64 {
        self.good.value_at_quantile(0.99) as f64 / 1e3
    }
}

/// One request: how late it was sent, and after what time it was answered well.
struct Told {
    lag: Duration,
    good: Option<Duration>,
}

impl Flow {
    /// Asks for a path, on a thread of its own.
    pub(super) fn run(self, port: u16, path: &'static str) -> anyhow::Result<Seen> {
        let seen = on_a_thread(self.ask(port, path))?;
        let lag = Duration::from_micros(seen.lag.value_at_quantile(0.99));
        if lag > PUNCTUAL {
            eprintln!("the clients were {lag:?} late at p99; take these figures for too bad");
        }
        Ok(seen)
    }

    async fn ask(self, port: u16, path: &'static str) -> anyhow::Result<Seen> {
        let client = Client::new(&format!("127.0.0.1:{port}"));
        let (mut seen, mut asked) = (Seen::new()?, JoinSet::new());
        let began = Instant::now();
        let end = self.warm_up + self.counted;
        for due in Arrivals::new(self.rate, self.seed).take_while(|due| *due < end) {
            tokio::time::sleep_until((began + due).into()).await;
            let client = client.clone();
            asked.spawn(async move { (due, one(&client, path, began + due, self.patience).await) });
            while let Some(told) = asked.try_join_next() {
                self.count(&mut seen, told?);
            }
        }
        while let Some(told) = asked.join_next().await {
            self.count(&mut seen, told?);
        }
        Ok(seen)
    }

    fn count(self, seen: &mut Seen, (due, told): (Duration, Told)) {
        let came = told.good.map(|took| due + took);
        let counted = self.warm_up..self.warm_up + self.counted;
        seen.came += u64::from(came.is_some_and(|came| counted.contains(&came)));
        if counted.contains(&due) {
            seen.take(told, self.patience);
        }
    }
}

async fn one(client: &Client, path: &str, due: Instant, patience: Duration) -> Told {
    let lag = due.elapsed();
    let answer = client.ask(Ask::get(path), patience.saturating_sub(lag)).await;
    let took = due.elapsed();
    let is_good = answer.is_ok_and(|answer| answer.status.is_success()) && took <= patience;
    Told {
        lag,
        good: is_good.then_some(took),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn who_is_not_answered_has_taken_the_whole_patience() {
        let mut seen = Seen::new().expect("bounds");
        for n in 0..100 {
            let good = (n < 95).then_some(10 * MS);
            seen.take(Told { lag: MS, good }, 2_000 * MS);
        }
        assert_eq!(seen.good_percent(), 95.0);
        assert!((9.9..10.1).contains(&seen.p99_of_good()), "{}", seen.p99_of_good());
        assert!((1_990.0..2_010.0).contains(&seen.p99_of_all()), "{}", seen.p99_of_all());
    }

    #[test]
    fn goodput_counts_answers_when_they_come_and_the_rest_counts_requests_when_they_are_due() {
        let (flow, mut seen) = (
            Flow {
                rate: 1.0,
                warm_up: 1_000 * MS,
                counted: 2_000 * MS,
                patience: 500 * MS,
                seed: 0,
            },
            Seen::new().expect("bounds"),
        );
        // Due, answered after: before, into the time that is counted, within it, out of it, and never.
        for (due, took) in [(500, 400), (900, 200), (1_500, 10), (2_900, 200), (2_000, 0)] {
            let good = (took > 0).then_some(took * MS);
            flow.count(&mut seen, (due * MS, Told { lag: MS, good }));
        }
        assert_eq!((seen.goodput(flow), seen.sent, seen.good.len()), (1.0, 3, 2));
    }
}
