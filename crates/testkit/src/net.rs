//! A network that delays, loses, repeats and delivers late, by one seed.
//!
//! A request is delivered by a task of its own: once sent it may arrive although its sender has given up or died, which
//! is what makes a timeout *unknown*. Tests: beside it.

use ondol_core::BoxFuture;
use ondol_core::caller::{Answer, Call, CallError, HttpCaller};
use ondol_core::entropy::SharedEntropy;
use ondol_core::task::{Kind, Tasks};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How bad the network is. Shares in one thousand calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// A request and an answer each take up to this long.
    pub delay: Duration,
    /// Refused before anything is sent.
    pub refused: u64,
    /// The request is lost.
    pub lost: u64,
    /// The request arrives, the answer is lost.
    pub answer_lost: u64,
    /// The request arrives twice, the second time later.
    pub twice: u64,
    /// The request arrives long after its sender gave up.
    pub late: u64,
}

impl Faults {
    /// A network that is merely slow.
    pub const NONE: Self = Self {
        delay: Duration::from_millis(5),
        refused: 0,
        lost: 0,
        answer_lost: 0,
        twice: 0,
        late: 0,
    };
    /// One that spoils every third call.
    pub const MANY: Self = Self {
        delay: Duration::from_millis(50),
        refused: 60,
        lost: 70,
        answer_lost: 70,
        twice: 70,
        late: 70,
    };
}

type Serve = dyn Fn(Call) -> Answer + Send + Sync;

/// A caller whose calls go through a simulated network to `serve`.
#[derive(Clone)]
pub struct SimNet {
    serve: Arc<Serve>,
    faults: Faults,
    calm: Arc<AtomicBool>,
    entropy: SharedEntropy,
    tasks: Tasks,
}

impl SimNet {
    /// A network; `tasks` carries its deliveries and should outlive whoever calls.
    pub fn new(
        serve: impl Fn(Call) -> Answer + Send + Sync + 'static,
        faults: Faults,
        entropy: SharedEntropy,
        tasks: Tasks,
    ) -> Self {
        Self {
            serve: Arc::new(serve),
            faults,
            calm: Arc::default(),
            entropy,
            tasks,
        }
    }

    /// From now on nothing is spoiled any more, what is on the way excepted.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    fn deliver(&self, call: Call, after: Duration) -> oneshot::Receiver<Answer> {
        let (tell, answer) = oneshot::channel();
        let (serve, back) = (self.serve.clone(), self.entropy.jitter(self.faults.delay));
        self.tasks.spawn(Kind::Other, async move {
            tokio::time::sleep(after).await;
            let served = serve(call);
            tokio::time::sleep(back).await;
            let _nobody_waits = tell.send(served);
        });
        answer
    }
}

impl HttpCaller for SimNet {
    fn call(&self, call: Call) -> BoxFuture<Result<Answer, CallError>> {
        let this = self.clone();
        Box::pin(async move {
            let faults = if this.calm.load(Ordering::Relaxed) {
                Faults::NONE
            } else {
                this.faults
            };
            let (timeout, there) = (call.timeout, this.entropy.jitter(faults.delay));
            let mut draw = this.entropy.below(1_000);
            let mut is = |share: u64| {
                let hit = draw < share;
                draw = if hit { u64::MAX } else { draw.saturating_sub(share) };
                hit
            };
            if is(faults.refused) {
                return Err(CallError::NotSent("connection refused".into()));
            }
            let answer = if is(faults.lost) {
                None
            } else if is(faults.late) {
                let later = timeout + this.entropy.jitter(timeout * 4);
                this.deliver(call, later);
                None
            } else if is(faults.answer_lost) {
                this.deliver(call, there);
                tokio::time::sleep(there + faults.delay).await;
                return Err(CallError::Unknown("connection reset".into()));
            } else {
                if is(faults.twice) {
                    this.deliver(call.clone(), there + this.entropy.jitter(timeout * 2));
                }
                Some(this.deliver(call, there))
            };
            let arrived = async {
                match answer {
                    Some(answer) => answer.await.map_err(|_| CallError::Unknown("connection reset".into())),
                    None => std::future::pending().await,
                }
            };
            tokio::time::timeout(timeout, arrived)
                .await
                .unwrap_or_else(|_| Err(CallError::Unknown("timeout".into())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, Method, StatusCode};
    use ondol_core::entropy::SeededEntropy;
    use std::sync::atomic::AtomicU64;

    /// Outcomes of 300 calls, and how many requests arrived.
    async fn run(seed: u64, faults: Faults) -> (Vec<String>, u64) {
        let served = Arc::new(AtomicU64::new(0));
        let count = served.clone();
        let serve = move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Answer {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            }
        };
        let net = SimNet::new(serve, faults, Arc::new(SeededEntropy::new(seed)), Tasks::new());
        let mut seen = Vec::new();
        for _ in 0..300 {
            let service = "s".parse().expect("a name");
            let timeout = Duration::from_secs(1);
            let call = Call {
                service,
                method: Method::GET,
                path: "/".into(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                timeout,
            };
            seen.push(match net.call(call).await {
                Ok(_) => "ok".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        (seen, served.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn one_seed_gives_one_run_with_every_fault_in_it() {
        let (seen, served) = run(7, Faults::MANY).await;
        assert_eq!((seen.clone(), served), run(7, Faults::MANY).await);
        assert_ne!(seen, run(8, Faults::MANY).await.0);
        for outcome in [
            "ok",
            "not sent: connection refused",
            "outcome unknown: timeout",
            "outcome unknown: connection reset",
        ] {
            assert!(seen.iter().any(|one| one == outcome), "{outcome}");
        }
        let ok = seen.iter().filter(|one| *one == "ok").count() as u64;
        assert!(served > ok, "some arrived twice, late, or without an answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_calm_network_answers_every_call_once() {
        let (seen, served) = run(1, Faults::NONE).await;
        assert!(seen.iter().all(|one| one == "ok") && served == 300);
    }
}
