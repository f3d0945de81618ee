//! Requests that nobody sends, and the cases of the route table once more.

use super::*;
use crate::route::fixtures::{from_data, route, text};
use ondol_core::wire::proxy::{PathMatch, RouteMatch};
use serde_json::{Value, json};

fn matching(path: PathMatch) -> RouteMatch {
    RouteMatch {
        path,
        methods: vec![],
        hosts: vec![],
        headers: vec![],
        query: vec![],
    }
}

fn prefix(path: &str) -> RouteMatch {
    matching(PathMatch::Prefix(path.into()))
}

fn gateway(routes: Vec<wire::Route>) -> Gateway {
    Gateway::new(routes, &[], BTreeSet::from(["shop".to_owned()])).expect("good routes")
}

/// `METHOD HOST TARGET` and fields.
fn ask(gateway: &Gateway, asked: &str, fields: &[(&str, &str)]) -> Decision {
    let [method, authority, target] = asked.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{asked}")
    };
    gateway.decide(&Asked {
        method: method.into(),
        scheme: "http".into(),
        authority: authority.into(),
        target: target.into(),
        fields: fields
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    })
}

fn status(decision: &Decision) -> (u16, Option<&str>) {
    match &decision.end {
        End::Answered { status, code, .. } => (*status, code.as_ref().map(ErrorCode::as_str)),
        other => panic!("{other:?}"),
    }
}

fn sent(decision: Decision) -> Sent {
    match decision.end {
        End::Forwarded { sent, .. } => sent,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_cases_of_the_route_table_are_decided_alike() {
    let data: Value = serde_json::from_str(include_str!("../../../../conformance/gateway/routes.json")).expect("JSON");
    for case in data["cases"].as_array().expect("cases") {
        let routes = case["routes"].as_object().expect("routes");
        let gateway = gateway(routes.iter().map(|(name, spec)| route(name, from_data(spec))).collect());
        for request in case["requests"].as_array().expect("requests") {
            let asked = text(&request["ask"]);
            let headers = request["headers"].as_object().into_iter().flatten();
            let headers: Vec<_> = headers.map(|(name, value)| (name.as_str(), text(value))).collect();
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let found = ask(&gateway, &asked, &headers).route.map(|(name, _)| name.to_string());
            assert_eq!(found.as_deref(), request["route"].as_str(), "{}: {asked}", case["case"]);
        }
    }
}

#[test]
fn what_no_two_servers_read_alike_is_refused_as_the_gateway_does() {
    let gateway = gateway(vec![route("all", prefix("/"))]);
    for (asked, want) in [
        ("GET a /x%2fy", (400, Some("GW-004"))),
        ("GET a /../x", (400, Some("GW-004"))),
        ("TRACE a /", (405, Some("GW-006"))),
        ("GET a,b /", (400, Some("GW-003"))),
    ] {
        let decision = ask(&gateway, asked, &[]);
        assert_eq!((status(&decision), &decision.path), (want, &None), "{asked}");
    }
}

#[test]
fn what_is_too_large_for_the_gateway_is_refused_here_too() {
    let gateway = gateway(vec![route("all", prefix("/"))]);
    let field = |length: usize| ask(&gateway, "GET a /", &[("x", &"a".repeat(length))]);
    assert_eq!(status(&field(16 << 10)), (431, Some("GW-005")));
    assert!(matches!(field(15 << 10).end, End::Forwarded { .. }));
    let target = format!("GET a /{}", "a".repeat(9 << 10));
    assert_eq!(status(&ask(&gateway, &target, &[])), (414, Some("GW-005")));
}

#[test]
fn a_line_end_never_makes_two_of_one() {
    let gateway = gateway(vec![route("all", prefix("/"))]);
    let asked = |method: &str, authority: &str, target: &str, field: (&str, &str)| {
        let decision = gateway.decide(&Asked {
            method: method.into(),
            scheme: "http".into(),
            authority: authority.into(),
            target: target.into(),
            fields: vec![(field.0.into(), field.1.into())],
        });
        let (status, code) = status(&decision);
        (status, code.map(str::to_owned))
    };
    for end in ["\r\n", "\n", "\r"] {
        let with = |before: &str, after: &str| format!("{before}{end}{after}");
        let bad = |code: &str| (400, Some(code.to_owned()));
        assert_eq!(
            asked(&with("GET / HTTP/1.1", "x: GET"), "a", "/", ("x", "1")),
            bad("GW-001")
        );
        assert_eq!(
            asked("GET", "a", &with("/ HTTP/1.1", "host: b"), ("x", "1")),
            bad("GW-001")
        );
        assert_eq!(asked("GET", &with("a", "y: 2"), "/", ("x", "1")), bad("GW-003"));
        assert_eq!(asked("GET", "a", "/", (&with("x: 1", "y"), "2")), bad("GW-001"));
        assert_eq!(asked("GET", "a", "/", ("x", &with("1", "y: 2"))), bad("GW-001"));
    }
}

#[test]
fn each_filter_is_told_in_the_order_of_the_gateway_and_the_service_gets_what_is_left() {
    let spec: wire::Route = wire::Route {
        auth: Some(wire::Auth {
            issuer: "shop".into(),
            scope: Some("orders:read".into()),
            role: None,
            forward: false,
        }),
        limit: Some(wire::Limit {
            per_second: 5.0,
            burst: 10,
            by: wire::LimitBy::Ip,
        }),
        cors: Some(wire::Cors {
            allow_origins: vec!["https://shop.example".into()],
            allow_methods: vec!["PUT".into()],
            allow_headers: vec![],
            expose_headers: vec![],
            allow_credentials: false,
            max_age_s: 5,
        }),
        rewrite: wire::Rewrite {
            host: None,
            path: Some(wire::PathChange::Prefix("/v2".into())),
        },
        request_fields: wire::FieldChanges {
            remove: vec!["x-old".into()],
            set: vec![("x-new".into(), "1".into())],
            add: vec![],
        },
        mirrors: vec![wire::Mirror {
            service: "next".parse().expect("a name"),
            share: 0.25,
        }],
        ..route("orders", prefix("/api"))
    };
    let gateway = gateway(vec![spec]);
    let fields = [
        ("origin", "https://shop.example"),
        ("authorization", "Bearer x"),
        ("ondol-subject", "root"),
        ("x-old", "0"),
    ];
    let decision = ask(&gateway, "GET shop.example /api/./orders?x=1", &fields);
    let filters: Vec<_> = decision.steps.iter().map(|step| step.filter).collect();
    let want = [
        "identity",
        "cors",
        "auth",
        "limit",
        "request_headers",
        "rewrite",
        "mirrors",
    ];
    assert_eq!(filters, want);
    assert_eq!(decision.path.as_deref(), Some("/api/orders"));
    assert_eq!(decision.conditions, ["prefix /api"]);
    let sent = sent(decision);
    assert_eq!(
        (sent.target.as_str(), sent.host.as_str()),
        ("/v2/orders?x=1", "shop.example")
    );
    let names: Vec<_> = sent.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"x-new"), "{names:?}");
    for gone in ["authorization", "ondol-subject", "x-old"] {
        assert!(!names.contains(&gone), "{names:?}");
    }
    assert_eq!(status(&ask(&gateway, "GET a /api", &[])), (401, Some("GW-054")));
    let preflight = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "PUT"),
    ];
    assert_eq!(status(&ask(&gateway, "OPTIONS a /api", &preflight)), (204, None));
}

#[test]
fn a_hash_says_whether_the_request_has_its_key() {
    use wire::{Balance, HashBy};
    let of = |balance: &Balance, fields: &[(&str, &str)]| {
        let mut spec = route("carts", prefix("/"));
        spec.policy.balance = balance.clone();
        let steps = ask(&gateway(vec![spec]), "GET a /carts", fields).steps;
        steps
            .into_iter()
            .map(|step| format!("{} {}", step.filter, step.does))
            .collect::<Vec<_>>()
    };
    let by_user = Balance::Maglev(HashBy::Header("x-user".into()));
    assert_eq!(
        of(&by_user, &[("X-User", "7")]),
        ["balance maglev by header x-user: all with this one's header x-user go to one instance while it has room"]
    );
    assert_eq!(
        of(&by_user, &[("x-other", "7")]),
        ["balance maglev by header x-user: this request has no header x-user, so it goes by peak-ewma"]
    );
    let by_address = Balance::RingHash(HashBy::SourceIp);
    assert!(of(&by_address, &[])[0].starts_with("balance ring-hash by source_ip: all with"));
    assert_eq!(of(&Balance::RoundRobin, &[]), Vec::<String>::new());
}

#[test]
fn redirects_starts_and_routes_that_lead_nowhere_end_as_they_do() {
    let moved = wire::Redirect {
        scheme: Some("https".into()),
        host: None,
        port: None,
        path: Some(wire::PathChange::Prefix("/new".into())),
        status: 308,
    };
    let start = wire::Action::Start {
        saga: "book".parse().expect("a name"),
        wait_ms: 5_000,
        key_required: true,
    };
    let nobody = wire::Action::Forward(vec![wire::Backend {
        service: "s".parse().expect("a name"),
        weight: 0,
        request_fields: Default::default(),
        response_fields: Default::default(),
    }]);
    let with = |name: &str, path: &str, action| wire::Route {
        action,
        ..route(name, prefix(path))
    };
    let gateway = gateway(vec![
        with("moved", "/old", wire::Action::Redirect(moved)),
        with("start", "/book", start),
        with("nobody", "/none", nobody),
    ]);
    let decision = ask(&gateway, "GET shop.example /old/x?y", &[]);
    let End::Answered {
        status: 308, headers, ..
    } = &decision.end
    else {
        panic!("{decision:?}")
    };
    assert_eq!(
        headers[0],
        ("location".to_owned(), "https://shop.example/new/x?y".to_owned())
    );
    assert_eq!(status(&ask(&gateway, "POST a /book", &[])), (400, Some("GW-031")));
    let started = ask(&gateway, "POST a /book", &[("idempotency-key", "k")]).end;
    assert_eq!(
        json!(started),
        json!({ "kind": "started", "saga": "book", "wait_ms": 5_000 })
    );
    assert_eq!(status(&ask(&gateway, "GET a /none", &[])), (500, Some("GW-080")));
}

#[test]
fn what_a_backend_changes_is_told_for_each_and_shown_where_there_is_one() {
    let set = |value: &str| wire::FieldChanges {
        set: vec![("x-to".into(), value.into())],
        ..Default::default()
    };
    let backend = |name: &str, weight| wire::Backend {
        service: name.parse().expect("a name"),
        weight,
        request_fields: set(name),
        response_fields: set(name),
    };
    for (weight, shown) in [(0, Some("one")), (1, None)] {
        let route = wire::Route {
            action: wire::Action::Forward(vec![backend("one", 1), backend("two", weight)]),
            ..route("r", prefix("/"))
        };
        let decision = ask(&gateway(vec![route]), "GET a /", &[]);
        let told: Vec<_> = decision
            .steps
            .iter()
            .map(|step| (step.filter, step.does.as_str()))
            .collect();
        let mut expected = vec![
            ("backends", "requests to one: sets x-to: one"),
            ("backends", "answers of one: sets x-to: one"),
        ];
        if shown.is_none() {
            expected.push(("backends", "requests to two: sets x-to: two"));
            expected.push(("backends", "answers of two: sets x-to: two"));
        }
        assert_eq!(told, expected);
        let sent = sent(decision);
        let found = sent.headers.iter().find(|(name, _)| name == "x-to");
        assert_eq!(found.map(|(_, value)| value.as_str()), shown);
    }
}

#[test]
fn a_route_that_nearly_takes_it_says_what_does_not_fit() {
    let with = |change: fn(&mut RouteMatch)| {
        let mut matches = prefix("/cart");
        change(&mut matches);
        matches
    };
    for (matches, asked, but) in [
        (
            with(|matches| matches.methods = vec!["GET".into(), "PUT".into()]),
            "POST a /cart",
            "its methods are GET, PUT, not POST",
        ),
        (
            with(|matches| matches.hosts = vec!["shop.example".into()]),
            "GET a /cart",
            "its hosts are shop.example, not a",
        ),
        (prefix("/cart"), "GET a /Cart?x=1", "it takes the path /cart"),
        (
            matching(PathMatch::Exact("/cart".into())),
            "GET a /cart/",
            "it takes the path /cart",
        ),
        (
            matching(PathMatch::Exact("/cart".into())),
            "GET a /cart/7",
            "it takes the path /cart alone, not what is below it",
        ),
    ] {
        let decision = ask(&gateway(vec![route("cart", matches)]), asked, &[]);
        assert_eq!(status(&decision), (404, Some("GW-010")), "{asked}");
        let near: Vec<_> = decision.near.iter().map(|near| near.but.as_str()).collect();
        assert_eq!(near, [but], "{asked}");
    }
    let far = ask(&gateway(vec![route("cart", prefix("/cart"))]), "GET a /elsewhere", &[]);
    assert_eq!(far.near, []);
}

#[test]
fn a_browsers_call_is_told_to_become_grpc_where_that_is_spoken() {
    let gateway = gateway(vec![route("all", prefix("/"))]);
    let steps = |kind| {
        let decision = ask(&gateway, "POST shop /shop.Echo/Say", &[("content-type", kind)]);
        let steps: Vec<_> = decision.steps.iter().map(|step| step.filter).collect();
        steps
    };
    assert_eq!(steps("application/grpc-web-text"), ["grpc-web"]);
    assert_eq!(steps("application/grpc"), [""; 0]);
}

#[test]
fn what_is_kept_and_what_stands_in_is_told_of_requests_that_it_concerns() {
    let mut spec = route("things", prefix("/"));
    spec.policy.cache = Some(wire::Cache {
        stale_if_error_ms: 60_000,
        stale_while_revalidate_ms: 5_000,
        shared: false,
    });
    spec.policy.fallback = Some(wire::Fallback::Answer {
        status: 200,
        content_type: "application/json".into(),
        body: "[]".into(),
    });
    let gateway = gateway(vec![spec]);
    let told = |asked: &str, fields: &[(&str, &str)]| -> Vec<String> {
        let steps = ask(&gateway, asked, fields).steps;
        steps
            .into_iter()
            .map(|step| format!("{} {}", step.filter, step.does))
            .collect()
    };
    let stands_in = "fallback for an error 200 with application/json stands in";
    assert_eq!(
        told("GET a /x", &[]),
        [
            "cache an answer that is kept is given again, each consumer its own; stale for 1m in place of errors and for 5s while \
             another is fetched, unless it says otherwise itself",
            stands_in
        ]
    );
    assert_eq!(
        told("GET a /x", &[("range", "bytes=0-1")]),
        ["cache this request is none whose answers are kept", stands_in]
    );
    assert_eq!(
        told("PUT a /x", &[]),
        ["cache if it succeeds, kept answers of its target are forgotten"]
    );
}
