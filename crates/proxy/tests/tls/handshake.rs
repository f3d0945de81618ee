//! What client and gateway agree on: version, certificate, protocol, and a session that goes on.

use crate::common::*;
use crate::setup::*;
use ondol_core::wire::proxy::TlsVersion;
use rustls::{HandshakeKind, ProtocolVersion};

#[test]
fn both_versions_are_spoken_and_the_newer_one_alone_where_the_manifest_says_so() {
    let mut bed = Bed::new(&["shop.example"]);
    let gateway = bed.running.gateway;
    let only = |version| Client::with(&bed.authority, version, None);
    let (old, new) = (only(&[&rustls::version::TLS12]), only(&[&rustls::version::TLS13]));
    for (client, version, logged) in [
        (&old, ProtocolVersion::TLSv1_2, "TLSv1.2"),
        (&new, ProtocolVersion::TLSv1_3, "TLSv1.3"),
    ] {
        let mut stream = client.connect(gateway, "shop.example").expect("TLS");
        assert_eq!(stream.conn.protocol_version(), Some(version));
        let answer = ask(&mut stream, &get(&format!("/{logged}"), "shop.example"));
        assert_eq!(
            (status(&answer), field(&answer, "x-forwarded-proto")),
            ("200", Some("https"))
        );
        let line = bed.running.log.line(&format!("/{logged}"));
        assert_eq!(line["tls"].as_str(), Some(logged));
    }
    let files = bed.authority.issue(&["shop.example"]).write(bed.dir.path(), "other");
    let mut snapshot = secured(tls(vec![files]), instance(ok));
    snapshot.gateways[0].tls.as_mut().expect("TLS").min_version = TlsVersion::V13;
    snapshot.generation = 2;
    bed.controller.tell(&snapshot);
    assert!(old.connect(gateway, "shop.example").is_err());
    assert!(new.connect(gateway, "shop.example").is_ok());
    bed.counted("protocol", 1);
}

#[test]
fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let (dir, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let names: [&[&str]; 3] = [&["shop.example"], &["*.shop.example"], &["api.shop.example"]];
    let pairs: Vec<_> = names.iter().map(|names| authority.issue(names)).collect();
    let files = pairs.iter().enumerate();
    let files = files.map(|(index, pair)| pair.write(dir.path(), &index.to_string()));
    let (running, _controller) = serving(dir.path(), &secured(tls(files.collect()), instance(ok)));
    let client = Client::trusting(&authority);
    for (server, index) in [("shop.example", 0), ("www.shop.example", 1), ("api.shop.example", 2)] {
        let stream = client.connect(running.gateway, server).expect("TLS");
        assert_eq!(
            stream.conn.peer_certificates(),
            Some(&*pairs[index].chain()),
            "{server}"
        );
    }
    // Who asks for none of them is shown the first, and decides.
    let refused = client
        .connect(running.gateway, "other.example")
        .expect_err("another name");
    assert!(refused.to_string().contains("NotValidForName") || refused.to_string().contains("not valid for name"));
}

#[test]
fn the_protocol_is_what_was_agreed_or_else_what_the_client_begins_with() {
    let mut bed = Bed::new(&["shop.example"]);
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let client = bed.client().speaking(offered);
        let mut stream = client.connect(bed.running.gateway, "shop.example").expect("TLS");
        let got = stream
            .conn
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        assert_eq!(got.as_deref(), agreed);
        if agreed != Some("h2") {
            assert_eq!(
                status(&ask(&mut stream, &get("/", "shop.example"))),
                "200",
                "{offered:?}"
            );
        }
    }
    let refused = bed.client().speaking(&["spdy/3"]);
    let error = refused
        .connect(bed.running.gateway, "shop.example")
        .expect_err("no protocol");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    bed.counted("protocol", 1);
}

#[test]
fn a_session_goes_on_by_its_ticket_whichever_worker_takes_the_connection() {
    let mut bed = Bed::new(&["shop.example"]);
    let mut resumed = 0;
    for version in BOTH {
        let client = Client::with(&bed.authority, &[version], None);
        for turn in 0..12 {
            let mut stream = client.connect(bed.running.gateway, "shop.example").expect("TLS");
            let answer = ask(&mut stream, &get("/", "shop.example")); // Takes the new ticket, too.
            assert_eq!(status(&answer), "200");
            let expected = if turn == 0 {
                HandshakeKind::Full
            } else {
                HandshakeKind::Resumed
            };
            assert_eq!(kind(&stream), expected, "{version:?}, connection {turn}");
            resumed += u64::from(turn > 0);
        }
    }
    let report = bed.report(|tls| tls.handshakes.get("resumed") == Some(&resumed));
    assert_eq!(report.handshakes.get("full"), Some(&2));
}

#[test]
fn nothing_is_taken_before_the_handshake_ends() {
    let bed = Bed::new(&["shop.example"]);
    let client = bed.client().but(|config| config.enable_early_data = true);
    for _ in 0..2 {
        let mut stream = client.connect(bed.running.gateway, "shop.example").expect("TLS");
        assert_eq!(status(&ask(&mut stream, &get("/", "shop.example"))), "200");
        assert!(!stream.conn.is_early_data_accepted());
    }
}
