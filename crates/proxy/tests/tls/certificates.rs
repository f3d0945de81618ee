//! Files that change under a running gateway.

use crate::common::*;
use crate::setup::*;
use rustls::HandshakeKind;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex, mpsc};

/// Connects until it is shown this certificate.
fn shown(bed: &Bed, pair: &Pair) -> Stream {
    until(|| {
        let stream = bed.client().connect(bed.running.gateway, "shop.example").ok()?;
        (stream.conn.peer_certificates() == Some(&*pair.chain())).then_some(stream)
    })
}

#[test]
fn a_new_certificate_is_served_and_a_request_under_way_ends_on_its_connection() {
    let ((asked, was_asked), (go, may_go)) = (mpsc::channel(), mpsc::channel::<()>());
    let may_go = Mutex::new(may_go);
    let asked = Mutex::new(asked);
    let slow = instance(move |request| {
        if request.starts_with("GET /slow ") {
            let _ = asked.lock().expect("lock").send(());
            let _ = may_go.lock().expect("lock").recv();
        }
        ok("done")
    });
    let bed = Bed::to(&["shop.example"], slow);
    let client = bed.client();
    let mut stream = client.connect(bed.running.gateway, "shop.example").expect("TLS");
    stream
        .write_all(get("/slow", "shop.example").as_bytes())
        .expect("written");
    was_asked.recv().expect("asked");
    let new = bed.authority.issue(&["shop.example", "new.shop.example"]);
    new.write(bed.dir.path(), "server");
    let mut later = shown(&bed, &new);
    assert_eq!(status(&ask(&mut later, &get("/", "shop.example"))), "200");
    go.send(()).expect("waiting");
    assert!(read_message(&mut stream).expect("an answer").ends_with("done"));
    assert!(
        ask(&mut stream, &get("/", "shop.example")).ends_with("done"),
        "the connection goes on"
    );
    let again = client.connect(bed.running.gateway, "shop.example").expect("TLS");
    assert_eq!(
        kind(&again),
        HandshakeKind::Resumed,
        "tickets outlive a new certificate"
    );
}

#[test]
fn a_pair_that_does_not_belong_together_changes_nothing_until_it_does() {
    let mut bed = Bed::new(&["shop.example"]);
    let good = bed.report(|tls| tls.certificates[0].not_after.is_some());
    assert_eq!(good.certificates[0].problem, None);
    let new = bed.authority.issue(&["shop.example"]);
    // The first half of a change: the key follows below.
    std::fs::write(bed.dir.path().join("server.crt"), &new.cert).expect("written");
    let report = bed.report(|tls| tls.certificates[0].problem.is_some());
    let problem = report.certificates[0].problem.as_deref().expect("a problem");
    assert!(problem.contains("is not the key of"), "{problem}");
    assert_eq!(
        report.certificates[0].not_after, good.certificates[0].not_after,
        "what is served"
    );
    assert_eq!(
        status(&ask(&mut bed.connect("shop.example"), &get("/", "shop.example"))),
        "200"
    );
    std::fs::write(bed.dir.path().join("server.key"), &new.key).expect("written");
    shown(&bed, &new);
    bed.report(|tls| tls.certificates[0].problem.is_none());
    std::fs::remove_file(bed.dir.path().join("server.key")).expect("removed");
    let report = bed.report(|tls| tls.certificates[0].problem.is_some());
    assert!(
        report.certificates[0]
            .problem
            .as_deref()
            .expect("a problem")
            .contains("cannot be read")
    );
    shown(&bed, &new);
}

#[test]
fn a_folder_behind_a_link_may_be_swapped_as_kubernetes_does() {
    let (dir, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let (old, new) = (authority.issue(&["shop.example"]), authority.issue(&["shop.example"]));
    for (name, pair) in [("1", &old), ("2", &new)] {
        std::fs::create_dir(dir.path().join(name)).expect("a folder");
        pair.write(&dir.path().join(name), "tls");
    }
    symlink("1", dir.path().join("data")).expect("a link");
    let files = ondol_core::wire::proxy::CertificateFiles {
        cert: dir.path().join("data/tls.crt"),
        key: dir.path().join("data/tls.key"),
    };
    let (running, controller) = serving(dir.path(), &secured(tls(vec![files]), instance(ok)));
    let bed = Bed {
        dir,
        authority,
        running,
        controller,
    };
    shown(&bed, &old);
    symlink("2", bed.dir.path().join("next")).expect("a link");
    std::fs::rename(bed.dir.path().join("next"), bed.dir.path().join("data")).expect("renamed");
    shown(&bed, &new);
}

#[test]
fn a_listener_without_a_good_certificate_lets_nobody_in_until_there_is_one_and_others_serve() {
    let (dir, authority) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let pair = authority.issue(&["shop.example"]);
    let files = pair.write(dir.path(), "server");
    std::fs::remove_file(&files.key).expect("removed");
    let mut snapshot = secured(tls(vec![files.clone()]), instance(ok));
    snapshot.gateways.push(ondol_core::wire::proxy::Gateway {
        name: "plain".into(),
        socket: ondol_core::wire::supervision::SocketName("gateway/plain".into()),
        tls: None,
    });
    let mut plain = None;
    let (running, controller) = serving_with(dir.path(), &snapshot, |sockets| {
        plain = Some(sockets.tcp("gateway/plain"));
    });
    let answer = ask(&mut connect(plain.expect("bound")), &get("/", "shop.example"));
    assert_eq!(
        (status(&answer), field(&answer, "x-forwarded-proto")),
        ("200", Some("http"))
    );
    let mut bed = Bed {
        dir,
        authority,
        running,
        controller,
    };
    assert!(bed.client().connect(bed.running.gateway, "shop.example").is_err());
    bed.counted("no_certificate", 1);
    std::fs::write(&files.key, &pair.key).expect("written");
    shown(&bed, &pair);
}

#[test]
fn new_authorities_end_the_sessions_of_the_old_ones() {
    let (dir, server) = (tempfile::tempdir().expect("a folder"), Authority::new());
    let (old, new) = (Authority::new(), Authority::new());
    let files = server.issue(&["shop.example"]).write(dir.path(), "server");
    let ca = dir.path().join("clients.pem");
    std::fs::write(&ca, &old.pem).expect("written");
    let (running, _controller) = serving(
        dir.path(),
        &secured(asking(vec![files], ca.clone(), true), instance(ok)),
    );
    let asks = |client: &Client| {
        let mut stream = client.connect(running.gateway, "shop.example").ok()?;
        stream.write_all(get("/", "shop.example").as_bytes()).ok()?;
        read_message(&mut stream)
    };
    let former = Client::with(&server, BOTH, Some(&old.issue(&["till"])));
    assert!(asks(&former).is_some() && asks(&former).is_some());
    std::fs::write(&ca, &new.pem).expect("written");
    let later = Client::with(&server, BOTH, Some(&new.issue(&["till"])));
    until(|| asks(&later));
    assert!(asks(&former).is_none(), "its ticket is worth nothing any more");
}

#[test]
fn an_unused_key_stays_out_of_everything_that_is_told() {
    let mut bed = Bed::new(&["shop.example"]);
    std::fs::write(bed.dir.path().join("server.crt"), "not a certificate").expect("written");
    let report = bed.report(|tls| tls.certificates[0].problem.is_some());
    let key = std::fs::read_to_string(bed.dir.path().join("server.key")).expect("the key");
    let secret = key.lines().nth(1).expect("a line of it");
    let kept = std::fs::read_to_string(bed.dir.path().join("snapshot.json")).expect("the snapshot");
    let told = format!("{report:?}{kept}");
    assert!(kept.contains("server.key") && !told.contains(secret));
    let shared = Arc::new(told);
    assert!(!shared.contains("PRIVATE KEY"));
}
