//! The table against cases as data and against a plain reference.

use super::fixtures::{from_data, route, text};
use super::*;
use http::Method;
use ondol_core::wire::proxy::{PathMatch, RouteMatch, ValueMatch};
use proptest::prelude::*;
use serde_json::Value;

fn compile(specs: &[wire::Route]) -> Result<Table, BadRoute> {
    let shared: Vec<_> = specs.iter().cloned().map(Arc::new).collect();
    Table::compile(&shared)
}

#[test]
fn every_case_of_the_data_finds_its_route() {
    let data = include_str!("../../../../conformance/gateway/routes.json");
    let data: Value = serde_json::from_str(data).expect("JSON");
    for case in data["cases"].as_array().expect("cases") {
        let routes = case["routes"].as_object().expect("routes");
        let specs: Vec<_> = routes.iter().map(|(name, spec)| route(name, from_data(spec))).collect();
        let table = compile(&specs).expect("routes that can be matched");
        for request in case["requests"].as_array().expect("requests") {
            let asked = text(&request["ask"]);
            let [method, host, target] = asked.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{asked}")
            };
            let mut head = RequestHead::new(method.parse().expect("a method"), host, target).expect("a path");
            for (name, value) in request["headers"].as_object().into_iter().flatten() {
                head.fields.push_bytes(name.as_bytes(), text(value).as_bytes());
            }
            let found = table.find(&head).map(|route| route.spec.name.as_str());
            assert_eq!(found, request["route"].as_str(), "{}: {asked}", case["case"]);
        }
    }
}

#[test]
fn patterns_that_no_request_can_match_are_refused() {
    let data = include_str!("../../../../conformance/gateway/routes.json");
    let data: Value = serde_json::from_str(data).expect("JSON");
    for spec in data["refused"].as_array().expect("refused") {
        let error = compile(&[route("r", from_data(&spec["match"]))]).expect_err(&spec.to_string());
        assert!(error.to_string().contains(&text(&spec["says"])), "{error}");
    }
}

/// What a route matches, in a small world where much overlaps.
fn any_match() -> impl Strategy<Value = RouteMatch> {
    let segment = prop::sample::select(vec!["a", "b", "ab"]);
    let path = prop::collection::vec(segment, 0..4).prop_map(|segments| format!("/{}", segments.join("/")));
    let path = (path, 0..5_u8).prop_map(|(path, kind)| match kind {
        0 | 1 => PathMatch::Exact(path),
        2 | 3 => PathMatch::Prefix(path),
        _ => PathMatch::Regex(format!("{path}[ab]*")),
    });
    let host = prop::sample::select(vec!["x.io", "y.x.io", "*.x.io", "*.io", "io"]);
    let one = |name: &str| vec![(name.to_owned(), ValueMatch::Exact("1".into()))];
    (
        path,
        prop::collection::vec(host, 0..2),
        prop::option::of(prop::sample::select(vec!["GET", "POST"])),
        any::<(bool, bool)>(),
    )
        .prop_map(move |(path, hosts, method, (header, query))| RouteMatch {
            path,
            hosts: hosts.into_iter().map(String::from).collect(),
            methods: method.into_iter().map(String::from).collect(),
            headers: if header { one("h") } else { vec![] },
            query: if query { one("q") } else { vec![] },
        })
}

/// How well a route matches; `None`: not. The largest wins, the earlier of equals.
fn rank(m: &RouteMatch, head: &RequestHead) -> Option<[usize; 8]> {
    let hosts = m.hosts.iter().filter_map(|host| match host.strip_prefix('*') {
        Some(rest) => (head.host().ends_with(rest) && head.host() != rest).then_some((0, host.len())),
        None => (head.host() == host).then_some((host.len(), 0)),
    });
    let host = if m.hosts.is_empty() { (0, 0) } else { hosts.max()? };
    let path = head.path();
    let (exact, long, real_prefix) = match &m.path {
        PathMatch::Exact(p) => (p == path).then_some((true, 0, false))?,
        PathMatch::Prefix(p) => {
            let p = p.trim_end_matches('/');
            let rest = path.strip_prefix(p)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((false, p.len(), true))?
        }
        PathMatch::Regex(r) => {
            let plain = r.trim_end_matches("[ab]*");
            let rest = path.strip_prefix(plain)?;
            rest.bytes()
                .all(|b| b == b'a' || b == b'b')
                .then_some((false, plain.len(), false))?
        }
    };
    let method = m.methods.is_empty() || m.methods.iter().any(|method| method == head.method.as_str());
    let header = m.headers.is_empty() || head.fields.contains("h");
    let query = m.query.is_empty() || head.query() == Some("q=1");
    let bits = [
        usize::from(exact),
        long,
        usize::from(real_prefix),
        usize::from(!m.methods.is_empty()),
    ];
    let [exact, long, real_prefix, by_method] = bits;
    let rank = [
        host.0,
        host.1,
        exact,
        long,
        real_prefix,
        by_method,
        m.headers.len(),
        m.query.len(),
    ];
    (method && header && query).then_some(rank)
}

proptest! {
    #[test]
    fn the_table_finds_what_sorting_all_matching_routes_finds(
        matches in prop::collection::vec(any_match(), 0..25),
        path in prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", ""]), 0..5),
        host in prop::sample::select(vec!["x.io", "y.x.io", "z.y.x.io", "io", "other"]),
        post: bool, header: bool, query: bool,
    ) {
        let specs: Vec<_> = matches.iter().enumerate().map(|(n, m)| route(&format!("r{n}"), m.clone())).collect();
        let table = compile(&specs).expect("valid");
        let target = format!("/{}{}", path.join("/"), if query { "?q=1" } else { "" });
        let mut head = RequestHead::new(if post { Method::POST } else { Method::GET }, host, &target).expect("valid");
        if header { head.fields.push("h", "1") }
        let ranked = matches.iter().enumerate().filter_map(|(n, m)| Some((rank(m, &head)?, std::cmp::Reverse(n))));
        let expected = ranked.max().map(|(_, n)| n.0);
        prop_assert_eq!(table.find(&head).map(|route| route.index), expected);
    }
}

#[test]
fn ten_thousand_routes_are_all_found() {
    let specs: Vec<_> = (0..10_000)
        .map(|n| {
            let path = PathMatch::Prefix(format!("/team{}/service{n}", n % 100));
            let matches = RouteMatch {
                path,
                methods: vec![],
                hosts: vec![],
                headers: vec![],
                query: vec![],
            };
            route(&format!("r{n}"), matches)
        })
        .collect();
    let table = compile(&specs).expect("valid");
    for n in (0..10_000).step_by(97) {
        let head = RequestHead::new(Method::GET, "h", &format!("/team{}/service{n}/x/y", n % 100)).expect("valid");
        assert_eq!(table.find(&head).map(|route| route.index), Some(n));
    }
}

#[test]
fn a_path_that_no_request_could_have_is_not_what_a_path_becomes() {
    let mut changed = route("r", from_data(&serde_json::json!({ "prefix": "/a" })));
    for (path, good) in [("/b", true), ("/b/../../c", false), ("/b%zz", false)] {
        changed.rewrite.path = Some(wire::PathChange::Prefix(path.into()));
        assert_eq!(compile(std::slice::from_ref(&changed)).is_ok(), good, "{path}");
    }
}
