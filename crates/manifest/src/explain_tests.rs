//! Values with the lines that say them, and what is not shown.

use super::*;
use crate::testing::FixedEnv;

fn loaded() -> (tempfile::TempDir, Loaded) {
    let root = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("can be made");
        std::fs::write(path, text).expect("can be written");
    };
    write(
        "ondol.yaml",
        "system: demo\nservices: [a]\ndefaults:\n  retries: 1\n  breaker: { failures: 10.1 % }\n  balance: least-request\n",
    );
    let service = "service: a\nrun: sh -c true\ndefaults:\n  breaker: { minimum: 7 }\nroutes:\n\
                   \x20 - match: { prefix: /a }\n    timeout: 3s\n    limit: { rate: 30/m }\n    body_limit: 64KiB\n\
                   \x20   balance: { algorithm: maglev, hash: { header: X-User } }\n\
                   \x20 - { name: begin, match: { path: /b }, start: { saga: s } }\nsagas: [s.saga.yaml]\n";
    write("a/service.yaml", service);
    write("a/s.saga.yaml", "saga: s\nsteps: [ { one: { call: GET a/x } } ]\n");
    let loaded = crate::load(root.path(), &FixedEnv::default().programs(&[("sh", "1")])).expect("good");
    (root, loaded)
}

fn origin(explanation: &Explanation, key: &str) -> (String, String) {
    let line = explanation.lines.iter().find(|line| line.key == key).expect(key);
    (
        line.value.clone(),
        line.origin.as_ref().map_or("built in".into(), Place::to_string),
    )
}

#[test]
fn each_value_names_the_line_of_the_nearest_level() {
    let (_root, loaded) = loaded();
    let explained = explain_route(&loaded, "a-1").expect("is there");
    for (key, value, place) in [
        ("match.prefix", "/a", "a/service.yaml:6"),
        ("timeout", "3s", "a/service.yaml:7"),
        ("retries", "1", "ondol.yaml:4"),
        ("limit.rate", "30/m", "a/service.yaml:8"),
        ("limit.burst", "1", "built in"),
        ("breaker.failures", "10.1 %", "ondol.yaml:5"),
        ("breaker.minimum", "7", "a/service.yaml:4"),
        ("breaker.open", "5s", "built in"),
        ("body_limit", "64KiB", "a/service.yaml:9"),
        ("balance", "maglev by header x-user", "a/service.yaml:10"),
    ] {
        assert_eq!(origin(&explained, key), (value.into(), place.into()), "{key}");
    }
    assert!(
        explained
            .to_string()
            .contains("retries           1                        ondol.yaml:4\n"),
        "{explained}"
    );
    assert_eq!(explained.json()["values"][0]["origin"]["line"], 6);
}

#[test]
fn what_is_kept_and_what_stands_in_is_explained_by_the_level_that_says_it() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(root.path().join("a")).expect("a folder");
    let service = "service: a\nrun: sh -c true\ndefaults:\n  cache: { stale_if_error: 5m }\n  fallback: { body: \"[]\" }\nroutes:\n\
                   \x20 - { name: on, match: { prefix: /a } }\n\
                   \x20 - { name: more, match: { prefix: /b }, cache: { shared: true }, fallback: none }\n\
                   \x20 - { name: off, match: { prefix: /c }, cache: false, fallback: { service: a } }\n";
    for (path, text) in [
        (
            "ondol.yaml",
            "system: demo\nservices: [a]\ndefaults:\n  cache: { stale_while_revalidate: 9s }\n",
        ),
        ("a/service.yaml", service),
    ] {
        std::fs::write(root.path().join(path), text).expect("written");
    }
    let loaded = crate::load(root.path(), &FixedEnv::default().programs(&[("sh", "1")])).expect("good");
    let on = explain_route(&loaded, "on").expect("is there");
    for (key, value, place) in [
        ("cache.stale_if_error", "5m", "a/service.yaml:4"),
        ("cache.stale_while_revalidate", "9s", "ondol.yaml:4"),
        ("cache.shared", "false", "built in"),
        ("fallback", "200, application/json", "a/service.yaml:5"),
    ] {
        assert_eq!(origin(&on, key), (value.into(), place.into()), "{key}");
    }
    let more = explain_route(&loaded, "more").expect("is there");
    assert_eq!(
        origin(&more, "cache.shared"),
        ("true".into(), "a/service.yaml:8".into())
    );
    assert_eq!(origin(&more, "cache.stale_if_error").0, "5m");
    assert!(more.lines.iter().all(|line| line.key != "fallback"));
    let off = explain_route(&loaded, "off").expect("is there");
    assert!(off.lines.iter().all(|line| !line.key.starts_with("cache")));
    assert_eq!(
        origin(&off, "fallback"),
        ("service a".into(), "a/service.yaml:9".into())
    );
}

#[test]
fn a_field_that_a_file_holds_is_explained_without_its_value() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(root.path().join("a")).expect("a folder");
    let service = "service: a\nrun: sh -c true\nroutes:\n  - name: a\n    match: { prefix: /a, headers: { x-in: \"${file:key}\" } }\n    \
                   timeout: \"${file:time}\"\n    request_headers: { set: { x.key: \"${file:key}\", x-open: \"1\" } }\n";
    for (path, text) in [
        ("ondol.yaml", "system: demo\nservices: [a]\n"),
        ("a/service.yaml", service),
        ("a/key", "hush"),
        ("a/time", "7s"),
    ] {
        std::fs::write(root.path().join(path), text).expect("written");
    }
    let loaded = crate::load(root.path(), &FixedEnv::default().programs(&[("sh", "1")])).expect("good");
    let explained = explain_route(&loaded, "a").expect("is there");
    for told in [explained.to_string(), explained.json().to_string()] {
        assert!(!told.contains("hush"), "{told}");
        assert!(told.contains("x.key") && told.contains("7s"), "{told}");
    }
}

#[test]
fn a_start_has_its_own_timeout_and_one_try() {
    let (_root, loaded) = loaded();
    let explained = explain_route(&loaded, "begin").expect("is there");
    assert_eq!(origin(&explained, "timeout"), ("17s".into(), "built in".into()));
    assert_eq!(origin(&explained, "retries"), ("0".into(), "built in".into()));
    assert_eq!(
        origin(&explained, "balance"),
        ("least-request".into(), "ondol.yaml:6".into())
    );
    assert_eq!(
        origin(&explained, "start.saga"),
        ("s".into(), "a/service.yaml:11".into())
    );
}

#[test]
fn an_unknown_route_names_the_nearest() {
    let (_root, loaded) = loaded();
    let error = explain_route(&loaded, "begn").expect_err("is not there");
    assert_eq!(error.to_string(), "there is no route `begn`; did you mean `begin`?");
}
