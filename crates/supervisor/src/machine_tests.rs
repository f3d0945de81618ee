//! Every state with every event, every sequence of events up to a length against a model of a process, and the numbers.

use super::*;
use ondol_core::entropy::SeededEntropy;

const SERVICE: Policy = Policy {
    start_within: Some(Duration::from_secs(10)),
    stop_within: Duration::from_secs(5),
    cap: CAP,
    gives_up: true,
};
const ROLE: Policy = Policy {
    start_within: None,
    cap: Duration::from_secs(5),
    gives_up: false,
    ..SERVICE
};
const NOW: Duration = Duration::from_secs(1_000);

/// Draws the largest number always: a back-off is its bound.
struct Largest;

impl Entropy for Largest {
    fn next_u64(&self) -> u64 {
        u64::MAX
    }
}

fn machine(state: State) -> Machine {
    Machine {
        state,
        ..Machine::new(SERVICE)
    }
}

/// States by short names; where time matters it is not yet due.
fn state(name: &str) -> State {
    let later = NOW + Duration::from_secs(1);
    match name {
        "stopped" => State::Stopped,
        "failed" => State::Failed,
        "starting" => State::Starting { since: NOW },
        "ready" => State::Ready {
            since: NOW,
            startup: Duration::ZERO,
        },
        "retiring" => State::Retiring { until: later },
        "ending to stop" => State::Ending {
            kill_at: later,
            then: Then::Stop,
        },
        "ending to start" => State::Ending {
            kill_at: later,
            then: Then::Start,
        },
        "clearing to stop" => State::Clearing {
            look_at: later,
            then: Then::Stop,
        },
        "clearing to start" => State::Clearing {
            look_at: later,
            then: Then::Start,
        },
        "clearing to go on" => State::Clearing {
            look_at: later,
            then: Then::Wait {
                delay: Duration::ZERO,
                looping: false,
            },
        },
        "clearing to wait" => State::Clearing {
            look_at: later,
            then: Then::Wait {
                delay: Duration::from_secs(1),
                looping: false,
            },
        },
        "waiting" => State::Waiting {
            until: later,
            looping: false,
        },
        other => panic!("{other}"),
    }
}

fn name(state: State) -> &'static str {
    match state {
        State::Stopped => "stopped",
        State::Failed => "failed",
        State::Starting { .. } => "starting",
        State::Ready { .. } => "ready",
        State::Retiring { .. } => "retiring",
        State::Ending { then: Then::Stop, .. } => "ending to stop",
        State::Ending { .. } => "ending to start",
        State::Clearing { then: Then::Stop, .. } => "clearing to stop",
        State::Clearing { then: Then::Start, .. } => "clearing to start",
        State::Clearing {
            then: Then::Wait { delay, .. },
            ..
        } if delay.is_zero() => "clearing to go on",
        State::Clearing {
            then: Then::Wait { .. },
            ..
        } => "clearing to wait",
        State::Waiting { .. } => "waiting",
    }
}

const STATES: [&str; 12] = [
    "stopped",
    "failed",
    "starting",
    "ready",
    "retiring",
    "ending to stop",
    "ending to start",
    "clearing to stop",
    "clearing to start",
    "clearing to go on",
    "clearing to wait",
    "waiting",
];

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("start", Event::Start),
        ("restart", Event::Restart),
        ("stop", Event::Stop),
        ("retire", Event::Retire(Duration::from_secs(1))),
        ("cannot spawn", Event::CannotSpawn("why".into())),
        ("ready", Event::Ready),
        ("exited", Event::Exited(Exit::Code(1))),
        ("killed", Event::Exited(Exit::Signal(9))),
        ("gone", Event::Gone),
        ("tick", Event::Tick),
        ("due", Event::Tick),
    ]
}

/// Every move that changes something: state, event, state, effect. Whatever is not here changes nothing.
const MOVES: &[(&str, &str, &str, Option<Effect>)] = &[
    ("stopped", "start", "starting", Some(Effect::Spawn)),
    ("stopped", "restart", "starting", Some(Effect::Spawn)),
    ("failed", "start", "starting", Some(Effect::Spawn)),
    ("failed", "restart", "starting", Some(Effect::Spawn)),
    ("failed", "stop", "stopped", None),
    ("failed", "retire", "stopped", None),
    ("starting", "restart", "ending to start", Some(Effect::Terminate)),
    ("starting", "stop", "ending to stop", Some(Effect::Terminate)),
    ("starting", "retire", "ending to stop", Some(Effect::Terminate)),
    ("starting", "cannot spawn", "failed", None),
    ("starting", "ready", "ready", None),
    ("starting", "exited", "clearing to wait", Some(Effect::Kill)),
    ("starting", "killed", "clearing to wait", Some(Effect::Kill)),
    ("starting", "due", "clearing to wait", Some(Effect::Kill)),
    ("ready", "restart", "ending to start", Some(Effect::Terminate)),
    ("ready", "stop", "ending to stop", Some(Effect::Terminate)),
    ("ready", "retire", "retiring", Some(Effect::Retire)),
    ("ready", "exited", "clearing to wait", Some(Effect::Kill)),
    ("ready", "killed", "clearing to go on", Some(Effect::Kill)),
    ("retiring", "restart", "ending to start", Some(Effect::Terminate)),
    ("retiring", "stop", "ending to stop", Some(Effect::Terminate)),
    ("retiring", "exited", "clearing to stop", Some(Effect::Kill)),
    ("retiring", "killed", "clearing to stop", Some(Effect::Kill)),
    ("retiring", "due", "ending to stop", Some(Effect::Terminate)),
    ("ending to stop", "restart", "ending to start", None),
    ("ending to stop", "exited", "clearing to stop", Some(Effect::Kill)),
    ("ending to stop", "killed", "clearing to stop", Some(Effect::Kill)),
    ("ending to stop", "due", "clearing to stop", Some(Effect::Kill)),
    ("ending to start", "stop", "ending to stop", None),
    ("ending to start", "retire", "ending to stop", None),
    ("ending to start", "exited", "clearing to start", Some(Effect::Kill)),
    ("ending to start", "killed", "clearing to start", Some(Effect::Kill)),
    ("ending to start", "due", "clearing to start", Some(Effect::Kill)),
    ("clearing to stop", "restart", "clearing to start", None),
    ("clearing to stop", "gone", "stopped", None),
    ("clearing to stop", "due", "clearing to stop", Some(Effect::Kill)),
    ("clearing to start", "stop", "clearing to stop", None),
    ("clearing to start", "retire", "clearing to stop", None),
    ("clearing to start", "gone", "starting", Some(Effect::Spawn)),
    ("clearing to start", "due", "clearing to start", Some(Effect::Kill)),
    ("clearing to go on", "restart", "clearing to start", None),
    ("clearing to go on", "stop", "clearing to stop", None),
    ("clearing to go on", "retire", "clearing to stop", None),
    ("clearing to go on", "gone", "starting", Some(Effect::Spawn)),
    ("clearing to go on", "due", "clearing to go on", Some(Effect::Kill)),
    ("clearing to wait", "restart", "clearing to start", None),
    ("clearing to wait", "stop", "clearing to stop", None),
    ("clearing to wait", "retire", "clearing to stop", None),
    ("clearing to wait", "gone", "waiting", None),
    ("clearing to wait", "due", "clearing to wait", Some(Effect::Kill)),
    ("waiting", "restart", "starting", Some(Effect::Spawn)),
    ("waiting", "stop", "stopped", None),
    ("waiting", "retire", "stopped", None),
    ("waiting", "due", "starting", Some(Effect::Spawn)),
];

#[test]
fn every_state_with_every_event_moves_as_the_table_says() {
    for from in STATES {
        for (event_name, event) in events() {
            let mut machine = machine(state(from));
            let now = if event_name == "due" {
                NOW + Duration::from_secs(3_600)
            } else {
                NOW
            };
            let effect = machine.step(&event, now, &Largest);
            let listed = MOVES
                .iter()
                .find(|(state, event, ..)| (*state, *event) == (from, event_name));
            let (to, expected) = listed.map_or((from, None), |(_, _, to, effect)| (*to, *effect));
            assert_eq!(
                (name(machine.state), effect),
                (to, expected),
                "{from} with {event_name}"
            );
            if listed.is_none() {
                assert_eq!(machine.state, state(from), "{from} with {event_name} changes nothing");
            }
        }
    }
}

/// The page `docs/flows/instance.md`: the table as a drawing.
fn drawing() -> String {
    let mut page =
        "# An instance's life\n\nDrawn from `crates/supervisor/src/machine_tests.rs`; a test keeps them in step. \
        In brackets: what the supervisor does then.\n\n```mermaid\nstateDiagram-v2\n    [*] --> stopped\n"
            .to_owned();
    for (from, event, to, effect) in MOVES {
        let effect = effect
            .map(|effect| format!(" ({effect:?})").to_lowercase())
            .unwrap_or_default();
        page += &format!(
            "    {} --> {}: {event}{effect}\n",
            from.replace(' ', "_"),
            to.replace(' ', "_")
        );
    }
    page + "```\n\n`due` is the end of what the state waits for: `start_within`, the drain of one that retires, `stop_within`, the back-off, or the next look at a tree.\n"
}

#[test]
fn the_drawing_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/flows/instance.md");
    let (written, drawn) = (std::fs::read_to_string(path).unwrap_or_default(), drawing());
    assert_eq!(written, drawn, "docs/flows/instance.md should read:\n{drawn}");
}

/// What a machine moves: a process and the rest of its tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tree {
    leader: bool,
    rest: bool,
}

/// Goes through every sequence of `length` events that can happen to such a tree.
fn explore(machine: &Machine, tree: Tree, wanted: bool, length: usize) {
    if length == 0 {
        return;
    }
    for (name, event) in events() {
        let possible = match name {
            // The loop refuses a start of what runs or waits.
            "start" => matches!(machine.state, State::Stopped | State::Failed),
            // Answered within the step that spawned.
            "cannot spawn" => false,
            "ready" | "exited" | "killed" => tree.leader,
            "gone" => tree == Tree::default() && matches!(machine.state, State::Clearing { .. }),
            "due" => machine.due().is_some(),
            _ => true,
        };
        if possible {
            let now = if name == "due" {
                machine.due().unwrap_or(NOW)
            } else {
                NOW
            };
            let (mut machine, mut tree) = (machine.clone(), tree);
            tree.leader &= !matches!(name, "exited" | "killed");
            let wanted = match name {
                "start" | "restart" => true,
                "stop" | "retire" => false,
                _ => wanted,
            };
            follow(&mut machine, &mut tree, &event, now, wanted);
            explore(&machine, tree, wanted, length - 1);
        }
    }
}

fn follow(machine: &mut Machine, tree: &mut Tree, event: &Event, now: Duration, wanted: bool) {
    match machine.step(event, now, &Largest) {
        Some(Effect::Spawn) => {
            assert_eq!(*tree, Tree::default(), "spawned beside a life");
            assert!(wanted, "spawned after a stop");
            *tree = Tree {
                leader: true,
                rest: true,
            };
        }
        Some(Effect::Retire | Effect::Terminate) => assert!(tree.leader, "nobody to tell"),
        Some(Effect::Kill) => *tree = Tree::default(),
        None => {}
    }
    assert!(
        machine.may_run() || *tree == Tree::default(),
        "{:?} forgets {tree:?}",
        machine.state
    );
}

#[test]
fn no_sequence_of_events_spawns_twice_or_after_a_stop_or_forgets_a_process() {
    explore(&Machine::new(SERVICE), Tree::default(), false, 7);
    explore(&Machine::new(ROLE), Tree::default(), false, 7);
}

/// Lets it die of `exit` after `ready_for` (`None`: before it was ready); the delay and whether it is a crash loop.
fn die(machine: &mut Machine, exit: &Exit, ready_for: Option<Duration>) -> (Duration, bool) {
    machine.state = match ready_for {
        Some(span) => State::Ready {
            since: NOW - span,
            startup: Duration::from_secs(1),
        },
        None => State::Starting { since: NOW },
    };
    machine.step(&Event::Exited(exit.clone()), NOW, &Largest);
    match machine.state {
        State::Clearing {
            then: Then::Wait { delay, looping },
            ..
        } => (delay, looping),
        other => panic!("{other:?}"),
    }
}

fn about(span: Duration, millis: u64) -> bool {
    span.abs_diff(Duration::from_millis(millis)) < Duration::from_millis(1)
}

#[test]
fn the_back_off_doubles_up_to_its_cap_with_full_jitter() {
    let mut role = Machine::new(ROLE);
    let delays: Vec<Duration> = (0..7).map(|_| die(&mut role, &Exit::Code(1), None).0).collect();
    let bounds = [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000];
    assert!(
        delays.iter().zip(bounds).all(|(delay, bound)| about(*delay, bound)),
        "{delays:?}"
    );
    let entropy = SeededEntropy::new(1);
    let drawn: Vec<Duration> = (0..1_000).map(|_| entropy.jitter(doubled(0, CAP))).collect();
    assert!(drawn.iter().any(|delay| *delay < BACK_OFF / 10) && drawn.iter().any(|delay| *delay > BACK_OFF * 9 / 10));
}

#[test]
fn five_crashes_are_a_loop_and_a_loop_is_tried_rarely() {
    let mut machine = Machine::new(SERVICE);
    let outcomes: Vec<(Duration, bool)> = (0..6).map(|_| die(&mut machine, &Exit::Code(1), None)).collect();
    assert_eq!(
        outcomes.iter().map(|outcome| outcome.1).collect::<Vec<_>>(),
        [false, false, false, false, true, true]
    );
    assert!(outcomes[4].0 >= CAP / 2 && outcomes[4].0 <= CAP);
}

#[test]
fn a_kill_from_outside_while_ready_is_answered_at_once_then_within_two_seconds() {
    let mut machine = Machine::new(SERVICE);
    let outcomes: Vec<(Duration, bool)> = (0..50)
        .map(|_| die(&mut machine, &Exit::Signal(9), Some(Duration::ZERO)))
        .collect();
    assert_eq!(outcomes[0].0, Duration::ZERO);
    assert!(outcomes.iter().all(|(delay, looping)| *delay <= KILLED_CAP && !looping));
    // And the first crash after them is a first one.
    assert!(about(die(&mut machine, &Exit::Code(1), None).0, 250));
}

#[test]
fn a_kill_from_outside_before_ready_grows_the_back_off_and_is_no_crash() {
    let mut machine = Machine::new(SERVICE);
    let outcomes: Vec<(Duration, bool)> = (0..10).map(|_| die(&mut machine, &Exit::Signal(9), None)).collect();
    assert!(about(outcomes[1].0, 500) && outcomes.iter().all(|outcome| !outcome.1));
}

#[test]
fn lack_of_memory_is_a_crash() {
    let mut machine = Machine::new(SERVICE);
    let last = (0..5)
        .map(|_| die(&mut machine, &Exit::OutOfMemory, Some(Duration::ZERO)))
        .last();
    assert!(last.expect("five").1);
}

#[test]
fn a_stable_life_is_thirty_seconds_or_ten_times_its_startup() {
    let first = |ready_for: Duration, startup: Duration| {
        let mut machine = Machine::new(SERVICE);
        (0..4).for_each(|_| {
            die(&mut machine, &Exit::Code(1), None);
        });
        machine.state = State::Ready {
            since: NOW - ready_for,
            startup,
        };
        machine.step(&Event::Exited(Exit::Code(1)), NOW, &Largest);
        matches!(machine.state, State::Clearing { then: Then::Wait { delay, .. }, .. } if about(delay, 250))
    };
    assert!(first(Duration::from_secs(30), Duration::from_secs(1)));
    assert!(!first(Duration::from_secs(29), Duration::from_secs(1)));
    assert!(!first(Duration::from_secs(40), Duration::from_secs(5)));
    assert!(first(Duration::from_secs(50), Duration::from_secs(5)));
}

#[test]
fn a_role_that_cannot_be_spawned_waits_and_a_service_fails() {
    for (policy, expected) in [(ROLE, "waiting"), (SERVICE, "failed")] {
        let mut machine = Machine::new(policy);
        machine.step(&Event::Start, NOW, &Largest);
        machine.step(&Event::CannotSpawn("why".into()), NOW, &Largest);
        assert_eq!(name(machine.state), expected);
        assert_eq!(machine.last_exit, Some(Exit::Spawn("why".into())));
    }
}

#[test]
fn hurry_ends_what_was_given_time() {
    let mut machine = Machine::new(SERVICE);
    machine.step(&Event::Start, NOW, &Largest);
    machine.step(&Event::Stop, NOW, &Largest);
    assert_eq!(machine.step(&Event::Tick, NOW, &Largest), None);
    machine.hurry(NOW);
    assert_eq!(machine.step(&Event::Tick, NOW, &Largest), Some(Effect::Kill));
}
