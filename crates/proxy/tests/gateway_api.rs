//! `conformance/gateway/gateway-api.json`: the Gateway API's own cases for HTTPRoute and GRPCRoute, through a whole proxy.
//!
//! One proxy takes the routes of each case as another snapshot. The services answer with their name and the request as they
//! got it, beside the fields that a case wants in their answer.

mod common;
#[allow(dead_code, reason = "some of it is for tests of the table alone")]
#[path = "../src/route/fixtures.rs"]
mod fixtures;

use common::*;
use ondol_core::wire::proxy::{Action, Backend, FieldChanges, Mirror, Protocol, Route};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};

/// In a request: the fields that the instance shall answer with, `NAME=VALUE;…`.
const SAYS: &str = "x-instance-says";

fn texts<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let list = value[key].as_array().into_iter().flatten();
    list.map(|item| item.as_str().expect("a text")).collect()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    let all = value.as_object().into_iter().flatten();
    all.map(|(name, value)| (name.clone(), fixtures::text(value))).collect()
}

fn changes(value: &Value) -> FieldChanges {
    FieldChanges {
        remove: texts(value, "remove").into_iter().map(str::to_owned).collect(),
        set: pairs(&value["set"]),
        add: pairs(&value["add"]),
    }
}

fn backend(spec: &Value) -> Backend {
    Backend {
        service: name(spec["service"].as_str().expect("a service")),
        weight: spec["weight"].as_u64().map_or(1, |weight| weight as u32),
        request_fields: changes(&spec["request_headers"]),
        response_fields: changes(&spec["response_headers"]),
    }
}

/// The route that a case writes at this place.
fn route_of(index: usize, spec: &Value) -> Route {
    let read = |key: &str| (!spec[key].is_null()).then(|| spec[key].clone());
    let action = match (spec["to"].as_str(), read("redirect")) {
        (Some(service), _) => Action::forward(name(service)),
        (_, Some(redirect)) => Action::Redirect(serde_json::from_value(redirect).expect("a redirect")),
        _ => Action::Forward(
            spec["backends"]
                .as_array()
                .expect("backends")
                .iter()
                .map(backend)
                .collect(),
        ),
    };
    let mirrors = texts(spec, "mirrors").into_iter().map(|service| Mirror {
        service: name(service),
        share: 1.0,
    });
    Route {
        action,
        mirrors: mirrors.collect(),
        rewrite: read("rewrite").map_or_else(Default::default, |rewrite| {
            serde_json::from_value(rewrite).expect("a rewrite")
        }),
        request_fields: changes(&spec["request_headers"]),
        response_fields: changes(&spec["response_headers"]),
        ..fixtures::route(&format!("r{index}"), fixtures::from_data(&spec["match"]))
    }
}

/// All fields of a name, as one.
fn joined(message: &str, name: &str) -> Option<String> {
    let head = message.split("\r\n\r\n").next().unwrap_or_default();
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let values: Vec<_> = lines
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn check_fields(what: &str, with: &Value, without: &[&str], message: &str) {
    for (name, value) in pairs(with) {
        assert_eq!(joined(message, &name), Some(value), "{what}: {name} in {message}");
    }
    for name in without {
        assert_eq!(joined(message, name), None, "{what}: {name} in {message}");
    }
}

/// Answers with its name and the request; copies are told to the test instead.
fn echo(service: &'static str, copies: Sender<&'static str>) -> SocketAddr {
    instance(move |request| {
        if field(request, "ondol-mirrored").is_some() {
            let _ = copies.send(service);
        }
        let says = field(request, SAYS).unwrap_or_default();
        let mut answer = String::from("HTTP/1.1 200 OK\r\n");
        for (name, value) in says.split(';').filter_map(|pair| pair.split_once('=')) {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = format!("{service}\n{request}");
        answer.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        answer
    })
}

fn bytes_of(request: &Value) -> String {
    let asked = request["ask"].as_str().expect("what is asked");
    let [method, host, target] = asked.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{asked}")
    };
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in pairs(&request["headers"]) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let says: Vec<_> = pairs(&request["instance_says"])
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if !says.is_empty() {
        text.push_str(&format!("{SAYS}: {}\r\n", says.join(";")));
    }
    text + "\r\n"
}

/// Whether the client got what the case says, and the service too.
fn check(what: &str, request: &Value, answer: &str) {
    let status = request["status"].as_u64().unwrap_or(200);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {answer}");
    check_fields(what, &request["answer"], &texts(request, "answer_without"), answer);
    let body = answer.split_once("\r\n\r\n").expect("a body").1;
    let Some(to) = request["to"].as_str() else { return };
    let (by, seen) = body.split_once('\n').expect("a service's answer");
    assert_eq!(by, to, "{what}");
    let sees = &request["sees"];
    if let Some(target) = sees["target"].as_str() {
        assert_eq!(seen.split(' ').nth(1), Some(target), "{what}: {seen}");
    }
    if let Some(host) = sees["host"].as_str() {
        assert_eq!(field(seen, "host"), Some(host), "{what}: {seen}");
    }
    check_fields(what, &sees["headers"], &texts(sees, "without"), seen);
}

#[test]
fn every_case_of_the_gateway_api_ends_as_it_says() {
    let data: Value =
        serde_json::from_str(include_str!("../../../conformance/gateway/gateway-api.json")).expect("JSON");
    let (tell, copies) = channel();
    let mut clusters: Vec<_> = ["v1", "v2", "v3"]
        .into_iter()
        .map(|service| cluster(service, Protocol::Http1, &[echo(service, tell.clone())]))
        .collect();
    clusters.push(cluster("away", Protocol::Http1, &[]));
    let mut told = snapshot(vec![], vec![], clusters);
    told.trusted_proxies = vec!["127.0.0.0/8".into()];
    let dir = tempfile::tempdir().expect("a folder");
    let (running, mut controller) = serving(dir.path(), &told);
    let cases = data["cases"].as_array().expect("cases");
    for case in cases {
        let routes = case["routes"].as_array().expect("routes").iter().enumerate();
        told.routes = routes.map(|(index, spec)| route_of(index, spec).into()).collect();
        told.generation += 1;
        controller.tell(&told);
        for request in case["requests"].as_array().expect("requests") {
            let what = format!("{}: {request}", case["case"]);
            let mut client = running.client();
            client.write_all(bytes_of(request).as_bytes()).expect("write");
            let mut answer = String::new();
            client.read_to_string(&mut answer).expect("an answer");
            check(&what, request, &answer);
            let expected: BTreeSet<_> = texts(request, "copies").into_iter().collect();
            let came: BTreeSet<_> = expected.iter().map(|_| copies.recv().expect("a copy")).collect();
            assert_eq!(came, expected, "{what}");
        }
    }
    running.stop();
    assert!(copies.try_recv().is_err(), "nobody else gets a copy");
    assert!(cases.len() > 30);
}
