//! Every file of `conformance/manifests/` is a system and what `load` says about it; a new case is a new file.
//!
//! A case holds files after lines `=== PATH`, and after `=== expected` one line per finding: code, place, message, and
//! its hint beneath. Nothing there means: taken without a word. `ONDOL_BLESS=1` writes what is said now; read the
//! difference before committing it.

use ondol_core::wire::proxy::Policy;
use ondol_events::config::PublishedType;
use ondol_events::reconcile::config::Reconciliation;
use ondol_events::subscription::Subscription;
use ondol_manifest::{Diagnostics, Env, Loaded, Severity, load};
use serde_json::json;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The world that cases live in.
struct World;

impl Env for World {
    fn variable(&self, name: &str) -> Option<String> {
        (name == "SET").then(|| "from-the-environment".into())
    }
    fn program(&self, name: &str) -> Option<PathBuf> {
        ["cargo", "node", "sh", "python3"]
            .contains(&name)
            .then(|| Path::new("/usr/bin").join(name))
    }
    fn version(&self, program: &Path) -> Option<String> {
        program.ends_with("node").then(|| "v18.19.1".into())
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/manifests");
    let entries = std::fs::read_dir(folder).expect("conformance/manifests is there");
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    cases.retain(|path| path.extension().is_some_and(|end| end == "case"));
    cases.sort();
    cases
}

/// Files by path, and what is expected.
fn split(text: &str) -> (Vec<(&str, String)>, &str) {
    let (files, expected) = text
        .split_once("=== expected\n")
        .expect("a case ends with `=== expected`");
    let parts = files.split("=== ").skip(1);
    let part = |part: &'_ str| -> (usize, String) {
        let end = part.find('\n').expect("a path ends its line");
        (end, part[end + 1..].to_owned())
    };
    (
        parts
            .map(|text| {
                let (end, body) = part(text);
                (&text[..end], body)
            })
            .collect(),
        expected,
    )
}

fn unpack(text: &str, root: &Path) {
    for (path, body) in split(text).0 {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("can be made");
        std::fs::write(&path, body).expect("can be written");
        // Whatever the umask: that everybody can read a key is told.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("can be set");
    }
}

fn said(result: &Result<Loaded, Diagnostics>, root: &Path) -> String {
    let findings = match result {
        Ok(loaded) => &loaded.warnings,
        Err(findings) => findings,
    };
    let mut out = String::new();
    for item in &findings.items {
        let place = item.at.and_then(|at| findings.sources().place(at));
        let place = match (&place, &item.path) {
            (Some(place), _) => format!("{}:{}:{}", place.file, place.line, place.column),
            (None, Some(path)) => path.strip_prefix(root).unwrap_or(path).display().to_string(),
            (None, None) => "?".into(),
        };
        let kind = if item.severity == Severity::Warning {
            "warning "
        } else {
            ""
        };
        writeln!(out, "{kind}{} {place} {}", item.code.code(), item.message).expect("to a string");
        for (at, note) in &item.notes {
            let place = findings.sources().place(*at).expect("notes have places");
            writeln!(out, "  {place} {note}").expect("to a string");
        }
        if let Some(hint) = &item.hint {
            writeln!(out, "  help: {hint}").expect("to a string");
        }
    }
    if findings.more > 0 {
        writeln!(out, "and {} more", findings.more).expect("to a string");
    }
    out
}

#[test]
fn every_case_says_what_it_is_expected_to_say() {
    let bless = std::env::var_os("ONDOL_BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let text = std::fs::read_to_string(&case).expect("readable");
        let root = tempfile::tempdir().expect("a folder");
        let path = root.path().canonicalize().expect("is there");
        unpack(&text, &path);
        let result = load(&path, &World);
        let (said, expected) = (said(&result, &path), split(&text).1);
        let name = case.file_stem().expect("named").to_string_lossy().into_owned();
        assert_eq!(
            name.starts_with("good-"),
            result.is_ok(),
            "{name}: only `good-…` cases load\n{said}"
        );
        if said != expected {
            if bless {
                let kept = text.split_once("=== expected\n").expect("checked").0;
                std::fs::write(&case, format!("{kept}=== expected\n{said}")).expect("writable");
            }
            wrong.push(format!("{name}\n--- expected\n{expected}--- said\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_cases_lower_to_plans_that_survive_json() {
    let good = cases().into_iter().filter(|case| {
        case.file_stem()
            .is_some_and(|name| name.to_string_lossy().starts_with("good-"))
    });
    for case in good {
        let root = tempfile::tempdir().expect("a folder");
        unpack(&std::fs::read_to_string(&case).expect("readable"), root.path());
        let lowered = load(root.path(), &World).expect("good").lower();
        let json = serde_json::to_string(&lowered.plan).expect("serializes");
        assert_eq!(
            serde_json::from_str::<ondol_deploy::config::SystemPlan>(&json).expect("reads back"),
            lowered.plan
        );
        for saga in lowered.sagas {
            let json = serde_json::to_string(&saga).expect("serializes");
            let back: ondol_saga::config::Definition = serde_json::from_str(&json).expect("reads back");
            assert_eq!(back, saga);
            ondol_saga::plan::Plan::compile(back).expect("what check takes, the engine takes");
        }
        let has_outbox = case.to_string_lossy().contains("events");
        assert_eq!(lowered.outboxes.is_empty(), !has_outbox, "{case:?}");
        let json = serde_json::to_string(&(&lowered.published, &lowered.subscriptions)).expect("serializes");
        let back: (Vec<PublishedType>, Vec<Subscription>) = serde_json::from_str(&json).expect("reads back");
        assert_eq!(back, (lowered.published, lowered.subscriptions));
        for one in lowered.reconciliations {
            let json = serde_json::to_string(&one).expect("serializes");
            let back: Reconciliation = serde_json::from_str(&json).expect("reads back");
            assert_eq!(back, one);
            back.check().expect("what check takes, the room takes");
        }
        ondol_events::Topics::new(&back.0).expect("what check takes, the room takes");
    }
}

#[test]
fn every_key_of_a_subscription_reaches_the_room() {
    let case = include_str!("../../../conformance/manifests/good-events.case");
    let root = tempfile::tempdir().expect("a folder");
    unpack(case, root.path());
    let lowered = load(root.path(), &World).expect("good").lower();
    let types: Vec<_> = lowered
        .published
        .iter()
        .map(|one| (&*one.kind, one.schema.is_some()))
        .collect();
    assert_eq!(types, [("order.placed.v1", false), ("order.confirmed.v1", true)]);
    assert!(lowered.published.iter().all(|one| one.publisher.as_str() == "orders"));
    let json = serde_json::to_value(&lowered.subscriptions).expect("serializes");
    let secs = |secs, nanos| json!({ "secs": secs, "nanos": nanos });
    let full = json!({
        "name": "points.orders", "types": ["order.confirmed.v1"], "sources": ["/services/orders"],
        "extensions": { "region": "eu", "level": "3" }, "push": "/internal/events", "parallel": 16,
        "timeout": secs(10, 0), "retry": { "attempts": 8, "first": secs(0, 200_000_000), "cap": secs(30, 0) },
        "from": "start",
    });
    let short = json!({
        "name": "points.all", "types": ["order.confirmed.v1", "order.placed.v1"], "sources": [], "extensions": {}, "push": null, "parallel": 16,
        "timeout": secs(10, 0), "retry": full["retry"], "from": "now",
    });
    assert_eq!(json, json!([full, short]));
}

#[test]
fn what_is_kept_and_what_stands_in_reaches_routes_and_the_edges_to_a_service() {
    let case = include_str!("../../../conformance/manifests/good-cache.case");
    let root = tempfile::tempdir().expect("a folder");
    unpack(case, root.path());
    let plan = load(root.path(), &World).expect("good").lower().plan;
    let told = |policy: &Policy| json!([policy.cache, policy.fallback]);
    let service = |name: &str| {
        plan.services
            .iter()
            .find(|plan| plan.service.as_str() == name)
            .expect(name)
    };
    let routes: Vec<_> = service("a").routes.iter().map(|route| told(&route.policy)).collect();
    let kept = |meanwhile: u64| json!({ "stale_if_error_ms": 300_000, "stale_while_revalidate_ms": meanwhile, "shared": true });
    let answer = json!({ "status": 200, "content_type": "application/json", "body": "[]" });
    assert_eq!(routes, [json!([null, null]), json!([kept(30_000), answer])]);
    let edges: Vec<_> = service("c").depends_on.iter().map(|edge| told(&edge.policy)).collect();
    assert_eq!(edges, [json!([kept(0), { "service": "b" }]), json!([null, null])]);
    assert_eq!(
        told(&plan.built_in_policy),
        json!([null, null]),
        "the controller says how things are now"
    );
}

/// A case of a thousand lines would hide what it says.
#[test]
fn a_pattern_that_fits_more_types_than_a_read_looks_for_is_refused() {
    let types: Vec<_> = (0..1_001).map(|n| format!("a.t{n}")).collect();
    let case = include_str!("../../../conformance/manifests/good-events.case")
        .replace(
            "    - order.placed.v1\n",
            &format!("    - order.placed.v1\n    - {}\n", types.join("\n    - ")),
        )
        .replace("\"order.confirmed.v1\"", "\"a.*\"");
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().canonicalize().expect("is there");
    unpack(&case, &path);
    let told = said(&load(&path, &World), &path);
    assert!(told.contains("MF-026") && told.contains("1001 types"), "{told}");
}
