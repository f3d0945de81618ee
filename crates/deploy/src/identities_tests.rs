//! When certificates for other systems are made, and when their files go.

use super::*;
use crate::fixtures;

const NOW: Timestamp = Timestamp(1_763_856_000_000);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn plan(root: &Path) -> SystemPlan {
    let mut plan = fixtures::system(vec![fixtures::service("orders")]);
    plan.root = root.into();
    plan.mesh = Some(MeshPlan {
        domain: "shop".parse().expect("a name"),
        zone: None,
        bind: None,
        certificate_lifetime_ms: DAY.as_millis() as u64,
        peers: vec![],
    });
    plan
}

fn read(root: &Path, name: &str) -> String {
    std::fs::read_to_string(folder(root).join(name)).expect("there")
}

#[test]
fn they_are_made_at_once_and_anew_at_half_of_their_life() {
    let dir = tempfile::tempdir().expect("a folder");
    let (plan, mut identities) = (plan(dir.path()), Identities::default());
    identities.turn(&plan, NOW);
    let first = ["orders.pem", "gateway.pem", "ondol.pem"].map(|name| read(dir.path(), name));
    identities.turn(&plan, NOW.plus(DAY / 2 - Duration::from_millis(1)));
    assert_eq!(read(dir.path(), "orders.pem"), first[0]);
    identities.turn(&plan, NOW.plus(DAY / 2));
    let second = read(dir.path(), "orders.pem");
    assert_ne!(second, first[0]);
    identities.turn(&plan, NOW);
    assert_ne!(read(dir.path(), "orders.pem"), second, "the clock was set back");
    assert_eq!(identities.problem, None);
}

#[test]
fn one_that_was_deleted_is_made_anew_and_a_system_that_stands_alone_has_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut plan, mut identities) = (plan(dir.path()), Identities::default());
    identities.turn(&plan, NOW);
    std::fs::remove_file(folder(dir.path()).join("orders.pem")).expect("removed");
    identities.turn(&plan, NOW);
    assert!(!read(dir.path(), "orders.pem").is_empty());

    let alone = tempfile::tempdir().expect("a folder");
    (plan.mesh, plan.root) = (None, alone.path().into());
    identities.turn(&plan, NOW);
    assert!(!folder(alone.path()).exists());
}

#[test]
fn another_authority_is_taken_up_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (plan, mut identities) = (plan(dir.path()), Identities::default());
    identities.turn(&plan, NOW);
    let (first, authority) = (read(dir.path(), "orders.pem"), read(dir.path(), "shop.authority.pem"));
    identities.turn(&plan, NOW);
    assert_eq!(read(dir.path(), "orders.pem"), first);
    std::fs::remove_file(folder(dir.path()).join("shop.authority.pem")).expect("removed");
    identities.turn(&plan, NOW);
    assert_ne!(read(dir.path(), "shop.authority.pem"), authority);
    assert_ne!(read(dir.path(), "orders.pem"), first);
}

#[test]
fn many_are_made_anew_a_few_at_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut plan = plan(dir.path());
    plan.services = (0..40).map(|number| fixtures::service(&format!("s{number}"))).collect();
    let mut all = Identities::default();
    all.turn(&plan, NOW);
    let files = || -> Vec<_> {
        identities(&plan)
            .map(|one| std::fs::read_to_string(one.files.cert).expect("there"))
            .collect()
    };
    let (mut before, mut turns) = (files(), 0);
    let first = before.clone();
    while before.iter().zip(&first).any(|(now, then)| now == then) {
        all.turn(&plan, NOW.plus(DAY / 2));
        let now = files();
        let changed = now.iter().zip(&before).filter(|(now, then)| now != then).count();
        assert!((1..=A_TURN).contains(&changed), "{changed}");
        (before, turns) = (now, turns + 1);
    }
    assert_eq!(turns, 42_usize.div_ceil(A_TURN));
}

#[test]
fn what_cannot_be_made_is_told_and_tried_again() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join(".ondol"), "in the way").expect("written");
    let (plan, mut identities) = (plan(dir.path()), Identities::default());
    identities.turn(&plan, NOW);
    assert!(
        identities
            .problem
            .as_ref()
            .is_some_and(|why| why.contains(".ondol/mesh"))
    );
    std::fs::remove_file(dir.path().join(".ondol")).expect("removed");
    identities.turn(&plan, NOW.plus(RETRY / 2));
    assert!(identities.problem.is_some(), "not at once");
    identities.turn(&plan, NOW.plus(RETRY));
    assert_eq!(identities.problem, None);
}

/// A snapshot that names these.
fn served(plan: &SystemPlan, generation: u64) -> Snapshot {
    let mut registry = ondol_discovery::Registry::new(
        ondol_core::id::BootId {
            system: "s".into(),
            boot: "b".into(),
        },
        NOW,
    );
    registry.declare(crate::traffic::declared(plan));
    let snapshot = registry.changed().expect("the first");
    Snapshot { generation, ..snapshot }
}

#[test]
fn the_next_authority_that_is_switched_to_issues_everything_anew_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let (plan, mut identities) = (plan(dir.path()), Identities::default());
    identities.turn(&plan, NOW);
    let names = ["orders.pem", "gateway.pem", "ondol.pem"];
    let first = names.map(|name| read(dir.path(), name));
    let (folder, domain) = (folder(dir.path()), "shop".parse().expect("a name"));
    Authority::open_next(&folder, &domain, NOW).expect("made");
    identities.turn(&plan, NOW);
    assert_eq!(names.map(|name| read(dir.path(), name)), first, "it issues nothing yet");
    Authority::switch(&folder, &domain, NOW).expect("switched");
    identities.turn(&plan, NOW);
    let second = names.map(|name| read(dir.path(), name));
    assert!(first.iter().zip(&second).all(|(old, new)| old != new));
    identities.turn(&plan, NOW);
    assert_eq!(names.map(|name| read(dir.path(), name)), second);
    assert_eq!(identities.warnings().next(), None);
}

#[test]
fn the_end_of_the_authority_is_told_half_a_year_before_and_nothing_outlives_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (plan, mut identities) = (plan(dir.path()), Identities::default());
    let ends = Authority::open(
        &made_folder(dir.path()).expect("made"),
        &"shop".parse().expect("a name"),
        NOW,
    )
    .expect("made")
    .ends();
    let before = |span: Duration| Timestamp(ends.0 - span.as_millis() as i64);
    identities.turn(&plan, before(181 * DAY));
    assert_eq!(identities.warnings().next(), None);
    identities.turn(&plan, before(179 * DAY));
    assert!(
        identities
            .warnings()
            .next()
            .is_some_and(|said| said.contains("ends on"))
    );

    identities.turn(&plan, before(DAY / 2));
    let last = read(dir.path(), "orders.pem");
    identities.turn(&plan, before(DAY / 10));
    assert_eq!(read(dir.path(), "orders.pem"), last, "another one would end no later");
    let mut restarted = Identities::default();
    restarted.turn(&plan, ends);
    assert!(restarted.warnings().any(|said| said.contains("ended on")));
    assert_eq!(read(dir.path(), "orders.pem"), last);
}

#[test]
fn files_of_services_that_are_gone_are_removed_when_no_snapshot_names_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let (mut plan, mut identities) = (plan(dir.path()), Identities::default());
    plan.services.push(fixtures::service("billing"));
    identities.turn(&plan, NOW);
    Authority::open_next(&folder(dir.path()), &"shop".parse().expect("a name"), NOW).expect("made");
    std::fs::write(folder(dir.path()).join("notes.txt"), "mine").expect("written");
    let names = || -> BTreeSet<String> {
        let files = std::fs::read_dir(folder(dir.path())).expect("a folder");
        files
            .map(|file| file.expect("a file").file_name().into_string().expect("text"))
            .collect()
    };
    let all = names();
    let old = served(&plan, 1);
    plan.services.pop();
    identities.turn(&plan, NOW);
    identities.sweep(&plan, &old);
    assert_eq!(names(), all, "the proxies still serve by a snapshot that names it");
    identities.sweep(&plan, &served(&plan, 2));
    let mut left = all.clone();
    assert!(left.remove("billing.pem"));
    assert_eq!(names(), left, "authorities and what is not ours stay");

    plan.services.push(fixtures::service("billing"));
    identities.turn(&plan, NOW);
    identities.sweep(&plan, &served(&plan, 2));
    assert_eq!(names(), all, "one that comes again has one again");

    plan.mesh = None;
    identities.turn(&plan, NOW);
    identities.sweep(&plan, &served(&plan, 3));
    let authorities: BTreeSet<_> = names().into_iter().filter(|name| name.ends_with(".pem")).collect();
    assert!(authorities.iter().all(|name| name.contains(".authority.")) && authorities.len() == 2);
}
