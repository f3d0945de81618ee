//! The whole line over real sockets: gateway, edges, controller, retries, reports, snapshots.

mod common;

use common::*;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::{Action, FromProxy, Protocol, Report, Traffic};
use ondol_core::wire::supervision::SocketName;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn a_request_goes_to_its_service_and_back_and_leaves_a_record() {
    let dir = tempfile::tempdir().expect("a folder");
    let orders = instance(ok);
    let routes = vec![route("/api/orders", "orders")];
    let (running, mut controller) = serving(
        dir.path(),
        &snapshot(routes, vec![], vec![cluster("orders", Protocol::Http1, &[orders])]),
    );
    let request = "GET /api/orders/7?x=y HTTP/1.1\r\nHost: Shop.example\r\nOndol-Subject: root\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let answer = ask(&mut running.client(), request);
    let (_, seen) = answer.split_once("\r\n\r\n").expect("a body");
    assert!(
        seen.starts_with("GET /api/orders/7?x=y HTTP/1.1\r\nhost: shop.example\r\n"),
        "{seen}"
    );
    assert_eq!(
        field(seen, "x-forwarded-for"),
        Some("127.0.0.1"),
        "what a stranger forwards is not believed"
    );
    assert_eq!(
        field(seen, "ondol-subject"),
        None,
        "who a stranger says to be is not believed"
    );
    let left: u64 = field(seen, "ondol-deadline-ms")
        .expect("a deadline")
        .parse()
        .expect("a number");
    assert!((1..10_000).contains(&left), "{left}");
    let trace = field(seen, "traceparent").expect("a trace");
    assert_eq!(field(&answer, "x-request-id"), field(seen, "x-request-id"));
    let line = running.log.line("/api/orders/7");
    assert_eq!(
        (line["status"].as_u64(), line["route"].as_str()),
        (Some(200), Some("r-api-orders"))
    );
    assert_eq!(
        (line["instance"].as_str(), line["attempts"].as_u64()),
        (Some("orders.1"), Some(1))
    );
    assert_eq!(line["trace_id"].as_str(), trace.split('-').nth(1));
    let report = controller.report(|report| !report.traffic.is_empty());
    assert_eq!(report.traffic[0].by_class, [0, 1, 0, 0, 0]);
    assert_eq!(report.in_flight, [("orders.1".parse().expect("an instance"), 0)]);
    running.stop();
}

#[test]
fn what_no_route_takes_is_a_problem_that_names_its_page() {
    let dir = tempfile::tempdir().expect("a folder");
    let (running, mut controller) = serving(dir.path(), &snapshot(vec![route("/a", "orders")], vec![], vec![]));
    let answer = ask(&mut running.client(), "GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(
        field(&answer, "proxy-status"),
        Some("ondol; error=destination_not_found; details=\"GW-010\"")
    );
    assert_eq!(field(&answer, "content-type"), Some("application/problem+json"));
    let answer = ask(&mut running.client(), "GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("destination_unavailable"),
        "{answer}"
    );
    let report = controller.report(|report| report.traffic.len() == 2);
    assert!(
        report
            .traffic
            .iter()
            .any(|line| line.own_answers.get("destination_not_found") == Some(&1))
    );
}

#[test]
fn an_edge_names_its_caller_and_passes_on_the_user() {
    let dir = tempfile::tempdir().expect("a folder");
    let products = instance(ok);
    let edges = vec![edge("orders", "products")];
    let mut address = None;
    let (_running, _controller) = serving_with(
        dir.path(),
        &snapshot(vec![], edges, vec![cluster("products", Protocol::Http1, &[products])]),
        |sockets| address = Some(sockets.tcp("edge/orders/products")),
    );
    let request =
        "GET /p HTTP/1.1\r\nHost: a\r\nOndol-Caller: web\r\nOndol-Subject: u1\r\nOndol-Deadline-Ms: 500\r\n\r\n";
    let seen = ask(&mut connect(address.expect("bound")), request);
    assert_eq!(
        (field(&seen, "ondol-caller"), field(&seen, "ondol-subject")),
        (Some("orders"), Some("u1"))
    );
    let left: u64 = field(&seen, "ondol-deadline-ms")
        .expect("a deadline")
        .parse()
        .expect("a number");
    assert!(left <= 500, "{left}: the caller's deadline is the shorter one");
}

#[test]
fn ondols_own_calls_get_one_try_and_only_the_proxys_word() {
    let dir = tempfile::tempdir().expect("a folder");
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let pay = instance(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        "HTTP/1.1 503 Service Unavailable\r\nProxy-Status: x; error=connection_refused\r\nContent-Length: 0\r\n\r\n"
            .into()
    });
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("bind")
        .local_addr()
        .expect("address"); // Nobody listens there.
    let clusters = vec![
        cluster("pay", Protocol::Http1, &[pay]),
        cluster("down", Protocol::Http1, &[free]),
    ];
    let edges = vec![edge("ondol", "pay"), edge("ondol", "down")];
    let (_running, _controller) = serving_with(dir.path(), &snapshot(vec![], edges, clusters), |sockets| {
        for target in ["pay", "down"] {
            sockets.unix(&format!("edge/ondol/{target}"), &dir.path().join(target));
        }
    });
    let call = "PUT /c HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\n{}";
    let mut stream = ondol_core::unix::connect(&dir.path().join("pay")).expect("connect");
    let answer = ask(&mut stream, call);
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(
        field(&answer, "proxy-status"),
        None,
        "the participant may not speak as the proxy"
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    let mut stream = ondol_core::unix::connect(&dir.path().join("down")).expect("connect");
    let answer = ask(&mut stream, call);
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(
        field(&answer, "proxy-status")
            .expect("ours")
            .contains("error=connection_refused"),
        "{answer}"
    );
}

#[test]
fn a_safe_request_is_sent_again_to_another_instance_and_a_harmful_one_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let (good, bad) = (instance(|_| ok("good")), instance(|_| String::new()));
    let mut address = None;
    let (_running, _controller) = serving_with(
        dir.path(),
        &snapshot(
            vec![],
            vec![edge("web", "orders")],
            vec![cluster("orders", Protocol::Http1, &[good, bad])],
        ),
        |sockets| address = Some(sockets.tcp("edge/web/orders")),
    );
    let address = address.expect("bound");
    let (mut retried, mut failed) = (0, 0);
    for _ in 0..4 {
        let answer = ask(&mut connect(address), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.ends_with("good"), "{answer}");
        retried += u32::from(field(&answer, "ondol-retried").is_some());
        let answer = ask(
            &mut connect(address),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
        );
        failed += u32::from(answer.contains("connection_terminated"));
        assert_eq!(field(&answer, "ondol-retried"), None);
    }
    assert!(retried + failed > 0, "the bad instance was asked");
}

#[test]
fn a_route_that_starts_a_saga_asks_the_controller() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut start = route("/api/orders", "orders");
    start.action = Action::Start {
        saga: "place-order".parse().expect("a name"),
        wait_ms: 5_000,
        key_required: true,
    };
    let (running, _controller) = serving(dir.path(), &snapshot(vec![start], vec![], vec![]));
    let post = |key: &str| format!("POST /api/orders HTTP/1.1\r\nHost: a\r\n{key}Content-Length: 2\r\n\r\n{{}}");
    let mut client = running.client();
    assert!(ask(&mut client, &post("")).contains("GW-031"), "a key is needed");
    let away = ask(&mut client, &post("Idempotency-Key: k1\r\n"));
    assert!(
        away.starts_with("HTTP/1.1 503") && field(&away, "retry-after").is_some(),
        "{away}"
    );
    assert!(
        field(&away, "proxy-status")
            .expect("ours")
            .contains("destination_unavailable"),
        "{away}"
    );
    let listener = ondol_core::unix::bind(&dir.path().join("controller.sock")).expect("bind");
    serve(listener, |request| {
        if request.contains("die") {
            String::new()
        } else {
            ok(request)
        }
    });
    let seen = ask(&mut client, &post("Idempotency-Key: k1\r\nOndol-Subject: root\r\n"));
    let cut = ask(&mut running.client(), &post("Idempotency-Key: die\r\n"));
    assert!(
        seen.contains("POST /v1/starts/r-api-orders HTTP/1.1\r\n") && seen.ends_with("{}"),
        "{seen}"
    );
    assert!(
        seen.contains("idempotency-key: k1") && !seen.contains("ondol-subject"),
        "{seen}"
    );
    assert!(
        cut.starts_with("HTTP/1.1 503") && field(&cut, "retry-after").is_some(),
        "never a 502: {cut}"
    );
}

#[test]
fn a_body_beyond_the_routes_limit_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut small = route("/", "orders");
    small.policy.body_limit = 10;
    let orders = instance(ok);
    let (running, _controller) = serving(
        dir.path(),
        &snapshot(vec![small], vec![], vec![cluster("orders", Protocol::Http1, &[orders])]),
    );
    let known = ask(
        &mut running.client(),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n",
    );
    assert!(known.starts_with("HTTP/1.1 413") && known.contains("GW-011"), "{known}");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n";
    let counted = ask(&mut running.client(), chunked);
    assert!(
        counted.starts_with("HTTP/1.1 413") && counted.contains("GW-011"),
        "{counted}"
    );
    let broken = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
    assert!(ask(&mut running.client(), broken).contains("GW-012"));
}

#[test]
fn an_instance_that_hangs_is_a_504_when_the_time_is_over() {
    let dir = tempfile::tempdir().expect("a folder");
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let mut slow = route("/", "orders");
    slow.policy.timeout_ms = 50;
    let orders = cluster("orders", Protocol::Http1, &[silent.local_addr().expect("address")]);
    let (running, _controller) = serving(dir.path(), &snapshot(vec![slow], vec![], vec![orders]));
    let answer = ask(&mut running.client(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.1 504") && answer.contains("http_response_timeout"),
        "{answer}"
    );
}

#[test]
fn the_last_snapshot_serves_again_without_a_controller_within_the_same_boot() {
    let dir = tempfile::tempdir().expect("a folder");
    let orders = instance(|_| ok("still here"));
    let first = snapshot(
        vec![route("/", "orders")],
        vec![],
        vec![cluster("orders", Protocol::Http1, &[orders])],
    );
    let (running, mut controller) = serving(dir.path(), &first);
    let life = controller.report(|_| true).life;
    let (sockets, gateway) = (running.sockets.clone(), running.gateway);
    running.stop();
    drop(controller);
    std::fs::remove_file(dir.path().join("control.sock")).expect("the controller is gone");
    let running = Running::start_on(dir.path(), sockets, gateway);
    let answer = ask(&mut running.client(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.ends_with("still here"), "{answer}");
    let listener = Controller::listen(dir.path());
    let mut again = Controller::accept(&listener);
    assert_ne!(
        again.report(|_| true).life,
        life,
        "another life, though the process is the same"
    );
    assert!(
        matches!(
            again.hello,
            FromProxy::Hello {
                generation: Some(1),
                ..
            }
        ),
        "{:?}",
        again.hello
    );
}

#[test]
fn a_snapshot_that_cannot_be_served_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let orders = instance(|_| ok("as before"));
    let good = snapshot(
        vec![route("/", "orders")],
        vec![],
        vec![cluster("orders", Protocol::Http1, &[orders])],
    );
    let (running, mut controller) = serving(dir.path(), &good);
    let mut foreign = good.clone();
    (foreign.generation, foreign.boot.boot) = (2, "other".into());
    let mut unbound = good.clone();
    unbound.generation = 3;
    unbound.gateways[0].socket = SocketName("gateway/unbound".into());
    let mut pattern = good.clone();
    pattern.generation = 4;
    Arc::make_mut(&mut pattern.routes[0]).matches.path = ondol_core::wire::proxy::PathMatch::Regex("(".into());
    for bad in [foreign, unbound, pattern] {
        let word = controller.tell(&bad);
        assert!(
            matches!(&word, FromProxy::Refused { generation, .. } if *generation == bad.generation),
            "{word:?}"
        );
        assert!(ask(&mut running.client(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("as before"));
    }
}

#[test]
fn sockets_open_and_close_with_the_snapshots() {
    let dir = tempfile::tempdir().expect("a folder");
    let (a, b) = (instance(|_| ok("a")), instance(|_| ok("b")));
    let clusters = vec![cluster("a", Protocol::Http1, &[a]), cluster("b", Protocol::Http1, &[b])];
    let first = snapshot(vec![], vec![edge("web", "a")], clusters.clone());
    let mut bound = None;
    let (running, mut controller) = serving_with(dir.path(), &first, |sockets| {
        bound = Some((sockets.tcp("edge/web/a"), sockets.tcp("edge/web/b")));
    });
    let (to_a, to_b) = bound.expect("bound");
    let mut kept = connect(to_a);
    assert!(ask(&mut kept, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with('a'));
    let mut second = snapshot(vec![], vec![edge("web", "b")], clusters);
    second.generation = 2;
    assert_eq!(controller.tell(&second), FromProxy::Ack { generation: 2 });
    assert!(ask(&mut connect(to_b), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with('b'));
    let refused = ask(&mut kept, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        refused.starts_with("HTTP/1.1 503"),
        "a call without an edge is refused: {refused}"
    );
    running.stop();
}

#[test]
fn a_wait_at_the_controller_is_counted_and_its_duration_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let listener = ondol_core::unix::bind(&dir.path().join("controller.sock")).expect("bind");
    serve(listener, ok);
    let edges = vec![edge("orders", "controller")];
    let mut address = None;
    let (_running, mut controller) = serving_with(dir.path(), &snapshot(vec![], edges, vec![]), |sockets| {
        address = Some(sockets.tcp("edge/orders/controller"));
    });
    let mut client = connect(address.expect("bound"));
    for target in ["/v1/all?after=7&wait=5s", "/v1/all?after=7"] {
        let answer = ask(&mut client, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let both = |report: &Report| report.traffic.first().is_some_and(|edge| edge.by_class[1] == 2);
    let report = controller.report(both);
    let timed: u64 = report.traffic[0].buckets.iter().map(|(_, count)| count).sum();
    assert_eq!(timed, 1, "{:?}", report.traffic);
}

/// As `answer` would, but long after an edge with [`SHORT`] has given up.
const LATE: std::time::Duration = std::time::Duration::from_millis(300);
const SHORT: u64 = 50;

fn short(caller: &str, target: &str) -> ondol_core::wire::proxy::Edge {
    let mut edge = edge(caller, target);
    edge.policy.timeout_ms = SHORT;
    edge
}

#[test]
fn streams_and_pulls_at_the_controller_last_longer_than_other_calls() {
    let dir = tempfile::tempdir().expect("a folder");
    let listener = ondol_core::unix::bind(&dir.path().join("controller.sock")).expect("bind");
    serve(listener, |request| {
        std::thread::sleep(LATE);
        ok(request)
    });
    let mut address = None;
    let edges = vec![short("orders", "controller")];
    let (_running, _controller) = serving_with(dir.path(), &snapshot(vec![], edges, vec![]), |sockets| {
        address = Some(sockets.tcp("edge/orders/controller"));
    });
    let address = address.expect("bound");
    let status = |line: &str, accept: &str| {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAccept: {accept}\r\n\r\n");
        ask(&mut connect(address), &request)[9..12].to_owned()
    };
    assert_eq!(status("GET /v1/all", "*/*"), "504");
    assert_eq!(status("GET /v1/all", "text/plain, Text/Event-Stream;q=1"), "200");
    assert_eq!(status("GET /v1/subscriptions/orders/stream", "*/*"), "200");
    assert_eq!(status("POST /v1/subscriptions/orders/pull", "*/*"), "200");
    assert_eq!(status("POST /v1/subscriptions/orders/ack", "*/*"), "504");
}

#[test]
fn a_call_of_ondols_own_has_as_long_as_it_says() {
    let dir = tempfile::tempdir().expect("a folder");
    let slow = instance(|request| {
        std::thread::sleep(LATE);
        ok(request)
    });
    let cluster = cluster("pay", Protocol::Http1, &[slow]);
    let edges = vec![short("ondol", "pay"), short("web", "pay")];
    let (_running, _controller) = serving_with(dir.path(), &snapshot(vec![], edges, vec![cluster]), |sockets| {
        for caller in ["ondol", "web"] {
            sockets.unix(&format!("edge/{caller}/pay"), &dir.path().join(caller));
        }
    });
    let call = |caller: &str| {
        let mut stream = ondol_core::unix::connect(&dir.path().join(caller)).expect("connect");
        ask(
            &mut stream,
            "PUT /c HTTP/1.1\r\nHost: a\r\nOndol-Deadline-Ms: 9000\r\nContent-Length: 0\r\n\r\n",
        )
    };
    let seen = call("ondol");
    let left: u64 = field(&seen, "ondol-deadline-ms")
        .expect("a deadline")
        .parse()
        .expect("a number");
    assert!(seen.starts_with("HTTP/1.1 200") && left > 8_000, "{seen}");
    assert!(
        call("web").starts_with("HTTP/1.1 504"),
        "others may only shorten theirs"
    );
}

#[test]
fn what_lasts_as_its_client_wishes_is_counted_and_its_duration_is_not() {
    let dir = tempfile::tempdir().expect("a folder");
    let live = instance(|request| {
        if request.contains("websocket") {
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".into()
        } else {
            ok("event")
        }
    });
    let mut stream = route("/events", "live");
    stream.policy.stream = true;
    let routes = vec![stream, route("/", "live")];
    let clusters = vec![cluster("live", Protocol::Http1, &[live])];
    let (running, mut controller) = serving(dir.path(), &snapshot(routes, vec![], clusters));
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, fields, status) in [("/events", "", 200), ("/socket", upgrade, 101), ("/plain", "", 200)] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let answer = ask(&mut running.client(), &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
    let sum = |report: &Report, of: fn(&Traffic) -> u64| report.traffic.iter().map(of).sum::<u64>();
    let requests = |line: &Traffic| line.by_class.iter().sum();
    let report = controller.report(|report| sum(report, requests) == 3);
    let timed = |line: &Traffic| line.buckets.iter().map(|(_, count)| count).sum();
    assert_eq!(sum(&report, timed), 1, "{:?}", report.traffic);
}

#[test]
fn looks_that_find_no_instance_are_no_retries_and_cost_no_budget() {
    let dir = tempfile::tempdir().expect("a folder");
    let routes = vec![route("/", "orders")];
    let none = snapshot(routes.clone(), vec![], vec![cluster("orders", Protocol::Http1, &[])]);
    let (running, mut controller) = serving(dir.path(), &none);
    const CLIENTS: u64 = 20;
    const EACH: u64 = 4;
    // Each looks three times; with two draws each the budget of a quiet caller, 100, would be spent.
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = running.client();
                for _ in 0..EACH {
                    let answer = ask(&mut client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    assert!(answer.contains("GW-052"), "{answer}");
                }
            });
        }
    });
    let line = running.log.line("destination_unavailable");
    assert_eq!(line["attempts"].as_u64(), Some(0));
    let all = |report: &Report| report.traffic.iter().any(|line| line.by_class[4] == CLIENTS * EACH);
    assert_eq!(controller.report(all).traffic[0].retries, 0);

    let free = TcpListener::bind("127.0.0.1:0")
        .expect("bind")
        .local_addr()
        .expect("address");
    let mut refusing = snapshot(routes, vec![], vec![cluster("orders", Protocol::Http1, &[free])]);
    refusing.generation = 2;
    assert_eq!(controller.tell(&refusing), FromProxy::Ack { generation: 2 });
    let answer = ask(&mut running.client(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    let retried = controller.report(|report| report.traffic[0].by_class[4] > CLIENTS * EACH);
    assert_eq!(retried.traffic[0].retries, 2);
}

#[test]
fn what_services_ask_the_controller_goes_over_kept_connections_and_survives_one_that_was_closed() {
    let dir = tempfile::tempdir().expect("a folder");
    let listener = ondol_core::unix::bind(&dir.path().join("controller.sock")).expect("bind");
    // Each connection has its number, and ends instead of giving its third answer.
    let connections = Arc::new(AtomicU32::new(0));
    let counted = connections.clone();
    Tasks::thread("controller", move || {
        while let Some(mut stream) = listener.accept_one() {
            let number = counted.fetch_add(1, Ordering::Relaxed) + 1;
            for _ in 0..2 {
                let Some(request) = read_message(&mut stream) else {
                    break;
                };
                let answer = ok(&format!(
                    "{number} {}",
                    request.split("\r\n\r\n").nth(1).unwrap_or_default()
                ));
                if stream.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
            // Seen and not answered: the next try has to bring all of it again.
            read_message(&mut stream);
        }
    })
    .expect("a thread");
    let edges = vec![edge("orders", "controller")];
    let mut address = None;
    let (_running, _controller) = serving_with(dir.path(), &snapshot(vec![], edges, vec![]), |sockets| {
        address = Some(sockets.tcp("edge/orders/controller"));
    });
    let mut client = connect(address.expect("bound"));
    let publish = |body: &str| {
        let head = "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: ";
        let answer = ask(&mut client, &format!("{head}{}\r\n\r\n{body}", body.len()));
        answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned()
    };
    let answers = ["a", "b", "c", "d", "e"].map(publish);
    assert_eq!(answers, ["1 a", "1 b", "2 c", "2 d", "3 e"]);
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}
