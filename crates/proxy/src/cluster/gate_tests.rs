//! Gate over threads and runtimes: who waits is called once, whoever leaves gives back what is not his.

use super::*;
use Priority::{Batch, Critical, Default as Usual};
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::thread;

const SEC: Duration = Duration::from_secs(1);
const NEVER: Duration = Duration::MAX;

fn gate(limit: u32) -> Arc<Gate> {
    Gate::new(wire::Concurrency { min: limit, max: limit })
}

fn in_flight_and_waiting(gate: &Gate) -> (usize, usize) {
    let (_, in_flight, waiting, _) = gate.report();
    (in_flight, waiting)
}

fn poll(one: &mut InLine) -> Poll<Result<Admission, Overloaded>> {
    Pin::new(one).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_free_slot_goes_to_who_matters_most() {
    let gate = gate(1);
    let first = gate.try_enter(SEC, Usual).expect("free");
    assert!(gate.try_enter(SEC, Critical).is_none());
    let mut batch = gate.line_up(SEC, Batch, NEVER).expect("in line");
    let mut critical = gate.line_up(SEC, Critical, NEVER).expect("in line");
    drop(first);
    assert!(poll(&mut batch).is_pending());
    let Poll::Ready(Ok(admission)) = poll(&mut critical) else {
        panic!("it is called")
    };
    drop(admission);
    assert!(matches!(poll(&mut batch), Poll::Ready(Ok(_))));
    assert_eq!(in_flight_and_waiting(&gate), (0, 0));
}

#[test]
fn who_leaves_the_line_leaves_nothing_behind() {
    let gate = gate(1);
    let first = gate.try_enter(SEC, Usual).expect("free");
    let left = gate.line_up(SEC, Usual, NEVER).expect("in line");
    let called = gate.line_up(SEC, Usual, NEVER).expect("in line");
    drop(left);
    assert_eq!(in_flight_and_waiting(&gate), (1, 1));
    drop(first);
    assert_eq!(in_flight_and_waiting(&gate), (1, 0), "given, not yet taken");
    drop(called);
    assert_eq!(in_flight_and_waiting(&gate), (0, 0));
}

#[test]
fn one_that_is_shed_hears_of_it_and_is_counted() {
    let gate = gate(1);
    let _first = gate.try_enter(SEC, Usual).expect("free");
    let mut oldest = gate.line_up(SEC, Batch, NEVER).expect("in line");
    let mut others = Vec::new();
    while poll(&mut oldest).is_pending() {
        others.push(gate.line_up(SEC, Usual, NEVER).expect("in line"));
    }
    assert!(gate.line_up(SEC, Batch, NEVER).is_err());
    let (.., shed) = gate.report();
    assert_eq!(shed, [0, 0, 2, 0]);
}

#[test]
fn a_higher_limit_calls_those_in_line() {
    let gate = gate(1);
    let _first = gate.try_enter(SEC, Usual).expect("free");
    let mut second = gate.line_up(SEC, Usual, NEVER).expect("in line");
    gate.apply(wire::Concurrency { min: 2, max: 2 });
    assert!(matches!(poll(&mut second), Poll::Ready(Ok(_))));
}

#[test]
fn a_place_that_becomes_free_before_one_lines_up_is_not_waited_for() {
    let gate = gate(1);
    let held = gate.try_enter(SEC, Priority::Default).expect("free");
    assert!(gate.try_enter(SEC, Priority::Default).is_none());
    drop(held);
    let mut in_line = gate.line_up(SEC, Priority::Default, NEVER).expect("the line is long");
    assert!(matches!(poll(&mut in_line), Poll::Ready(Ok(_))));
}

#[test]
fn threads_share_the_slots_and_every_waker_is_called() {
    const THREADS: usize = 8;
    let (gate, busy) = (gate(3), Arc::new(AtomicUsize::new(0)));
    let work = |thread: usize| {
        let (gate, busy) = (gate.clone(), busy.clone());
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                for round in 0..500 {
                    let class = Priority::ALL[(thread + round) % 4];
                    let admission = match gate.try_enter(SEC, class) {
                        Some(admission) => admission,
                        None => {
                            let mut in_line = gate.line_up(SEC, class, NEVER).expect("the line is long");
                            if round % 7 == 0 {
                                continue; // Gives up, perhaps at the moment in which it is called.
                            }
                            poll_fn(|cx| Pin::new(&mut in_line).poll(cx)).await.expect("called")
                        }
                    };
                    assert!(busy.fetch_add(1, Ordering::SeqCst) < 3);
                    tokio::task::yield_now().await;
                    busy.fetch_sub(1, Ordering::SeqCst);
                    drop(admission);
                }
            });
        }
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(work(thread));
        }
    });
    assert_eq!(in_flight_and_waiting(&gate), (0, 0));
}
