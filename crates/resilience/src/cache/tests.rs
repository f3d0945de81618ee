//! The rules by the words of RFC 9111 and RFC 5861, and the slot beside a plain model.

use super::slot::{AFTER_FAILURE, CAP, FIRST, HIT_FOR_MISS, Landing, Look, MOST_WAITING, Slot, Wish};
use super::*;
use proptest::prelude::*;

const SEC: Duration = Duration::from_secs(1);
const RULES: Rules = Rules {
    shared: false,
    while_revalidating: Duration::ZERO,
    on_error: Duration::from_secs(60),
};

fn ok() -> Said {
    Said {
        status: 200,
        ..Said::default()
    }
}

/// Lifetime, stale while revalidating, stale on error, in seconds.
fn kept(rules: Rules, asker: Asker, said: Said) -> Option<[u64; 3]> {
    let terms = keep(&rules, asker, &said)?;
    Some([terms.lifetime, terms.while_revalidating, terms.on_error].map(|span| span.as_secs()))
}

fn secs(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

#[test]
fn what_an_answer_says_decides_whether_it_is_kept() {
    let by_age = Said {
        max_age: secs(10),
        ..ok()
    };
    for (what, said, expected) in [
        ("max-age", by_age, Some([10, 0, 60])),
        (
            "s-maxage goes before it, and forbids stale answers",
            Said {
                s_maxage: secs(5),
                ..by_age
            },
            Some([5, 0, 0]),
        ),
        (
            "unless it allows them itself",
            Said {
                s_maxage: secs(5),
                on_error: secs(7),
                ..by_age
            },
            Some([5, 0, 7]),
        ),
        (
            "max-age goes before Expires",
            Said {
                expires: secs(99),
                ..by_age
            },
            Some([10, 0, 60]),
        ),
        (
            "Expires",
            Said {
                expires: secs(9),
                ..ok()
            },
            Some([9, 0, 60]),
        ),
        ("nothing said: never fresh, only for errors", ok(), Some([0, 0, 60])),
        (
            "nothing said of a status that needs it",
            Said { status: 302, ..ok() },
            None,
        ),
        ("it says so", Said { status: 302, ..by_age }, Some([10, 0, 60])),
        (
            "no-store",
            Said {
                no_store: true,
                ..by_age
            },
            None,
        ),
        (
            "private",
            Said {
                private: true,
                ..by_age
            },
            None,
        ),
        (
            "a cookie",
            Said {
                sets_cookie: true,
                public: true,
                ..by_age
            },
            None,
        ),
        (
            "Vary: *",
            Said {
                varies_by_all: true,
                ..by_age
            },
            None,
        ),
        ("a part", Said { status: 206, ..by_age }, None),
        ("not modified", Said { status: 304, ..by_age }, None),
        (
            "must-revalidate: fresh, and never stale",
            Said {
                must_revalidate: true,
                on_error: secs(9),
                ..by_age
            },
            Some([10, 0, 0]),
        ),
        (
            "no-cache without a validator is of no use",
            Said {
                no_cache: true,
                ..by_age
            },
            None,
        ),
        (
            "no-cache with one: to be confirmed each time",
            Said {
                no_cache: true,
                validated: true,
                ..by_age
            },
            Some([0, 0, 0]),
        ),
        (
            "its own stale-while-revalidate",
            Said {
                while_revalidating: secs(30),
                ..by_age
            },
            Some([10, 30, 60]),
        ),
        (
            "its own stale-if-error, also if shorter",
            Said {
                on_error: secs(1),
                ..by_age
            },
            Some([10, 0, 1]),
        ),
        (
            "a failure for a second",
            Said {
                status: 404,
                max_age: secs(300),
                on_error: secs(9),
                ..ok()
            },
            Some([1, 0, 0]),
        ),
        ("a failure that says nothing", Said { status: 404, ..ok() }, None),
        (
            "older than it may be for anything",
            Said {
                age: SEC * 70,
                ..by_age
            },
            None,
        ),
    ] {
        assert_eq!(kept(RULES, Asker::default(), said), expected, "{what}");
    }
}

#[test]
fn credentials_need_leave_and_so_does_sharing_what_was_for_one() {
    let said = Said {
        max_age: secs(10),
        ..ok()
    };
    let leave = [
        Said { public: true, ..said },
        Said {
            s_maxage: secs(10),
            ..said
        },
    ];
    let shared = Rules { shared: true, ..RULES };
    let known = Asker {
        known: true,
        credentials: false,
    };
    let credentials = Asker {
        known: false,
        credentials: true,
    };
    for (rules, asker, without) in [
        (RULES, Asker::default(), true),
        (shared, Asker::default(), true),
        (RULES, known, true),
        (shared, known, false),
        (RULES, credentials, false),
        (shared, credentials, false),
    ] {
        assert_eq!(keep(&rules, asker, &said).is_some(), without, "{rules:?} {asker:?}");
        let revalidated = Said {
            must_revalidate: true,
            ..said
        };
        assert_eq!(keep(&rules, asker, &revalidated).is_some(), without, "it is no leave");
        for said in leave {
            assert!(keep(&rules, asker, &said).is_some(), "{rules:?} {asker:?} {said:?}");
        }
    }
}

#[test]
fn an_answer_is_as_old_as_the_worse_of_what_it_says_and_what_its_date_says() {
    assert_eq!(initial_age(SEC * 3, SEC, Duration::ZERO), SEC * 4);
    assert_eq!(initial_age(SEC * 3, SEC, SEC * 9), SEC * 9);
}

fn terms(lifetime: u64, while_revalidating: u64, on_error: u64) -> Terms {
    let [lifetime, while_revalidating, on_error] = [lifetime, while_revalidating, on_error].map(Duration::from_secs);
    Terms {
        lifetime,
        age: Duration::ZERO,
        while_revalidating,
        on_error,
    }
}

fn look(slot: &mut Slot, now: Duration) -> Look {
    slot.look(now, &Wish::default(), 0)
}

#[test]
fn one_asks_and_the_others_wait_and_then_it_is_there() {
    let mut slot = Slot::default();
    assert_eq!(look(&mut slot, SEC), Look::Lead);
    assert_eq!(look(&mut slot, SEC), Look::Wait);
    assert_eq!(slot.look(SEC, &Wish::default(), MOST_WAITING), Look::Alone);
    slot.land(SEC * 2, true, Landing::Kept(terms(10, 0, 60)), 0);
    assert_eq!(look(&mut slot, SEC * 5), Look::Fresh(SEC * 3));
    assert_eq!(look(&mut slot, SEC * 12), Look::Lead);
    assert_eq!(slot.ttl(SEC * 5), Some(7));
    assert_eq!(slot.ttl(SEC * 15), Some(-3));
}

#[test]
fn what_could_not_be_kept_is_waited_for_by_nobody() {
    let mut slot = Slot::default();
    assert_eq!(look(&mut slot, SEC), Look::Lead);
    slot.land(SEC, true, Landing::Unkept, 0);
    assert_eq!(look(&mut slot, SEC), Look::Alone);
    assert_eq!(look(&mut slot, SEC + HIT_FOR_MISS), Look::Lead);
    slot.land(SEC * 20, true, Landing::GivenUp, 0);
    assert_eq!(
        look(&mut slot, SEC * 20),
        Look::Lead,
        "nothing is known, so another leads"
    );
    slot.land(SEC * 30, true, Landing::Failed, 0);
    assert_eq!(look(&mut slot, SEC * 30), Look::Alone);
    assert_eq!(look(&mut slot, SEC * 30 + AFTER_FAILURE), Look::Lead);
    slot.land(SEC * 40, true, Landing::Kept(terms(0, 0, 60)), 0);
    assert_eq!(look(&mut slot, SEC * 40), Look::Alone, "it was never fresh");
}

#[test]
fn who_waits_is_told_by_the_head_that_an_answer_is_never_fresh() {
    let mut slot = Slot::default();
    assert_eq!((look(&mut slot, SEC), look(&mut slot, SEC)), (Look::Lead, Look::Wait));
    slot.land(SEC, true, Landing::NeverFresh, 0);
    let known = SEC + HIT_FOR_MISS - SEC / 10;
    assert_eq!(look(&mut slot, known), Look::Alone, "nobody waits again for a while");
    assert_eq!(look(&mut slot, SEC + HIT_FOR_MISS), Look::Lead, "nor for ever");
}

#[test]
fn an_asker_without_time_or_weight_says_nothing_of_the_origin() {
    let mut slot = Slot::default();
    look(&mut slot, SEC);
    slot.land(SEC, true, Landing::Shed, u64::MAX);
    assert_eq!(
        look(&mut slot, SEC),
        Look::Lead,
        "the next one asks, and others wait for it"
    );
    slot.land(SEC, true, Landing::Kept(terms(1, 0, 600)), 0);
    assert_eq!(look(&mut slot, SEC * 3), Look::Lead);
    slot.land(SEC * 3, true, Landing::Shed, u64::MAX);
    assert_eq!(look(&mut slot, SEC * 3), Look::Lead, "no stale answer stands in for it");
    // What is fetched beside a stale answer leaves a busy service alone for a moment.
    slot.land(SEC * 3, true, Landing::Kept(terms(1, 600, 600)), 0);
    assert!(matches!(look(&mut slot, SEC * 5), Look::Stale { revalidate: true, .. }));
    slot.land(SEC * 5, true, Landing::Shed, u64::MAX);
    assert!(matches!(
        look(&mut slot, SEC * 5),
        Look::Stale { revalidate: false, .. }
    ));
    assert!(matches!(
        look(&mut slot, SEC * 5 + FIRST),
        Look::Stale { revalidate: true, .. }
    ));
}

#[test]
fn a_failing_origin_is_asked_less_and_less_and_by_one_while_stale_answers_stand_in() {
    let mut slot = Slot::default();
    look(&mut slot, SEC);
    slot.land(SEC, true, Landing::Kept(terms(1, 0, 600)), 0);
    assert_eq!(
        look(&mut slot, SEC * 3),
        Look::Lead,
        "the first must ask: it may be well"
    );
    slot.land(SEC * 3, true, Landing::Failed, u64::MAX);
    let (mut now, mut probes, mut pauses) = (SEC * 3, 0, vec![SEC * 3]);
    while now < SEC * 203 {
        now += SEC / 10;
        match look(&mut slot, now) {
            Look::Stale { revalidate: true, .. } => {
                assert!(matches!(look(&mut slot, now), Look::Stale { revalidate: false, .. }));
                probes += 1;
                pauses.push(now);
                slot.land(now, true, Landing::Failed, u64::MAX);
            }
            Look::Stale { revalidate: false, .. } => {}
            other => panic!("{other:?} at {now:?}"),
        }
    }
    assert!((10..=12).contains(&probes), "{probes}");
    let between: Vec<_> = pauses.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        between[0] <= FIRST + SEC / 10 && between.last() <= Some(&(CAP + SEC / 10)),
        "{between:?}"
    );
    assert!(between.is_sorted(), "{between:?}");
    look(&mut slot, now + CAP);
    slot.land(now + CAP, true, Landing::Kept(terms(5, 0, 600)), 0);
    assert!(matches!(look(&mut slot, now + CAP), Look::Fresh(_)));
    assert_eq!(
        look(&mut slot, now + CAP + SEC * 6),
        Look::Lead,
        "the failures are forgotten"
    );
}

#[test]
fn a_request_may_want_what_is_newer_or_nothing_but_what_is_here() {
    let mut slot = Slot::default();
    look(&mut slot, SEC);
    slot.land(SEC, true, Landing::Kept(terms(10, 10, 60)), 0);
    let at = |slot: &mut Slot, now: u64, wish: Wish| slot.look(SEC * now as u32, &wish, 0);
    let no_cache = Wish {
        no_cache: true,
        ..Wish::default()
    };
    let newer = Wish {
        max_age: secs(2),
        ..Wish::default()
    };
    let long = Wish {
        min_fresh: secs(8),
        ..Wish::default()
    };
    let here = Wish {
        only_if_cached: true,
        ..Wish::default()
    };
    assert_eq!(at(&mut slot, 5, no_cache), Look::Alone);
    assert_eq!(at(&mut slot, 3, newer), Look::Fresh(SEC * 2));
    assert_eq!(at(&mut slot, 3, long), Look::Fresh(SEC * 2));
    assert_eq!(at(&mut slot, 5, here), Look::Fresh(SEC * 4));
    assert_eq!(
        at(&mut slot, 15, here),
        Look::Stale {
            age: SEC * 14,
            revalidate: false
        }
    );
    assert_eq!(at(&mut slot, 50, here), Look::Absent);
    assert_eq!(at(&mut slot, 5, newer), Look::Lead);
    // What is asked for now may be too old for it again: it would wait for others in turn.
    assert_eq!(at(&mut slot, 5, long), Look::Alone);
    assert_eq!(at(&mut slot, 5, newer), Look::Alone);
}

#[test]
fn what_one_request_gets_for_itself_takes_nothing_from_the_others() {
    let mut slot = Slot::default();
    look(&mut slot, SEC);
    slot.land(SEC, true, Landing::Kept(terms(10, 0, 60)), 0);
    slot.land(SEC * 2, false, Landing::Unkept, 0);
    slot.land(SEC * 2, false, Landing::Failed, 0);
    assert_eq!(look(&mut slot, SEC * 3), Look::Fresh(SEC * 2));
    assert_eq!(look(&mut slot, SEC * 12), Look::Lead, "the origin is not known to fail");
    slot.land(SEC * 12, true, Landing::Failed, 0);
    let quiet = slot;
    slot.land(SEC * 12, false, Landing::Failed, 0);
    assert_eq!(slot, quiet, "nor is it asked less for one more failure meanwhile");
    slot.land(SEC * 12, true, Landing::Unkept, 0);
    assert!(slot.is_empty(), "one that asks for others says what is so");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Look(bool),
    Land(u8, u64, u64, u64),
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Look),
        3 => (0..6_u8, 0..20_u64, 0..20_u64, 0..60_u64).prop_map(|(how, a, b, c)| Step::Land(how, a, b, c)),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    /// Beside the words of the RFCs, in whole seconds: what is given is fresh or may be given stale, one flies at a time, and
    /// whoever is told to ask alone or to lead has nothing better to get.
    #[test]
    fn nothing_is_given_that_may_not_be(steps in prop::collection::vec((0..8_u64, step(), any::<u64>()), 1..80)) {
        let (mut slot, mut now) = (Slot::default(), 1_000_u64);
        let (mut kept, mut flying, mut failing) = (None::<(u64, [u64; 3])>, false, false);
        for (pause, step, random) in steps {
            now += pause;
            let at = Duration::from_secs(now);
            match step {
                Step::Look(no_cache) => {
                    let age = kept.map(|(came, _)| now - came);
                    let by = kept.map(|(came, [lifetime, ..])| (now - came).checked_sub(lifetime));
                    let fresh = by == Some(None);
                    let beside = kept.is_some_and(|(_, [_, beside, _])| by.flatten().is_some_and(|by| by < beside));
                    let stands_in = failing && kept.is_some_and(|(_, [.., error])| by.flatten().is_none_or(|by| by < error));
                    match slot.look(at, &Wish { no_cache, ..Wish::default() }, 0) {
                        Look::Fresh(told) => prop_assert!(fresh && !no_cache && Some(told.as_secs()) == age),
                        Look::Stale { age: told, revalidate } => {
                            prop_assert!(!fresh && !no_cache && (beside || stands_in) && Some(told.as_secs()) == age);
                            prop_assert!(!(revalidate && flying));
                            flying |= revalidate;
                        }
                        Look::Lead => {
                            prop_assert!(!no_cache && !fresh && !flying && !beside && !stands_in);
                            flying = true;
                        }
                        Look::Wait => prop_assert!(flying && !no_cache && !fresh && !beside && !stands_in),
                        Look::Alone => prop_assert!(no_cache || !(fresh || beside || stands_in)),
                        Look::Absent => prop_assert!(false, "the origin may be asked"),
                    }
                }
                Step::Land(how, lifetime, beside, error) => {
                    let good = kept.is_some_and(|(came, [lifetime, beside, error])| now - came < lifetime + beside.max(error));
                    match how {
                        0 => {
                            slot.land(at, true, Landing::Kept(terms(lifetime, beside, error)), random);
                            (kept, failing) = (Some((now, [lifetime, beside, error])), false);
                        }
                        1 => {
                            slot.land(at, true, Landing::Unkept, random);
                            (kept, failing) = (None, false);
                        }
                        2 => {
                            slot.land(at, true, Landing::Failed, random);
                            failing |= good;
                        }
                        3 => slot.land(at, true, Landing::Shed, random),
                        4 => slot.land(at, true, Landing::NeverFresh, random),
                        _ => slot.land(at, true, Landing::GivenUp, random),
                    }
                    flying = false;
                }
                Step::Forget => {
                    slot.forget();
                    (kept, failing) = (None, false);
                }
            }
        }
    }
}
