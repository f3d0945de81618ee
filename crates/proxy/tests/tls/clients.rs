//! Clients that show a certificate of their own.

use crate::common::*;
use crate::setup::*;
use ondol_core::wire::proxy::{FromProxy, Gateway};
use ondol_core::wire::supervision::SocketName;
use rustls::HandshakeKind;
use std::io::{Read, Write};
use std::net::SocketAddr;

const TILL: &str = "spiffe://shop.example/till/7";

/// Whether a connection can be made and a request is answered: over TLS 1.3 a client learns only then that its certificate
/// was refused.
fn asks(client: &Client, gateway: SocketAddr) -> Option<String> {
    let mut stream = client.connect(gateway, "shop.example").ok()?;
    let request = "GET / HTTP/1.1\r\nHost: shop.example\r\nOndol-Client-Identity: root\r\n\r\n";
    stream.write_all(request.as_bytes()).ok()?;
    read_message(&mut stream)
}

struct Asking {
    bed: Bed,
    clients: Authority,
}

fn asking_bed(require: bool) -> Asking {
    let (mut bed, clients) = (Bed::new(&["shop.example"]), Authority::new());
    let files = bed.authority.issue(&["shop.example"]).write(bed.dir.path(), "asking");
    let ca = bed.dir.path().join("clients.pem");
    std::fs::write(&ca, &clients.pem).expect("written");
    let mut snapshot = secured(asking(vec![files], ca, require), instance(ok));
    snapshot.generation = 2;
    assert_eq!(bed.controller.tell(&snapshot), FromProxy::Ack { generation: 2 });
    Asking { bed, clients }
}

#[test]
fn a_required_certificate_lets_in_who_has_a_good_one_and_tells_the_service_who_it_is() {
    let Asking { mut bed, clients } = asking_bed(true);
    let gateway = bed.running.gateway;
    let mut refused = 0;
    for version in BOTH {
        let client = |own: Option<&Pair>| Client::with(&bed.authority, &[version], own);
        let good = clients.issue_to(TILL);
        let seen = asks(&client(Some(&good)), gateway).expect("let in");
        assert_eq!(field(&seen, "ondol-client-identity"), Some(TILL));
        let named = clients.issue(&["till.shop.example"]);
        let seen = asks(&client(Some(&named)), gateway).expect("let in");
        assert_eq!(field(&seen, "ondol-client-identity"), Some("till.shop.example"));
        let over = clients.issue_with(&["till"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
        for own in [None, Some(&Authority::new().issue_to(TILL)), Some(&over)] {
            assert!(asks(&client(own), gateway).is_none());
            refused += 1;
        }
    }
    bed.counted("client_certificate", refused);
}

#[test]
fn a_certificate_that_is_only_asked_for_may_lack_but_not_be_wrong() {
    let Asking { mut bed, clients } = asking_bed(false);
    let client = |own: Option<&Pair>| Client::with(&bed.authority, BOTH, own);
    let gateway = bed.running.gateway;
    let seen = asks(&client(None), gateway).expect("let in");
    assert_eq!(
        field(&seen, "ondol-client-identity"),
        None,
        "what a client says of itself is not believed"
    );
    let seen = asks(&client(Some(&clients.issue_to(TILL))), gateway).expect("let in");
    assert_eq!(field(&seen, "ondol-client-identity"), Some(TILL));
    let stranger = client(Some(&Authority::new().issue_to(TILL)));
    assert!(asks(&stranger, gateway).is_none());
    bed.counted("client_certificate", 1);
}

#[test]
fn a_resumed_session_keeps_its_client_and_is_no_way_around_another_listeners_question() {
    let (dir, server, clients) = (
        tempfile::tempdir().expect("a folder"),
        Authority::new(),
        Authority::new(),
    );
    let files = server.issue(&["shop.example"]).write(dir.path(), "server");
    let ca = dir.path().join("clients.pem");
    std::fs::write(&ca, &clients.pem).expect("written");
    let mut snapshot = secured(asking(vec![files.clone()], ca, true), instance(ok));
    snapshot.gateways.push(Gateway {
        name: "open".into(),
        socket: SocketName("gateway/open".into()),
        tls: Some(tls(vec![files])),
    });
    let mut open = None;
    let (running, _controller) = serving_with(dir.path(), &snapshot, |sockets| {
        open = Some(sockets.tcp("gateway/open"))
    });
    let open = open.expect("bound");
    for version in BOTH {
        let till = Client::with(&server, &[version], Some(&clients.issue_to(TILL)));
        for turn in 0..3 {
            let mut stream = till.connect(running.gateway, "shop.example").expect("TLS");
            let seen = ask(&mut stream, &get("/", "shop.example"));
            assert_eq!(field(&seen, "ondol-client-identity"), Some(TILL));
            assert_eq!(kind(&stream) == HandshakeKind::Resumed, turn > 0);
        }
        let nobody = Client::with(&server, &[version], None);
        assert!(asks(&nobody, open).is_some());
        // It has a ticket now, of the same server name and the same certificate.
        let way_round = nobody.connect(running.gateway, "shop.example").and_then(|mut stream| {
            stream.write_all(get("/", "shop.example").as_bytes())?;
            stream.read(&mut [0; 1])
        });
        assert!(!matches!(way_round, Ok(1..)), "{version:?}: {way_round:?}");
    }
}
