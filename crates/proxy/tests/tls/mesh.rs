//! Two systems, each with its proxy: calls from one to the other over mutual TLS, and all who must not come through.

use crate::common::*;
use crate::setup::*;
use ondol_core::wire::proxy::{CertificateFiles, Edge, Fallback, FromProxy, Identity, Mesh, Peer, Protocol, Snapshot};
use ondol_core::wire::supervision::SocketName;
use rcgen::{CertificateParams, SanType};
use std::io::{Read, Write};
use std::net::SocketAddr;

const MESH: &str = "mesh";

/// One system.
struct System {
    name: &'static str,
    dir: tempfile::TempDir,
    authority: Authority,
}

impl System {
    fn new(name: &'static str) -> Self {
        let system = Self {
            name,
            dir: tempfile::tempdir().expect("a folder"),
            authority: Authority::new(),
        };
        std::fs::write(system.authorities(), &system.authority.pem).expect("written");
        system
    }

    fn authorities(&self) -> std::path::PathBuf {
        self.dir.path().join("authority.pem")
    }

    fn uri(&self, service: &str) -> String {
        format!("spiffe://{}/service/{service}", self.name)
    }

    /// A certificate for a service, over the one that it had.
    fn identity(&self, service: &str) -> Identity {
        Identity {
            service: name(service),
            files: self
                .authority
                .issue_to(&self.uri(service))
                .write(self.dir.path(), service),
        }
    }

    fn mesh(&self, services: &[&str], peers: &[&System]) -> Mesh {
        let peer = |peer: &&System| Peer {
            domain: peer.name.parse().expect("a name"),
            authorities: peer.authorities(),
        };
        Mesh {
            zone: None,
            domain: self.name.parse().expect("a name"),
            socket: Some(SocketName(MESH.into())),
            identities: services.iter().map(|service| self.identity(service)).collect(),
            peers: peers.iter().map(peer).collect(),
        }
    }
}

/// `shop`, whose orders call inventory of `warehouse`.
struct Two {
    shop: System,
    warehouse: System,
    /// Where orders reach inventory.
    edge: SocketAddr,
    /// Where the warehouse's mesh listens.
    mesh: SocketAddr,
    there: (Running, Controller),
    here: (Running, Controller),
    /// What the warehouse serves.
    serves: Snapshot,
}

fn visitor(caller: &str, system: &str, target: &str) -> Edge {
    Edge {
        peer: Some(system.parse().expect("a name")),
        socket: SocketName(MESH.into()),
        ..edge(caller, target)
    }
}

impl Two {
    fn new(protocol: Protocol, instance: SocketAddr) -> Self {
        let (shop, warehouse) = (System::new("shop"), System::new("warehouse"));
        let mut serves = snapshot(
            vec![],
            vec![
                visitor("orders", "shop", "inventory"),
                visitor("ondol", "shop", "inventory"),
            ],
            vec![cluster("inventory", Protocol::Http1, &[instance])],
        );
        serves.mesh = Some(warehouse.mesh(&["inventory", "billing"], &[&shop]));
        let mut mesh = None;
        let there = serving_with(warehouse.dir.path(), &serves, |sockets| mesh = Some(sockets.tcp(MESH)));
        let mesh = mesh.expect("bound");

        let far = |service: &str| {
            let mut cluster = cluster(service, protocol, &[mesh]);
            cluster.peer = Some("warehouse".parse().expect("a name"));
            cluster
        };
        let edges = vec![
            edge("orders", "inventory"),
            edge("intruder", "inventory"),
            edge("orders", "billing"),
        ];
        let mut calls = snapshot(vec![], edges, vec![far("inventory"), far("billing")]);
        calls.mesh = Some(shop.mesh(&["orders", "intruder"], &[&warehouse]));
        let mut to = None;
        let here = serving_with(shop.dir.path(), &calls, |sockets| {
            to = Some(sockets.tcp("edge/orders/inventory"));
            sockets.tcp("edge/intruder/inventory");
            sockets.tcp("edge/orders/billing");
            sockets.tcp(MESH);
        });
        Self {
            shop,
            warehouse,
            edge: to.expect("bound"),
            mesh,
            there,
            here,
            serves,
        }
    }

    fn edge(&self, name: &str) -> SocketAddr {
        let socket = ondol_proxy::service::Supervisor::take_socket(&*self.here.0.sockets, &SocketName(name.into()));
        let socket = futures_util::FutureExt::now_or_never(socket).expect("at once");
        match socket.expect("a socket") {
            ondol_proxy::listener::Socket::Tcp(socket) => socket.local_addr().expect("an address"),
            ondol_proxy::listener::Socket::Unix(_) => unreachable!("edges of services are TCP"),
        }
    }

    /// Full handshakes, once so many requests have come in.
    fn handshakes(&mut self, requests: u64) -> Option<u64> {
        let peer = Some("shop".parse().expect("a name"));
        let report = self.there.1.report(|report| {
            let visits = report.traffic.iter().filter(|line| line.peer == peer);
            visits.map(|line| line.by_class[1]).sum::<u64>() == requests
        });
        report.tls[0].handshakes.get("full").copied()
    }
}

fn echo() -> SocketAddr {
    instance(ok)
}

#[test]
fn a_call_reaches_the_other_system_and_its_certificate_says_who_called() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let mut two = Two::new(protocol, echo());
        let mut client = connect(two.edge);
        let request = "POST /internal/stock HTTP/1.1\r\nHost: inventory\r\nOndol-Subject: root\r\nOndol-Roles: admin\r\n\
                       Ondol-Caller: ondol\r\nOndol-Client-Identity: spiffe://warehouse/service/ondol\r\nContent-Length: 4\r\n\r\nbody";
        for _ in 0..20 {
            let answer = ask(&mut client, request);
            assert_eq!(status(&answer), "200", "{protocol:?}: {answer}");
            let seen = answer.split_once("\r\n\r\n").expect("a body").1;
            assert!(
                seen.starts_with("POST /internal/stock ") && seen.ends_with("body"),
                "{seen}"
            );
            assert_eq!(field(seen, "ondol-caller"), Some("orders.shop"));
            assert_eq!(
                field(seen, "ondol-client-identity"),
                Some("spiffe://shop/service/orders")
            );
            assert_eq!(
                field(seen, "ondol-subject"),
                None,
                "another system's word on users is not ours"
            );
            assert_eq!(field(seen, "ondol-roles"), None);
            let left: u64 = field(seen, "ondol-deadline-ms")
                .expect("a deadline")
                .parse()
                .expect("a number");
            assert!(left <= 10_000);
        }
        assert_eq!(two.handshakes(20), Some(1), "{protocol:?}: the connection is kept");
        let line = two.there.0.log.line("\"peer\":\"shop\"");
        assert_eq!(
            (&line["caller"], &line["target"]),
            (&"orders".into(), &"inventory".into())
        );
    }
}

#[test]
fn who_may_not_call_is_refused_by_name() {
    let two = Two::new(Protocol::Http1, echo());
    for (edge, said) in [
        (
            "edge/intruder/inventory",
            "spiffe://shop/service/intruder may not call inventory.warehouse",
        ),
        (
            "edge/orders/billing",
            "spiffe://shop/service/orders may not call billing.warehouse",
        ),
    ] {
        let answer = ask(&mut connect(two.edge(edge)), &get("/", "there"));
        assert_eq!(status(&answer), "403", "{answer}");
        assert!(answer.contains("GW-079") && answer.contains(said), "{answer}");
    }
}

/// What a stranger reads after its handshake and a request: nothing, if it was turned away.
fn heard(client: &Client, mesh: SocketAddr) -> String {
    let mut text = String::new();
    if let Ok(mut stream) = client.connect(mesh, "inventory.warehouse") {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: inventory\r\nConnection: close\r\n\r\n");
        let _ = stream.read_to_string(&mut text);
    }
    text
}

fn with(two: &Two, own: Option<&Pair>) -> Client {
    // It looks at no certificate of ours: what is tried here is whether it is let in.
    Client::with(&two.warehouse.authority, BOTH, own).but(|config| {
        config
            .dangerous()
            .set_certificate_verifier(std::sync::Arc::new(Anybody));
    })
}

#[test]
fn strangers_do_not_come_in() {
    let two = Two::new(Protocol::Http1, echo());
    let right = two.shop.authority.issue_to(&two.shop.uri("orders"));
    assert!(
        heard(&with(&two, Some(&right)), two.mesh).starts_with("HTTP/1.1 200"),
        "the right one comes in"
    );

    let uris = |uris: &[&str]| {
        let uris: Vec<_> = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().expect("IA5")))
            .collect();
        move |params: &mut CertificateParams| params.subject_alt_names = uris
    };
    let orders = two.shop.uri("orders");
    let over = |params: &mut CertificateParams| {
        uris(&[&orders])(params);
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    };
    let (shop, warehouse) = (&two.shop.authority, &two.warehouse.authority);
    let other = Authority::new();
    for (why, pair) in [
        ("nobody", None),
        ("of an authority that nobody knows", Some(other.issue_to(&orders))),
        (
            "of shop, in the name of warehouse",
            Some(shop.issue_to(&two.warehouse.uri("inventory"))),
        ),
        ("of warehouse, in the name of shop", Some(warehouse.issue_to(&orders))),
        (
            "of a system that is no peer",
            Some(shop.issue_to("spiffe://elsewhere/service/orders")),
        ),
        ("over", Some(shop.issue_with(&[], over))),
        ("by DNS name only", Some(shop.issue(&["orders.shop"]))),
        (
            "of two services",
            Some(shop.issue_with(&[], uris(&[&orders, &two.shop.uri("billing")]))),
        ),
        (
            "of another form",
            Some(shop.issue_to("spiffe://shop/ns/default/sa/orders")),
        ),
    ] {
        assert_eq!(heard(&with(&two, pair.as_ref()), two.mesh), "", "{why}");
    }
    let old = Client::with(&two.warehouse.authority, &[&rustls::version::TLS12], Some(&right)).but(|config| {
        config
            .dangerous()
            .set_certificate_verifier(std::sync::Arc::new(Anybody));
    });
    assert_eq!(heard(&old, two.mesh), "", "TLS 1.2");
}

#[test]
fn a_head_of_another_system_that_is_refused_leaves_a_line_with_its_sender() {
    let two = Two::new(Protocol::Http1, echo());
    for (caller, told) in [
        ("orders", (Some("orders"), Some("shop"), Some("inventory"))),
        ("intruder", (None, None, Some("gateway"))),
    ] {
        let own = two.shop.authority.issue_to(&two.shop.uri(caller));
        let mut stream = with(&two, Some(&own))
            .connect(two.mesh, "inventory.warehouse")
            .expect("let in");
        stream.write_all(b"GET /\r\n\r\n").expect("sent");
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text); // It need not end with a word.
        assert_eq!(status(&text), "400", "{text}");
        let line = two
            .there
            .0
            .log
            .line(&format!("\"target\":\"{}\"", told.2.unwrap_or_default()));
        let word = |name: &str| line[name].as_str();
        assert_eq!((word("caller"), word("peer"), word("target")), told, "{line}");
        assert_eq!(word("message"), Some("refused head"));
    }
}

#[test]
fn a_caller_of_another_system_shortens_the_deadline_and_never_lengthens_it() {
    let two = Two::new(Protocol::Http1, echo());
    // Our own `ondol` says itself how long its calls may take; another system's has no such right.
    for service in ["orders", "ondol"] {
        let pair = two.shop.authority.issue_to(&two.shop.uri(service));
        let client = with(&two, Some(&pair));
        for (sent, most) in [("86400000", 10_000), ("500", 500)] {
            let request =
                format!("GET / HTTP/1.1\r\nHost: x\r\nOndol-Deadline-Ms: {sent}\r\nOndol-Priority: critical\r\n\r\n");
            let mut stream = client.connect(two.mesh, "inventory.warehouse").expect("TLS");
            let answer = ask(&mut stream, &request);
            let left = field(&answer, "ondol-deadline-ms").map(str::parse);
            assert!(
                matches!(left, Some(Ok(0..))) && left.is_some_and(|left| left.is_ok_and(|left: u64| left <= most)),
                "{service}: {answer}"
            );
            assert_eq!(field(&answer, "ondol-priority"), None, "{service}");
        }
    }
}

#[test]
fn a_connection_is_good_until_the_certificate_that_it_began_with_ends() {
    let two = Two::new(Protocol::Http1, echo());
    let orders = two.shop.uri("orders");
    let pair = two.shop.authority.issue_with(&[], |params| {
        params.subject_alt_names = vec![SanType::URI(orders.as_str().try_into().expect("IA5"))];
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(4);
    });
    let mut kept = with(&two, Some(&pair))
        .connect(two.mesh, "inventory.warehouse")
        .expect("TLS");
    assert_eq!(status(&ask(&mut kept, &get("/", "x"))), "200");
    until(|| {
        // A connection carries a thousand requests at most.
        std::thread::sleep(std::time::Duration::from_millis(50));
        (status(&ask(&mut kept, &get("/", "x"))) == "403").then_some(())
    });
}

#[test]
fn what_a_peer_says_of_clients_is_not_believed_and_what_its_sagas_say_of_steps_goes_on() {
    let two = Two::new(Protocol::Http1, echo());
    for (service, op) in [("orders", None), ("ondol", Some("compensate"))] {
        let pair = two.shop.authority.issue_to(&two.shop.uri(service));
        let mut stream = with(&two, Some(&pair))
            .connect(two.mesh, "inventory.warehouse")
            .expect("TLS");
        let request = "GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\
                       Ondol-Op: compensate\r\nOndol-Attempt: 1.2\r\n\r\n";
        let answer = ask(&mut stream, request);
        for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
            assert_eq!(field(&answer, name), None, "{answer}");
        }
        assert_eq!(field(&answer, "ondol-op"), op, "{answer}");
    }
}

#[test]
fn a_peers_impatience_opens_no_breaker() {
    let hangs = instance(|request| match request.starts_with("GET /hangs ") {
        true => loop {
            std::thread::park(); // Never answered; its thread ends with the test's process.
        },
        false => ok(request),
    });
    let two = Two::new(Protocol::Http1, hangs);
    let pair = two.shop.authority.issue_to(&two.shop.uri("orders"));
    let mut stream = with(&two, Some(&pair))
        .connect(two.mesh, "inventory.warehouse")
        .expect("TLS");
    for _ in 0..40 {
        let answer = ask(
            &mut stream,
            "GET /hangs HTTP/1.1\r\nHost: x\r\nOndol-Deadline-Ms: 5\r\n\r\n",
        );
        assert_eq!(status(&answer), "504", "{answer}");
    }
    let answer = ask(&mut stream, &get("/", "x"));
    assert_eq!(status(&answer), "200", "{answer}");
}

#[test]
fn a_server_that_is_not_the_service_gets_no_request() {
    let mut two = Two::new(Protocol::Http1, echo());
    assert_eq!(status(&ask(&mut connect(two.edge), &get("/", "x"))), "200");
    // The other system's authority has vouched for it, but as another service.
    let wrong = two.warehouse.authority.issue_to(&two.warehouse.uri("billing"));
    let mut files = two.serves.mesh.clone().expect("a mesh");
    wrong.write(two.warehouse.dir.path(), "wrong");
    let mesh = two.warehouse.dir.path();
    files.identities[0].files = CertificateFiles {
        cert: mesh.join("wrong.crt"),
        key: mesh.join("wrong.key"),
    };
    two.serves.mesh = Some(files);
    two.serves.generation += 1;
    assert_eq!(two.there.1.tell(&two.serves), FromProxy::Ack { generation: 2 });
    until(|| {
        let answer = ask(&mut connect(two.edge), &get("/", "x"));
        (status(&answer) != "200").then(|| {
            assert_eq!(status(&answer), "502", "{answer}");
            assert_eq!(
                field(&answer, "proxy-status").map(|status| status.contains("connection_refused")),
                Some(true),
                "{answer}"
            );
        })
    });
}

#[test]
fn new_certificates_are_used_under_load_and_nothing_fails() {
    let mut two = Two::new(Protocol::Http1, echo());
    let before = two.there.1.report(|report| !report.tls.is_empty()).tls[0].certificates[0].not_after;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let edge = two.edge;
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut served = 0_u32;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                // A connection of its own to the edge, and over the mesh whatever is kept.
                assert_eq!(status(&ask(&mut connect(edge), &get("/", "x"))), "200");
                served += 1;
            }
            served
        });
        let long = |params: &mut CertificateParams, uri: &str| {
            params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("IA5"))];
            params.not_after = rcgen::date_time_ymd(2199, 1, 1);
        };
        for (system, service) in [(&two.warehouse, "inventory"), (&two.shop, "orders")] {
            let pair = system
                .authority
                .issue_with(&[], |params| long(params, &system.uri(service)));
            pair.write(system.dir.path(), service);
        }
        for controller in [&mut two.there.1, &mut two.here.1] {
            controller.report(|report| {
                let tls = report.tls.first();
                tls.is_some_and(|tls| tls.certificates[0].not_after != before && tls.certificates[0].problem.is_none())
            });
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert!(load.join().expect("no panic") > 0);
    });
    assert_eq!(status(&ask(&mut connect(two.edge), &get("/", "x"))), "200");
    let pair = two.shop.authority.issue_to(&two.shop.uri("orders"));
    let stream = with(&two, Some(&pair))
        .connect(two.mesh, "inventory.warehouse")
        .expect("TLS");
    let written = std::fs::read_to_string(two.warehouse.dir.path().join("inventory.crt")).expect("there");
    let written = Pair {
        cert: written,
        key: String::new(),
    };
    assert_eq!(
        stream.conn.peer_certificates(),
        Some(&*written.chain()),
        "the new one is shown"
    );
}

#[test]
fn what_stands_in_for_a_service_is_asked_in_its_own_name_and_not_in_its_callers() {
    let mut two = Two::new(
        Protocol::Http1,
        instance(|_| "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".into()),
    );
    // A third system lets the warehouse's inventory in, and an `orders` of the warehouse, which is not who asks here.
    let third = System::new("third");
    let mut serves = snapshot(
        vec![],
        vec![
            visitor("inventory", "warehouse", "backup"),
            visitor("orders", "warehouse", "backup"),
        ],
        vec![cluster("backup", Protocol::Http1, &[echo()])],
    );
    serves.mesh = Some(third.mesh(&["backup"], &[&two.warehouse]));
    let mut mesh = None;
    let _third = serving_with(third.dir.path(), &serves, |sockets| mesh = Some(sockets.tcp(MESH)));

    let mut backup = cluster("backup", Protocol::Http1, &[mesh.expect("bound")]);
    backup.peer = Some("third".parse().expect("a name"));
    two.serves.clusters.push(backup);
    two.serves.edges[0].policy.fallback = Some(Fallback::Service {
        service: name("backup"),
    });
    two.serves.mesh = Some(two.warehouse.mesh(&["inventory", "orders"], &[&two.shop, &third]));
    two.serves.generation += 1;
    assert_eq!(two.there.1.tell(&two.serves), FromProxy::Ack { generation: 2 });
    let answer = ask(&mut connect(two.edge), &get("/", "x"));
    assert_eq!(status(&answer), "200", "{answer}");
    assert_eq!(field(&answer, "ondol-caller"), Some("inventory.warehouse"), "{answer}");
}

#[test]
fn a_peer_that_is_taken_out_is_refused_on_open_connections_too() {
    let mut two = Two::new(Protocol::Http1, echo());
    let pair = two.shop.authority.issue_to(&two.shop.uri("orders"));
    let mut kept = with(&two, Some(&pair))
        .connect(two.mesh, "inventory.warehouse")
        .expect("TLS");
    assert_eq!(status(&ask(&mut kept, &get("/", "x"))), "200");
    two.serves.edges = vec![visitor("orders", "elsewhere", "inventory")];
    two.serves.mesh.as_mut().expect("a mesh").peers.clear();
    two.serves.generation += 1;
    assert_eq!(two.there.1.tell(&two.serves), FromProxy::Ack { generation: 2 });
    assert_eq!(status(&ask(&mut kept, &get("/", "x"))), "403");
    assert_eq!(
        heard(&with(&two, Some(&pair)), two.mesh),
        "",
        "and no new ones are made"
    );
}

#[test]
fn without_a_way_there_nothing_is_sent_in_the_clear() {
    let far = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    far.set_nonblocking(true).expect("a socket");
    let mut cluster = cluster("inventory", Protocol::Http1, &[far.local_addr().expect("an address")]);
    cluster.peer = Some("warehouse".parse().expect("a name"));
    let snapshot = snapshot(vec![route("/", "inventory")], vec![], vec![cluster]);
    let dir = tempfile::tempdir().expect("a folder");
    let (running, _controller) = serving(dir.path(), &snapshot);
    let answer = ask(&mut running.client(), &get("/", "x"));
    assert_eq!(status(&answer), "503", "{answer}");
    assert!(far.accept().is_err(), "nobody came");
}

#[test]
fn a_websocket_goes_through_both_proxies() {
    let instance = raw(|mut stream| {
        let Some(head) = read_message(&mut stream) else { return };
        assert!(head.contains("dGhlIHNhbXBsZSBub25jZQ=="), "{head}");
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        stream.write_all(answer).expect("written");
        let mut bytes = [0; 5];
        while stream.read_exact(&mut bytes).is_ok() && stream.write_all(&bytes).is_ok() {}
    });
    let two = Two::new(Protocol::Http1, instance);
    let mut client = connect(two.edge);
    let request = "GET /live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let answer = ask(&mut client, request);
    assert_eq!(status(&answer), "101", "{answer}");
    for _ in 0..3 {
        client.write_all(b"hello").expect("written");
        let mut back = [0; 5];
        client.read_exact(&mut back).expect("an echo");
        assert_eq!(&back, b"hello");
    }
}

#[test]
fn a_peer_is_told_of_as_reached_or_not_by_the_calls_that_there_are() {
    let mut two = Two::new(Protocol::Http1, echo());
    assert_eq!(two.here.1.report(|_| true).peers, [], "nobody has called");
    assert_eq!(status(&ask(&mut connect(two.edge), &get("/", "there"))), "200");
    let report = two.here.1.report(|report| !report.peers.is_empty());
    assert!(report.peers[0].reached.is_some() && report.peers[0].failed.is_none());
    // Believed no more: what it shows is somebody else's.
    std::fs::write(two.warehouse.authorities(), &Authority::new().pem).expect("written");
    until(|| (status(&ask(&mut connect(two.edge), &get("/", "there"))) == "502").then_some(()));
    let report = two.here.1.report(|report| report.peers[0].is_failing());
    let (_, why) = report.peers[0].failed.as_ref().expect("failed");
    assert!(why.starts_with("could not connect: "), "{why}");
}
