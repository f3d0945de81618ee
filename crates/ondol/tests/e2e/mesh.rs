//! Two systems that call each other over mutual TLS, with the certificates that Ondol makes and renews.

use crate::http::{self, Message};
use crate::load::without_a_failed_request;
use crate::system::{System, free_port, until};
use ondol_core::clock::{Clock, SystemClock};
use serde_json::Value;

/// Lets a system know another one. Both sides' authorities are exchanged before either runs.
fn introduce(system: &System, name: &str, mesh: &str) {
    let text = std::fs::read_to_string(system.folder.join("ondol.yaml")).expect("there");
    let text = text.replace("system: tested", &format!("system: {name}"));
    system.write("ondol.yaml", &format!("{text}{mesh}"));
}

/// `shop`, whose `hello` calls `far` of `depot`.
struct Two {
    shop: System,
    depot: System,
}

impl Two {
    fn new(lifetime: &str) -> Self {
        let shop = System::new("", &[("hello", "depends_on: { far: required }")]);
        let depot = System::new("", &[("far", "callers: { shop: [hello] }"), ("other", "")]);
        let port = free_port();
        introduce(
            &shop,
            "shop",
            &format!(
                "mesh:\n  certificate_lifetime: {lifetime}\n  peers:\n    depot: {{ authorities: peers/depot.pem, addresses: \
                 [127.0.0.1:{port}], services: {{ far: {{}}, other: {{}} }} }}\n"
            ),
        );
        introduce(
            &depot,
            "depot",
            &format!(
                "mesh:\n  bind: 127.0.0.1:{port}\n  certificate_lifetime: {lifetime}\n  peers:\n    shop: {{ authorities: peers/shop.pem }}\n"
            ),
        );
        for (from, name, to) in [(&shop, "shop", &depot), (&depot, "depot", &shop)] {
            let authority = from.ondol(&["mesh", "authority"]).good();
            assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"), "{authority}");
            to.write(&format!("peers/{name}.pem"), &authority);
        }
        let (shop, depot) = (shop.up(), depot.up());
        Self { shop, depot }
    }

    /// Where `hello` reaches `far`.
    fn edge(&self) -> String {
        let url = self.shop.variable("hello.1", "FAR_URL");
        url.strip_prefix("http://").expect("a URL").to_owned()
    }

    fn call(&self, path: &str) -> Message {
        let fields = [("ondol-subject", "root"), ("ondol-caller", "ondol")];
        http::ask(&self.edge(), "GET", path, &fields, b"").expect("an answer")
    }
}

/// When the certificate of a service ends, or the last of a peer's authorities, by the figures of the system's proxy.
fn end(system: &System, name: &str) -> Option<f64> {
    let page = system.admin("GET", "/metrics", "").text();
    let line = page.lines().find(|line| {
        line.starts_with("ondol_tls_certificate_end_timestamp_seconds") && line.contains(&format!("/{name}.pem"))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_service_calls_one_of_another_system_and_each_side_knows_the_other() {
    let two = Two::new("24h");
    let answer = two.call("/echo");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen: Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!(seen["instance"], "far.1");
    assert_eq!(seen["fields"]["ondol-caller"], "hello.shop");
    assert_eq!(seen["fields"]["ondol-client-identity"], "spiffe://shop/service/hello");
    assert_eq!(
        seen["fields"]["ondol-subject"],
        Value::Null,
        "no other system's word on users"
    );

    let mesh = two.depot.json(&["status"])["mesh"].clone();
    assert!(
        mesh.as_str().is_some_and(|mesh| mesh.starts_with("127.0.0.1:")),
        "{mesh}"
    );
    until("the call is counted by who called", || {
        let page = two.depot.admin("GET", "/metrics", "").text();
        page.lines()
            .any(|line| line.contains("caller=\"hello\",target=\"far\",peer=\"shop\",class=\"2xx\""))
            .then_some(())
    });

    until("the peer is told of as reached", || {
        two.shop.json(&["status"])["peers"][0]["reached"].as_i64()
    });
    let said = two.shop.ondol(&["status"]).good();
    assert!(said.contains("peer depot") && said.contains("reached"), "{said}");

    // The owners of the service take it back.
    let run = std::fs::read_to_string(two.depot.folder.join("services/far/service.yaml")).expect("there");
    two.depot.write(
        "services/far/service.yaml",
        &run.replace("callers: { shop: [hello] }", "callers: { shop: [somebody] }"),
    );
    two.depot.ondol(&["apply"]).good();
    until("the call is refused", || {
        let answer = two.call("/echo");
        (answer.status() == 403).then(|| assert!(answer.text().contains("GW-079"), "{}", answer.text()))
    });
}

#[test]
fn certificates_are_renewed_under_load_and_no_call_fails() {
    let two = Two::new("10s");
    let first = until("certificates are told of", || {
        end(&two.shop, "hello").zip(end(&two.depot, "far"))
    });
    without_a_failed_request(&two.edge(), "/work", |_| {
        // By then the first ones have ended.
        until("both have new ones twice", || {
            let (here, there) = end(&two.shop, "hello").zip(end(&two.depot, "far"))?;
            (here > first.0 + 10.0 && there > first.1 + 10.0).then_some(())
        });
    });
    assert_eq!(two.call("/echo").status(), 200, "on a new connection too");
}

#[test]
fn both_authorities_are_changed_under_load_and_no_call_fails() {
    let two = Two::new("24h");
    let sides = [(&two.shop, "shop", &two.depot), (&two.depot, "depot", &two.shop)];
    // Ends are told in whole seconds, and tell the new ones from the old.
    let second = || SystemClock.wall().0 / 1_000;
    let begun = second();
    until("another second has begun", || (second() > begun).then_some(()));
    without_a_failed_request(&two.edge(), "/work", |seen| {
        for (system, name, peer) in sides {
            let known = until("the peer's authority is known", || end(peer, &format!("peers/{name}")));
            let present = system.ondol(&["mesh", "authority"]).good();
            let both = system.ondol(&["mesh", "authority", "--next"]).good();
            assert_eq!(system.ondol(&["mesh", "authority", "--next"]).good(), both, "made once");
            assert!(both.starts_with(&present) && both.len() > present.len(), "{both}");
            peer.write(&format!("peers/{name}.pem"), &both);
            until("the peer believes both", || {
                (end(peer, &format!("peers/{name}"))? > known).then_some(())
            });
        }
        for (system, name, peer) in sides {
            let service = if name == "shop" { "hello" } else { "far" };
            let own = std::fs::read_to_string(system.folder.join(format!(".ondol/mesh/{service}.pem")));
            let before = end(system, service).expect("told");
            let new = system.ondol(&["mesh", "authority", "--switch"]).good();
            assert_eq!(system.ondol(&["mesh", "authority"]).good(), new);
            until("the proxy shows a certificate of the new one", || {
                (end(system, service)? > before).then_some(())
            });
            let now = std::fs::read_to_string(system.folder.join(format!(".ondol/mesh/{service}.pem")));
            assert_ne!(own.expect("there"), now.expect("there"));
            seen.wait_for(50);
            // The old one is believed no more.
            peer.write(&format!("peers/{name}.pem"), &new);
        }
        seen.wait_for(200);
    });
    assert_eq!(two.call("/echo").status(), 200, "on a new connection too");
    let refused = two.shop.ondol(&["mesh", "authority", "--switch"]);
    assert!(
        refused.code != Some(0) && refused.err.contains("there is no next authority"),
        "{refused:?}"
    );
}

#[test]
fn the_certificate_of_a_service_that_is_gone_is_removed() {
    let two = Two::new("24h");
    let file = |name: &str| two.depot.folder.join(format!(".ondol/mesh/{name}.pem"));
    until("it has one", || file("other").exists().then_some(()));
    std::fs::remove_dir_all(two.depot.folder.join("services/other")).expect("removed");
    two.depot.ondol(&["apply"]).good();
    until("its certificate is gone", || (!file("other").exists()).then_some(()));
    assert!(file("far").exists());
    assert_eq!(two.call("/echo").status(), 200);
}

#[test]
fn a_peer_whose_authority_is_another_is_refused_and_told_of() {
    let two = Two::new("24h");
    let stranger = System::new("", &[]);
    introduce(&stranger, "depot", "");
    let other = stranger.ondol(&["mesh", "authority"]).good();
    two.shop.write("peers/depot.pem", &other);
    until("the depot's certificate is not believed", || {
        (two.call("/echo").status() == 502).then_some(())
    });
    two.shop.write("peers/depot.pem", "nonsense");
    until("the file is told of", || {
        let warnings = two.shop.json(&["status"])["warnings"].to_string();
        warnings.contains("peers/depot.pem").then_some(())
    });
    let right = two.depot.ondol(&["mesh", "authority"]).good();
    two.shop.write("peers/depot.pem", &right);
    until("and again it is", || (two.call("/echo").status() == 200).then_some(()));
}
