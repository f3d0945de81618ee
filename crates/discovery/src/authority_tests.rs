//! The authority: what it issues, how it is made, how it is changed.

use super::*;
use rustls::pki_types::UnixTime;
use std::os::unix::fs::PermissionsExt;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

const NOW: Timestamp = Timestamp(1_763_856_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn shop() -> SystemName {
    "shop".parse().expect("a name")
}

/// Whether a certificate is good for both ends of a connection at that time, by webpki's word.
fn holds(authority: &str, cert: &str, at: Timestamp) -> bool {
    let (authority, cert) = (authority.as_bytes(), cert.as_bytes());
    let root = CertificateDer::from_pem_slice(authority).expect("PEM");
    let own = CertificateDer::from_pem_slice(cert).expect("PEM");
    let anchors = [anchor_from_trusted_cert(&root).expect("an authority")];
    let own = EndEntityCert::try_from(&own).expect("a certificate");
    let now = UnixTime::since_unix_epoch(Duration::from_millis(at.0 as u64));
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    [KeyUsage::server_auth(), KeyUsage::client_auth()]
        .into_iter()
        .all(|usage| {
            own.verify_for_usage(algorithms, &anchors, &[], now, usage, None, None)
                .is_ok()
        })
}

#[test]
fn what_it_issues_holds_by_its_certificate_and_for_its_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let authority = Authority::open(dir.path(), &shop(), NOW).expect("made");
    let issued = authority
        .issue(&"orders".parse().expect("a name"), NOW, HOUR)
        .expect("issued");
    assert_eq!(issued.not_after, NOW.plus(HOUR));
    for (at, good) in [
        (Timestamp(NOW.0 - 61_000), false),
        (Timestamp(NOW.0 - 59_000), true),
        (NOW, true),
        (NOW.plus(HOUR), true),
        (NOW.plus(HOUR + Duration::from_secs(1)), false),
    ] {
        assert_eq!(holds(authority.pem(), &issued.pem, at), good, "{at}");
    }
    let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).expect("PEM");
    let own = EndEntityCert::try_from(&der).expect("a certificate");
    assert_eq!(
        own.valid_uri_names().collect::<Vec<_>>(),
        ["spiffe://shop/service/orders"]
    );
}

#[test]
fn it_is_the_same_after_a_restart_and_its_key_is_nobody_elses() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = Authority::open(dir.path(), &shop(), NOW).expect("made");
    let again = Authority::open(dir.path(), &shop(), NOW.plus(HOUR)).expect("read");
    assert_eq!(first.pem(), again.pem());
    let issued = again
        .issue(&"orders".parse().expect("a name"), NOW, HOUR)
        .expect("issued");
    assert!(holds(first.pem(), &issued.pem, NOW));
    let key = dir.path().join("shop.authority.pem");
    assert_eq!(
        std::fs::metadata(&key).expect("there").permissions().mode() & 0o777,
        0o600
    );
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let other = Authority::open(dir.path(), &"other".parse().expect("a name"), NOW).expect("made");
    assert!(
        !holds(other.pem(), &issued.pem, NOW),
        "another system has another authority"
    );
}

#[test]
fn all_that_make_it_at_once_get_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    std::thread::scope(|scope| {
        let open = || {
            Authority::open(dir.path(), &shop(), NOW)
                .expect("made")
                .pem()
                .to_owned()
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let made: std::collections::BTreeSet<_> = all.into_iter().map(|one| one.join().expect("no panic")).collect();
        assert_eq!(made.len(), 1);
    });
    let files = std::fs::read_dir(dir.path()).expect("a folder").count();
    assert_eq!(files, 1, "no second copy of the key");
}

#[test]
fn a_broken_key_is_named_and_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = dir.path().join("shop.authority.pem");
    let whole = Authority::open(dir.path(), &shop(), NOW).map(|_| std::fs::read_to_string(&key).expect("there"));
    let whole = whole.unwrap_or_default();
    for broken in ["nonsense", whole.split(CERTIFICATE).next().expect("the key")] {
        std::fs::write(&key, broken).expect("written");
        let Err(error) = Authority::open(dir.path(), &shop(), NOW) else {
            panic!("it is no authority")
        };
        assert!(error.to_string().contains("shop.authority.pem"), "{error}");
        assert_eq!(std::fs::read_to_string(&key).expect("there"), broken);
    }
}

fn both(dir: &Path) -> (Authority, Authority) {
    let present = Authority::open(dir, &shop(), NOW).expect("made");
    let next = Authority::open_next(dir, &shop(), NOW.plus(HOUR)).expect("made");
    (present, next)
}

fn orders() -> ServiceName {
    "orders".parse().expect("a name")
}

#[test]
fn the_next_one_is_made_once_and_takes_the_place_of_the_present_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let (present, next) = both(dir.path());
    assert_ne!(present.pem(), next.pem());
    assert_eq!(both(dir.path()).1.pem(), next.pem(), "made once");
    let switched = Authority::switch(dir.path(), &shop(), NOW).expect("switched");
    assert_eq!(switched.pem(), next.pem());
    let read = Authority::open(dir.path(), &shop(), NOW).expect("read");
    assert_eq!(read.pem(), next.pem());
    let file = Authority::file(dir.path(), &shop());
    assert_eq!(
        std::fs::metadata(file).expect("there").permissions().mode() & 0o777,
        0o600
    );
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");

    let issued = read.issue(&orders(), NOW, HOUR).expect("issued");
    assert!(holds(next.pem(), &issued.pem, NOW) && !holds(present.pem(), &issued.pem, NOW));
}

#[test]
fn who_believes_both_believes_what_either_issues() {
    let dir = tempfile::tempdir().expect("a folder");
    let (present, next) = both(dir.path());
    let roots = [present.pem(), next.pem()].map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM"));
    let anchors = roots
        .each_ref()
        .map(|root| anchor_from_trusted_cert(root).expect("an authority"));
    for authority in [&present, &next] {
        let issued = authority.issue(&orders(), NOW, HOUR).expect("issued").pem;
        let own = CertificateDer::from_pem_slice(issued.as_bytes()).expect("PEM");
        let own = EndEntityCert::try_from(&own).expect("a certificate");
        let now = UnixTime::since_unix_epoch(Duration::from_millis(NOW.0 as u64));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        own.verify_for_usage(algorithms, &anchors, &[], now, KeyUsage::client_auth(), None, None)
            .expect("believed, though both have the same name");
    }
}

#[test]
fn without_a_next_one_or_with_a_broken_one_nothing_is_switched() {
    let dir = tempfile::tempdir().expect("a folder");
    let switch = |now| {
        Authority::switch(dir.path(), &shop(), now)
            .map(|new| new.pem)
            .map_err(|why| why.to_string())
    };
    assert!(switch(NOW).is_err_and(|why| why.contains("--next")));
    let (present, next) = both(dir.path());
    let file = Authority::next_file(dir.path(), &shop());
    let whole = std::fs::read_to_string(&file).expect("there");
    let (key, _) = whole.split_once(CERTIFICATE).expect("both");
    for broken in ["nonsense", key, &format!("{key}{}", present.pem())] {
        std::fs::write(&file, broken).expect("written");
        assert!(switch(NOW).is_err_and(|why| why.contains("authority.next.pem")));
        assert_eq!(
            Authority::open(dir.path(), &shop(), NOW).expect("read").pem(),
            present.pem()
        );
    }
    std::fs::write(&file, &whole).expect("written");
    assert!(switch(next.ends()).is_err_and(|why| why.contains("ended on")));
    assert_eq!(switch(NOW), Ok(next.pem().to_owned()));
    assert!(
        switch(NOW).is_err_and(|why| why.contains("--next")),
        "it is the present one now"
    );
}

#[test]
fn of_many_switches_at_once_one_is_it_and_there_is_always_one_that_works() {
    let dir = tempfile::tempdir().expect("a folder");
    let (present, next) = both(dir.path());
    let known = [present.pem(), next.pem()];
    std::thread::scope(|scope| {
        let switch = || Authority::switch(dir.path(), &shop(), NOW).is_ok();
        let open = || {
            Authority::open(dir.path(), &shop(), NOW)
                .expect("always")
                .pem()
                .to_owned()
        };
        let switches: Vec<_> = (0..4).map(|_| scope.spawn(switch)).collect();
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        let done = switches.into_iter().map(|one| one.join().expect("no panic"));
        assert!(done.filter(|done| *done).count() == 1);
        assert!(
            opened
                .into_iter()
                .all(|one| known.contains(&&*one.join().expect("no panic")))
        );
    });
    assert_eq!(
        Authority::open(dir.path(), &shop(), NOW).expect("read").pem(),
        next.pem()
    );
}

#[test]
fn what_a_switch_says_is_what_it_put_in_place_whoever_makes_another_meanwhile() {
    let dir = tempfile::tempdir().expect("a folder");
    both(dir.path());
    let step = || {
        let next = Authority::open_next(dir.path(), &shop(), NOW).expect("made");
        let switched = Authority::switch(dir.path(), &shop(), NOW).ok();
        (next.pem().to_owned(), switched.map(|new| new.pem().to_owned()))
    };
    let steps: Vec<_> = std::thread::scope(|scope| {
        let run = || (0..20).map(|_| step()).collect::<Vec<_>>();
        let all: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        all.into_iter().flat_map(|one| one.join().expect("no panic")).collect()
    });
    let switched: Vec<_> = steps.iter().filter_map(|(_, switched)| switched.as_ref()).collect();
    let distinct: std::collections::BTreeSet<_> = switched.iter().collect();
    assert_eq!(distinct.len(), switched.len(), "none was switched to twice");
    let present = Authority::open(dir.path(), &shop(), NOW).expect("read");
    assert!(switched.iter().any(|pem| *pem == present.pem()));
}

#[test]
fn no_certificate_outlives_its_authority() {
    let dir = tempfile::tempdir().expect("a folder");
    let authority = Authority::open(dir.path(), &shop(), NOW).expect("made");
    let ends = authority.ends();
    assert_eq!(ends, NOW.plus(HOLDS));
    let ago = |span: Duration| Timestamp(ends.0 - span.as_millis() as i64);
    let issued = authority.issue(&orders(), ago(HOUR / 2), HOUR).expect("issued");
    assert_eq!(issued.not_after, ends);
    assert!(holds(authority.pem(), &issued.pem, ends) && !holds(authority.pem(), &issued.pem, ends.plus(HOUR)));
    assert!(matches!(
        authority.issue(&orders(), ends, HOUR),
        Err(AuthorityError::Ended { .. })
    ));
    assert_eq!(authority.warning(ago(SOON + HOUR)), None);
    assert!(authority.warning(ago(SOON)).is_some_and(|said| said.contains("--next")));
}
