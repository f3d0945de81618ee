//! Stored forms: what is written reads back, and what was written before still does.

use super::*;
use crate::plan::Plan;
use crate::state::Status;
use crate::testing::definition;
use ondol_core::clock::Timestamp;
use serde_json::json;
use std::fmt::Debug;

/// The golden file is what version 1 wrote; it is never changed, only joined by later ones.
fn golden<T: Stored + PartialEq + Debug>(name: &str, form: &T) {
    let path = format!("{}/src/record/golden/{name}.v1.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("NEW_GOLDEN").is_some() && !std::path::Path::new(&path).exists() {
        std::fs::write(&path, write(form).expect("can be written")).expect("the file can be written");
    }
    let stored = std::fs::read(&path).expect("the golden file exists");
    assert_eq!(&read::<T>(&stored).expect("reads back"), form);
    assert_eq!(
        write(form).expect("can be written"),
        stored,
        "this version writes another form: raise VERSION"
    );
}

#[test]
fn every_stored_form_reads_back_from_its_golden_file() {
    let plan = Plan::compile(definition(&["a", "b+c"])).expect("compiles");
    let mut state = State::new(&plan, Timestamp(1_000));
    state.phase = Phase::Compensating;
    state.failure = Some(crate::state::Failure {
        step: "b".into(),
        reason: "out_of_stock".into(),
    });
    state.steps[0].action = crate::state::Leg {
        status: Status::Done,
        sent: 1,
        due: Timestamp(9),
        since: Timestamp(8),
        ..Default::default()
    };
    state.steps[0].output.insert("total".into(), json!(42));
    state.steps[1].action = crate::state::Leg {
        status: Status::Due,
        sent: 3,
        counted: 2,
        misses: 2,
        doubt: true,
        poll: Some("/jobs/1".into()),
        why: Some("503".into()),
        ..Default::default()
    };
    let answer = FinalAnswer {
        status: 409,
        location: Some("/x".into()),
        content_type: "application/problem+json".into(),
        body: "{}".into(),
    };
    let auth = Auth {
        subject: "anna".into(),
        scope: "orders:write".into(),
        roles: vec!["admin".into()],
        issuer: "shop".into(),
    };
    golden(
        "saga",
        &Saved {
            v: 1,
            definition: "0123".into(),
            started: Timestamp(1_000),
            correlation: "c-1".into(),
            causation: None,
            traceparent: Some("00-1".into()),
            auth: Some(Arc::new(auth)),
            input: Arc::new(json!({ "items": [1] })),
            state,
            answer: Some(answer),
        },
    );
    let (step, op) = (|| "pay".to_owned(), Op::Action);
    golden(
        "happened",
        &Happened {
            v: 1,
            events: vec![
                Event::Started {
                    definition: "0123".into(),
                },
                Event::Sent { step: step(), op, n: 1 },
                Event::Answered {
                    step: step(),
                    op: Op::Compensate,
                    n: 1,
                    outcome: "unknown".into(),
                    why: Some("timeout".into()),
                },
                Event::Aborting {
                    step: step(),
                    reason: "deadline".into(),
                },
                Event::Held {
                    phase: Phase::Stuck,
                    step: step(),
                    why: "404: 404".into(),
                },
                Event::Operator {
                    action: "skip".into(),
                    step: Some(step()),
                    reason: Some("refunded by hand".into()),
                },
                Event::Ended { phase: Phase::Aborted },
            ],
        },
    );
    golden(
        "start-key",
        &SavedKey {
            v: 1,
            saga: "0192".into(),
            body: "ab".into(),
        },
    );
    golden(
        "audit",
        &Audited {
            v: 1,
            who: "admin".into(),
            action: "skip".into(),
            saga: "0192".into(),
            step: None,
            reason: Some("why".into()),
            before: Phase::Stuck,
            after: Phase::Aborted,
        },
    );
}

#[test]
fn a_form_of_a_later_version_is_refused_not_misread() {
    let later = br#"{"v":2,"saga":"0192","body":"ab"}"#;
    assert!(
        read::<SavedKey>(later)
            .expect_err("later")
            .to_string()
            .contains("later Ondol")
    );
    assert!(read::<SavedKey>(b"{\"v\":1,").is_err());
}
