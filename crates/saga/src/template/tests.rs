//! Templates: what they parse to, what they give, where they are wrong.

use super::*;
use serde_json::json;
use std::borrow::Cow;

struct Sample;

impl Scope for Sample {
    fn value(&self, reference: &Reference) -> Option<Cow<'_, Value>> {
        let root = match &reference.source {
            Source::Input => {
                json!({ "items": [{ "id": "a/b c", "n": 2 }], "dots": "..", "empty": "", "ok": true, "none": null })
            }
            Source::Auth(Claim::Sub) => json!("anna"),
            Source::Auth(Claim::Scope) => json!("orders:write"),
            Source::Auth(Claim::Roles) => json!(["admin"]),
            Source::SagaId => json!("0192"),
            Source::Failure(_) => return None,
            Source::Step(_) => json!({ "total": 4200 }),
        };
        descend(&root, &reference.path).cloned().map(Cow::Owned)
    }
}

fn filled(value: &Value) -> Result<Value, FillError> {
    let mut out = Vec::new();
    Body::compile(value).expect("a template").fill(&Sample, &mut out)?;
    Ok(serde_json::from_slice(&out).expect("what is filled is JSON"))
}

#[test]
fn a_string_that_is_one_template_keeps_the_json_type() {
    let given = json!({ "a": "{create.total}", "b": "{input.items}", "c": "{auth.roles}", "d": "{input.ok}", "e": 1, "f": [] , "g": {} });
    let expected =
        json!({ "a": 4200, "b": [{ "id": "a/b c", "n": 2 }], "c": ["admin"], "d": true, "e": 1, "f": [], "g": {} });
    assert_eq!(filled(&given), Ok(expected));
}

#[test]
fn inside_a_longer_string_scalars_are_inserted() {
    let given = json!([
        "sum {create.total} for {auth.sub}",
        "{{x}} {input.ok}",
        "{{}}",
        "{input.items.0.n}"
    ]);
    assert_eq!(filled(&given), Ok(json!(["sum 4200 for anna", "{x} true", "{}", 2])));
}

#[test]
fn a_missing_value_is_null_only_for_a_whole_optional_input() {
    assert_eq!(filled(&json!("{input.absent}")), Ok(json!(null)));
    assert_eq!(
        filled(&json!("a{input.absent}")),
        Err(FillError::Missing("input.absent".into()))
    );
    assert_eq!(
        filled(&json!("{create.absent}")),
        Err(FillError::Missing("create.absent".into()))
    );
    assert_eq!(
        filled(&json!("{failure.reason}")),
        Err(FillError::Missing("failure.reason".into()))
    );
    for no_scalar in ["x{input.items}", "x{input.none}", "x{auth.roles}"] {
        assert!(
            matches!(filled(&json!(no_scalar)), Err(FillError::NoScalar(_))),
            "{no_scalar}"
        );
    }
}

#[test]
fn a_value_in_a_path_stays_one_segment() {
    let path = |text: &str| fill_path(&parse(text).expect("a template"), &Sample);
    assert_eq!(path("/o/{saga.id}/x"), Ok("/o/0192/x".into()));
    assert_eq!(
        path("/o/{input.items.0.id}?q={input.items.0.id}"),
        Ok("/o/a%2Fb%20c?q=a%2Fb%20c".into())
    );
    assert_eq!(path("/o?q={input.empty}"), Ok("/o?q=".into()));
    for shape in ["/o/{input.dots}", "/o/{input.empty}/x"] {
        assert!(matches!(path(shape), Err(FillError::NoSegment(_))), "{shape}");
    }
}

#[test]
fn references_carry_their_place() {
    let template = parse("é {input.items.0.id} {saga.id}").expect("a template");
    let found: Vec<_> = template.references().map(|r| (r.to_string(), r.span.clone())).collect();
    assert_eq!(
        found,
        [("input.items.0.id".to_owned(), 3..21), ("saga.id".to_owned(), 22..31)]
    );
    let placed = parse_value(&json!({ "a/b": ["x", "{auth.sub}"] })).expect("templates");
    assert_eq!(
        placed.iter().map(|one| one.pointer.as_str()).collect::<Vec<_>>(),
        ["/a~1b/1"]
    );
}

#[test]
fn what_is_no_template_is_refused_at_its_place() {
    for (text, span) in [
        ("a { b", 2..5),
        ("a } b", 2..3),
        ("{}", 0..2),
        ("{create}", 0..8),
        ("x{auth.email}", 1..13),
        ("{saga.name}", 0..11),
        ("{failure}", 0..9),
        ("{create.a b}", 0..12),
        ("{create..a}", 0..11),
        ("{Create.a}", 0..10),
    ] {
        assert_eq!(parse(text).expect_err(text).span, span, "{text}");
    }
}
