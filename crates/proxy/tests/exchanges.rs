//! The tables of `conformance/gateway` that need a whole proxy: bytes in, answers out, and what the instance saw.

mod common;
#[path = "common/frames.rs"]
mod frames;
#[path = "common/script.rs"]
mod script;

use common::*;
use frames::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame, hello, literal, take};
use script::{Script, unescape};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;

fn cases(text: &str) -> Vec<Value> {
    let data: Value = serde_json::from_str(text).expect("JSON");
    data["cases"].as_array().expect("cases").clone()
}

fn texts<'a>(case: &'a Value, key: &str) -> Vec<&'a str> {
    let list = case[key].as_array().into_iter().flatten();
    list.map(|item| item.as_str().expect("a text")).collect()
}

/// A proxy with one route to an instance that speaks as the script says.
fn gateway(dir: &std::path::Path, script: &Script) -> (Running, Controller) {
    let mut open = route("/open", "orders");
    open.policy.retries = 2;
    let clusters = vec![cluster(
        "orders",
        ondol_core::wire::proxy::Protocol::Http1,
        &[script.address],
    )];
    serving(dir, &snapshot(vec![open], vec![], clusters))
}

/// Whether a request's head is as a case says.
fn check_seen(name: &str, case: &Value, head: &str) {
    for (field_name, value) in case["with"].as_object().into_iter().flatten() {
        assert_eq!(
            field(head, field_name),
            value.as_str(),
            "{name}: {field_name} in {head}"
        );
    }
    for other in texts(case, "has") {
        assert!(field(head, other).is_some(), "{name}: {other} in {head}");
    }
    for other in texts(case, "without") {
        assert_eq!(field(head, other), None, "{name}: {other} in {head}");
    }
}

#[test]
fn every_exchange_of_the_table_ends_as_it_says() {
    let cases = cases(include_str!("../../../conformance/gateway/exchanges.json"));
    for case in &cases {
        let name = case["case"].as_str().expect("a name");
        let script = Script::start(case["upstream"].as_str(), case["early"].as_bool().unwrap_or(false));
        let dir = tempfile::tempdir().expect("a folder");
        let (running, _controller) = gateway(dir.path(), &script);
        let mut client = running.client();
        client
            .write_all(&unescape(case["send"].as_str().expect("bytes")))
            .expect("write");
        for expected in texts(case, "answers") {
            let answer = read_message(&mut client).unwrap_or_else(|| panic!("{name}: no answer"));
            check_answer(name, expected, &answer);
            for other in texts(case, "answer_without") {
                assert_eq!(field(&answer, other), None, "{name}: {answer}");
            }
        }
        if case["after"] == "open" {
            let last = ask(
                &mut client,
                "GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            );
            check_answer(name, "404 GW-010", &last);
        }
        let mut rest = Vec::new();
        client
            .read_to_end(&mut rest)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(rest.is_empty(), "{name}: {}", rest.escape_ascii());
        let seen = script.seen();
        if case["any_seen"] == true {
            assert!(seen.iter().all(|request| !request.whole), "{name}: {seen:?}");
            continue;
        }
        let tries = case["tries"].as_u64().unwrap_or(1) as usize;
        let expected: Vec<&str> = texts(case, "seen")
            .into_iter()
            .flat_map(|line| vec![line; tries])
            .collect();
        let lines: Vec<&str> = seen
            .iter()
            .map(|request| request.head.lines().next().unwrap_or_default())
            .collect();
        assert_eq!(lines, expected, "{name}");
        for request in &seen {
            check_seen(name, case, &request.head);
            let bodies = texts(case, "body_any");
            assert!(
                bodies.is_empty() || bodies.contains(&request.body.as_str()),
                "{name}: {:?}",
                request.body
            );
        }
    }
    assert!(cases.len() > 40);
}

/// `STATUS` of an instance's answer, `STATUS CODE` of the proxy's own.
fn check_answer(name: &str, expected: &str, answer: &str) {
    let (status, code) = expected.split_once(' ').unwrap_or((expected, ""));
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{name}: {answer}");
    assert_eq!(answer.contains("\"code\":\"GW-"), !code.is_empty(), "{name}: {answer}");
    assert!(answer.contains(code), "{name}: {answer}");
}

/// What became of one stream: its status and its data, or nothing where it was ended.
fn outcome(client: &mut TcpStream) -> Option<(u16, String)> {
    let (mut bytes, mut piece, mut answer) = (Vec::new(), [0; 4096], None);
    loop {
        while let Some(heard) = take(&mut bytes) {
            let ends = heard.ends_stream();
            match (heard.kind, &mut answer) {
                (RST_STREAM | GOAWAY, _) => return None,
                (HEADERS, None) => answer = Some((frames::status(&heard.payload), String::new())),
                (DATA, Some((_, text))) => text.push_str(&String::from_utf8_lossy(&heard.payload)),
                _ => {}
            }
            if ends {
                return answer;
            }
        }
        match client.read(&mut piece) {
            Ok(n @ 1..) => bytes.extend(&piece[..n]),
            _ => return None,
        }
    }
}

#[test]
fn every_head_of_http_2_ends_as_its_table_says() {
    let cases = cases(include_str!("../../../conformance/gateway/h2.json"));
    let bytes = |value: &Value| {
        value
            .as_str()
            .expect("a text")
            .chars()
            .map(|c| c as u8)
            .collect::<Vec<u8>>()
    };
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["case"].as_str().expect("a name");
        let script = Script::start(None, false);
        let dir = tempfile::tempdir().expect("a folder");
        let (running, _controller) = gateway(dir.path(), &script);
        let fields = case["fields"].as_array().expect("fields");
        let block: Vec<u8> = fields
            .iter()
            .flat_map(|field| literal(&bytes(&field[0]), &bytes(&field[1])))
            .collect();
        let data = case.get("data").map(bytes);
        let flags = END_HEADERS | if data.is_none() { END_STREAM } else { 0 };
        let mut message = [hello(&[]), frame(HEADERS, flags, 1, &block)].concat();
        if let Some(data) = data {
            message.extend(frame(DATA, END_STREAM, 1, &data));
        }
        let mut client = running.client();
        client.write_all(&message).expect("write");
        let (expected, got) = (case["answer"].as_str().expect("an answer"), outcome(&mut client));
        match (expected.split_once(' ').unwrap_or((expected, "")), &got) {
            (("end", _), None) => {}
            ((status, code), Some((got_status, text))) => {
                let own = text.contains("\"code\":\"GW-");
                if got_status.to_string() != status || own == code.is_empty() || !text.contains(code) {
                    wrong.push(format!("{name}: {expected} was expected, {got_status} came: {text}"));
                }
            }
            _ => wrong.push(format!("{name}: {expected} was expected, {got:?} came")),
        }
        let seen = script.seen();
        match case["seen"].as_str() {
            Some("*") => assert!(seen.iter().all(|request| !request.whole), "{name}: {seen:?}"),
            None => assert!(seen.is_empty(), "{name}: {seen:?}"),
            Some(line) => {
                assert_eq!(seen.len(), 1, "{name}");
                assert_eq!(seen[0].head.lines().next(), Some(line), "{name}");
                check_seen(name, case, &seen[0].head);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() > 40);
}
