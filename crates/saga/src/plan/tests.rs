//! Which definitions can run, and what is wrong with the others.

use super::*;
use crate::config::{AnswerTemplate, Answers};
use crate::testing::{call, definition};
use serde_json::json;

fn refused(change: impl FnOnce(&mut Definition)) -> String {
    let mut given = definition(&["a", "b+c", "p!", "d*"]);
    change(&mut given);
    Plan::compile(given).expect_err("refused").to_string()
}

#[test]
fn the_shape_before_and_after_the_pivot_is_checked() {
    for (stages, message) in [
        (vec!["a*"], "retriable steps come after the pivot"),
        (vec!["a!", "b"], "after the pivot every step is retriable"),
        (vec!["a!", "b!"], "one pivot"),
        (vec!["a+p!"], "the pivot stands alone"),
        (vec!["a", "a"], "used twice"),
        (vec!["input"], "taken by a source"),
        (vec![], "1 to 64 steps"),
    ] {
        let error = Plan::compile(definition(&stages)).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
    }
    assert!(
        refused(|d| d.stages[2].steps[0].compensate = d.stages[0].steps[0].compensate.clone())
            .contains("before the pivot is compensated")
    );
}

#[test]
fn a_template_names_only_what_is_certain_to_be_known() {
    let body = |text: &str| Some(json!({ "x": text }));
    for text in ["{b.x}", "{c.x}", "{p.x}", "{failure.reason}", "{nobody.x}"] {
        let error = refused(|d| d.stages[1].steps[0].call.body = body(text));
        assert!(
            error.contains("not certain") || error.contains("only in comp") || error.contains("no step"),
            "{error}"
        );
    }
    let own_answer = refused(|d| d.stages[0].steps[0].compensate.as_mut().expect("has one").call.body = body("{a.x}"));
    assert!(own_answer.contains("not certain"), "{own_answer}");
    let answer = |text: &str| {
        Some(AnswerTemplate {
            status: 200,
            location: None,
            body: body(text),
            problem: None,
        })
    };
    assert!(refused(|d| d.answer.aborted = answer("{a.x}")).contains("not certain"));
    assert!(refused(|d| d.answer.done = answer("{failure.step}")).contains("only in comp"));
    assert!(refused(|d| d.answer.waiting = answer("{a.x}")).contains("not certain"));

    let mut good = definition(&["a", "b+c", "p!", "d*"]);
    good.stages[1].steps[0].call.body = body("{a.x.0}");
    good.stages[1].steps[0].compensate.as_mut().expect("has one").call.body = body("{failure.reason}");
    good.visible_after = Some("b".parse().expect("a name"));
    good.answer = Answers {
        done: answer("{d.y}"),
        aborted: answer("{failure.step}"),
        waiting: answer("{b.z}"),
    };
    let plan = Plan::compile(good).expect("compiles");
    let needs: Vec<_> = plan
        .steps
        .iter()
        .map(|step| step.needs.iter().map(|need| need.1.as_str()).collect::<Vec<_>>())
        .collect();
    assert_eq!(needs, [vec!["x.0"], vec!["z"], vec![], vec![], vec!["y"]]);
}

#[test]
fn a_wrong_call_or_schema_is_refused() {
    assert!(refused(|d| d.stages[0].steps[0].call.path = "x".into()).contains("starts with `/`"));
    assert!(refused(|d| d.stages[0].steps[0].call = call("/{x")).contains("without its"));
    assert!(refused(|d| d.stages[0].steps[0].call.method = "P T".into()).contains("no method"));
    assert!(refused(|d| d.input = Some(json!({ "type": "objekt" }))).contains("no JSON Schema"));
    assert!(refused(|d| d.visible_after = Some("zz".parse().expect("a name"))).contains("no step `zz`"));
}

#[test]
fn an_input_that_does_not_fit_is_refused_with_its_place() {
    let mut given = definition(&["a"]);
    given.input = Some(
        json!({ "type": "object", "required": ["items"], "properties": { "items": { "type": "array", "minItems": 1, "items": { "type": "integer" } } } }),
    );
    let plan = Plan::compile(given).expect("compiles");
    assert_eq!(plan.check_input(&json!({ "items": [1] })), Ok(()));
    assert_eq!(
        plan.check_input(&json!({ "items": [1, "x"] }))
            .expect_err("no integer")
            .0,
        "/items/1"
    );
    assert_eq!(plan.check_input(&json!({})).expect_err("missing").0, "");
}

#[test]
fn the_same_definition_has_the_same_hash_and_reads_back_from_its_stored_form() {
    let plan = Plan::compile(definition(&["a", "p!"])).expect("compiles");
    let back: Definition = serde_json::from_slice(&plan.json).expect("reads back");
    assert_eq!(Plan::compile(back).expect("compiles").hash, plan.hash);
    assert_ne!(
        Plan::compile(definition(&["a", "q!"])).expect("compiles").hash,
        plan.hash
    );
}
