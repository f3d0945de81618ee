//! Clients that ask without a pause on kept connections, and remember every answer that is not 2xx.

use crate::http::Connection;
use crate::system::until;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const CLIENTS: usize = 4;

/// What the clients have seen so far.
#[derive(Default)]
pub struct Seen {
    answers: AtomicUsize,
    failures: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Seen {
    /// Waits until so many more answers have come.
    pub fn wait_for(&self, more: usize) {
        let goal = self.answers.load(Ordering::Relaxed) + more;
        until("answers under load", || {
            (self.answers.load(Ordering::Relaxed) >= goal).then_some(())
        });
    }

    fn client(&self, address: &str, path: &str) {
        let mut connection = None;
        while !self.stop.load(Ordering::Relaxed) {
            let answer = match connection.take().map_or_else(|| Connection::open(address), Ok) {
                Ok(mut open) => open.ask("GET", path, &[], b"").map(|answer| (open, answer)),
                Err(error) => Err(error),
            };
            match answer {
                Ok((open, answer)) => {
                    if !(200..300).contains(&answer.status()) {
                        self.failed(format!("{} {}", answer.line, answer.text()));
                    }
                    let closes = answer
                        .field("connection")
                        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
                    connection = (!closes).then_some(open);
                }
                Err(error) => self.failed(error.to_string()),
            }
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn failed(&self, why: String) {
        self.failures.lock().expect("no client panics").push(why);
    }
}

/// Stops the clients also when the work panics, else their scope would wait for ever.
struct StopAtEnd<'a>(&'a Seen);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Does `work` while clients ask for `path`; panics if one of their requests failed.
#[track_caller]
pub fn without_a_failed_request<T>(address: &str, path: &str, work: impl FnOnce(&Seen) -> T) -> T {
    let seen = Seen::default();
    let done = std::thread::scope(|scope| {
        let _stop = StopAtEnd(&seen);
        for _ in 0..CLIENTS {
            scope.spawn(|| seen.client(address, path));
        }
        seen.wait_for(20);
        let done = work(&seen);
        seen.wait_for(20);
        done
    });
    let failures = seen.failures.into_inner().expect("no client panics");
    let (count, answers) = (failures.len(), seen.answers.into_inner());
    assert!(
        failures.is_empty(),
        "{count} of {answers} requests failed, first: {:?}",
        &failures[..count.min(5)]
    );
    done
}
