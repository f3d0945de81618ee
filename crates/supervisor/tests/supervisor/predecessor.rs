//! One supervisor per system; one that starts after a killed one clears what that left.

use crate::bed::{Bed, PROGRAM, alive, behaving, gone, job};
use ondol_core::wire::supervision_client::JobEvent;

#[test]
fn a_second_supervisor_refuses_and_names_the_first() {
    let bed = Bed::new(&[]);
    let second = bed.second();
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success());
    assert!(
        said.starts_with("SV-001") && said.contains(&format!("process {}", bed.pid())),
        "{said}"
    );
    bed.facts();
}

fn successor_clears(options: &[&str]) {
    let options: Vec<&str> = options.iter().copied().chain(["role=proxy:nap"]).collect();
    let mut bed = Bed::new(&options);
    bed.start(behaving("a.1", "fork", "^nap"));
    let mut left = bed.naps("a.1", 3);
    left.extend(bed.naps("proxy", 1));
    let before = bed.facts().boot;
    bed.kill();
    assert!(
        left.iter().copied().all(alive),
        "children outlive the supervisor until its successor comes"
    );
    bed.again(&options);
    assert!(!left.iter().copied().any(alive), "gone before the successor listens");
    let facts = bed.facts();
    assert!(facts.boot.system == before.system && facts.boot.boot != before.boot);
    assert_eq!(facts.instances, []);
}

#[test]
fn a_successor_ends_whole_trees_and_roles_before_it_listens() {
    successor_clears(&[]);
}

#[test]
fn a_successor_finds_them_by_their_environment_alone() {
    successor_clears(&["no-cgroups"]);
}

#[test]
fn a_successor_finds_programs_that_wrote_over_their_environment() {
    let mut bed = Bed::new(&["no-cgroups"]);
    bed.start(behaving("a.1", "veil", "^nap"));
    let left = bed.naps("a.1", 2);
    bed.kill();
    bed.again(&["no-cgroups"]);
    assert!(!left.into_iter().any(alive));
}

#[test]
fn a_successor_spares_processes_of_another_system() {
    let (other, mut bed) = (Bed::new(&[]), Bed::new(&[]));
    other.start(behaving("a.1", "nap", "^nap"));
    let pid = other.ready("a.1").pid.expect("pid");
    bed.kill();
    bed.again(&[]);
    assert!(alive(pid));
}

#[test]
fn a_job_ends_with_a_killed_supervisor() {
    let mut bed = Bed::new(&[]);
    let mut events = bed.client.job(job("build/a", &[PROGRAM, "nap"])).expect("job");
    let Some(Ok(JobEvent::Line(line))) = events.next() else {
        panic!("a line")
    };
    let pid = line.text.strip_prefix("nap ").expect("pid").parse().expect("pid");
    bed.kill();
    gone(pid);
    bed.again(&[]);
}

#[test]
fn names_keep_their_ports_over_lives_of_the_supervisor() {
    let mut bed = Bed::new(&[]);
    let port = bed.port("a.1");
    bed.kill();
    bed.again(&[]);
    assert_eq!(bed.port("a.1"), port);
}
