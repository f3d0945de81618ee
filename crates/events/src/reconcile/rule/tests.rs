//! Rules as tables: which hold, which are broken, which do not concern a key.

use super::*;
use crate::reconcile::config::{Rule, Source};
use crate::reconcile::item::Item;
use serde_json::json;
use std::time::Duration;

fn condition(name: &str, wanted: &Value) -> Condition {
    let (source, field) = match name.split_once('.') {
        Some((source, field)) => (source, Some(field.to_owned())),
        None => (name, None),
    };
    let wanted = match (&field, wanted) {
        (None, Value::String(word)) if word == "present" => Wanted::Present,
        (None, _) => Wanted::Absent,
        (Some(_), Value::Array(values)) => Wanted::OneOf(values.clone()),
        (Some(_), value) => Wanted::OneOf(vec![value.clone()]),
    };
    let source = source.to_owned();
    Condition { source, field, wanted }
}

fn conditions(object: &Value) -> Vec<Condition> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, wanted)| condition(name, wanted)).collect()
}

/// One rule over orders and charges.
fn plan(when: &Value, expect: &Value) -> Plan {
    let source = |name: &str| {
        let service = name.parse().expect("a name");
        let path = format!("/internal/reconcile/{name}");
        (name.to_owned(), Source::Path { service, path })
    };
    let repair = Repair {
        saga: "mend".parse().expect("a name"),
        input: json!({ "order": "{key}", "total": "{orders.total}", "why": ["no {charges.amount}"], "n": 1 }),
    };
    Plan::compile(&Reconciliation {
        name: "orders".into(),
        service: "orders".parse().expect("a name"),
        about: None,
        every: Duration::from_secs(60),
        settle: Duration::from_secs(30),
        sources: ["orders", "charges"].map(source).into(),
        rules: vec![Rule {
            when: conditions(when),
            expect: conditions(expect),
            repair: Some(repair),
        }],
    })
    .expect("compiles")
}

fn judge(plan: &Plan, orders: &Value, charges: &Value) -> Verdict {
    let item = |source: usize, value: &Value| {
        value.as_object().map(|members| Item {
            key: "k".into(),
            at: members.get("at").and_then(Value::as_i64).map(Timestamp),
            fields: plan
                .fields(source)
                .iter()
                .map(|field| members.get(field).cloned().unwrap_or(Value::Null))
                .collect(),
        })
    };
    // By name, as the plan numbers them.
    let items = vec![item(0, charges), item(1, orders)];
    plan.judge(&Row { key: "k".into(), items }, Timestamp(100))
}

fn reasons(plan: &Plan, orders: Value, charges: Value) -> String {
    match judge(plan, &orders, &charges) {
        Verdict::Moving => "moving".into(),
        Verdict::Holds => "holds".into(),
        Verdict::Broken(finding) => finding.why.join("; "),
    }
}

#[test]
fn a_rule_holds_is_broken_or_does_not_concern() {
    let paid = plan(
        &json!({ "orders.status": "confirmed" }),
        &json!({ "charges.amount": "{orders.total}", "charges.refunded": false }),
    );
    let order = || json!({ "at": 1, "status": "confirmed", "total": 500 });
    for (orders, charges, want) in [
        (order(), json!({ "at": 1, "amount": 500, "refunded": false }), "holds"),
        (
            order(),
            json!({ "at": null, "amount": 500.0, "refunded": false }),
            "holds",
        ),
        (order(), json!(null), "charges: absent, expected present"),
        (
            order(),
            json!({ "amount": 300, "refunded": false }),
            "charges.amount: 300, expected 500",
        ),
        (
            order(),
            json!({ "amount": "500", "refunded": false }),
            "charges.amount: \"500\", expected 500",
        ),
        (
            order(),
            json!({ "amount": 500 }),
            "charges.refunded: nothing, expected false",
        ),
        (
            json!({ "status": "confirmed" }),
            json!({ "amount": 500, "refunded": false }),
            "charges.amount: 500, expected nothing",
        ),
        (json!({ "status": "pending", "total": 1 }), json!(null), "holds"),
        (json!(null), json!({ "amount": 1 }), "holds"),
        (
            json!({ "at": 101, "status": "confirmed", "total": 5 }),
            json!(null),
            "moving",
        ),
        (order(), json!({ "at": 101, "amount": 5 }), "moving"),
    ] {
        assert_eq!(
            reasons(&paid, orders.clone(), charges.clone()),
            want,
            "{orders} {charges}"
        );
    }
}

#[test]
fn presence_and_one_of_several_can_be_asked_for() {
    let ended = plan(
        &json!({ "charges": "present" }),
        &json!({ "orders.status": ["confirmed", "{charges.status}"] }),
    );
    assert_eq!(reasons(&ended, json!({ "status": "confirmed" }), json!({})), "holds");
    assert_eq!(
        reasons(&ended, json!({ "status": "x" }), json!({ "status": "x" })),
        "holds"
    );
    assert_eq!(
        reasons(&ended, json!({ "status": "x" }), json!({})),
        "orders.status: \"x\", expected \"confirmed\" or nothing"
    );
    assert_eq!(
        reasons(&ended, json!(null), json!({})),
        "orders: absent, expected present"
    );
    let none = plan(&json!({}), &json!({ "charges": "absent" }));
    assert_eq!(
        reasons(&none, json!({}), json!({})),
        "charges: present, expected absent"
    );
    assert_eq!(reasons(&none, json!({}), json!(null)), "holds");
}

#[test]
fn a_finding_has_what_its_rule_looks_at_and_what_mends_it() {
    let paid = plan(
        &json!({ "orders.status": "confirmed" }),
        &json!({ "charges.amount": "{orders.total}" }),
    );
    let Verdict::Broken(finding) = judge(&paid, &json!({ "status": "confirmed", "total": 5 }), &json!(null)) else {
        panic!("broken")
    };
    let values = json!({ "charges": "absent", "orders.status": "confirmed", "orders.total": 5 });
    assert_eq!(json!(finding.values), values);
    let mend = finding.mend.expect("a repair");
    assert_eq!(mend.input, json!({ "order": "k", "total": 5, "why": [null], "n": 1 }));
}

#[test]
fn what_names_no_source_does_not_compile() {
    let sources = [(
        "orders".to_owned(),
        Source::Sagas("place-order".parse().expect("a name")),
    )];
    for (when, input) in [
        (json!({ "orders": "{x.y}" }), json!({})),
        (json!({ "x": "present" }), json!({})),
        (json!({}), json!("{x.y}")),
    ] {
        let config = Reconciliation {
            name: "a".into(),
            service: "a".parse().expect("a name"),
            about: None,
            every: Duration::from_secs(1),
            settle: Duration::ZERO,
            sources: sources.clone().into(),
            rules: vec![Rule {
                when: when
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, wanted)| Condition {
                        source: name.clone(),
                        field: Some("f".into()),
                        wanted: Wanted::OneOf(vec![wanted.clone()]),
                    })
                    .collect(),
                expect: Vec::new(),
                repair: Some(Repair {
                    saga: "m".parse().expect("a name"),
                    input,
                }),
            }],
        };
        assert_eq!(
            Plan::compile(&config).expect_err("no such source"),
            "there is no source x"
        );
    }
}
