//! Whole trees are started, told to end and killed.

use crate::bed::{Bed, alive, behaving, gone, instance, job, kill, shell, spec, wait};
use ondol_core::wire::supervision::{Containment, Exit, InstanceSpec, Phase, SocketMode};
use ondol_core::wire::supervision_client::ClientError;

fn code(error: ClientError) -> String {
    error.code().to_string()
}

/// Stops an instance with a child that left its session and one whose parent ended.
fn stop_ends_the_tree(options: &[&str], level: Option<Containment>) {
    let bed = Bed::new(options);
    bed.start(behaving("a.1", "fork", "^nap"));
    let pids = bed.naps("a.1", 3);
    if let Some(level) = level {
        assert_eq!(bed.fact("a.1").expect("fact").containment, level);
    }
    bed.client.stop(&instance("a.1")).expect("stop");
    assert!(!pids.into_iter().any(alive), "gone when stop is done");
    assert_eq!(bed.fact("a.1").expect("fact").phase, Phase::Stopped);
}

#[test]
fn stop_ends_children_that_left_the_session_or_lost_their_parent() {
    stop_ends_the_tree(&[], None);
}

#[test]
fn stop_ends_them_too_where_no_cgroup_may_be_written() {
    stop_ends_the_tree(&["no-cgroups"], Some(Containment::Subreaper));
}

fn death_of_the_leader_ends_the_tree(options: &[&str]) {
    let bed = Bed::new(options);
    bed.start(behaving("a.1", "fork", "^nap"));
    let pids = bed.naps("a.1", 3);
    let leader = bed.ready("a.1").pid.expect("pid");
    kill(leader);
    pids.into_iter().for_each(gone);
    bed.until("a.1", "started again", |fact| {
        fact.restarts == 1 && fact.phase == Phase::Ready
    });
}

#[test]
fn when_the_leader_dies_the_rest_is_ended_before_it_starts_again() {
    death_of_the_leader_ends_the_tree(&[]);
}

#[test]
fn when_the_leader_dies_without_a_cgroup_the_rest_is_ended_too() {
    death_of_the_leader_ends_the_tree(&["no-cgroups"]);
}

#[test]
fn one_instance_is_ended_without_harm_to_another() {
    let bed = Bed::new(&["no-cgroups"]);
    bed.start(behaving("a.1", "fork", "^nap"));
    bed.start(behaving("b.1", "fork", "^nap"));
    let (a, b) = (bed.naps("a.1", 3), bed.naps("b.1", 3));
    bed.client.stop(&instance("a.1")).expect("stop");
    assert!(!a.into_iter().any(alive) && b.into_iter().all(alive));
}

#[test]
fn stop_lets_a_program_end_by_itself() {
    let bed = Bed::new(&[]);
    bed.start(behaving("a.1", "bye", "^here"));
    bed.ready("a.1");
    bed.client.stop(&instance("a.1")).expect("stop");
    bed.line("a.1", "bye");
    assert_eq!(bed.fact("a.1").expect("fact").last_exit, Some(Exit::Told));
}

#[test]
fn a_program_that_does_not_end_is_killed_after_its_time() {
    let bed = Bed::new(&[]);
    bed.start(InstanceSpec {
        stop_within_ms: 100,
        ..behaving("a.1", "stubborn", "^nap")
    });
    let pid = bed.ready("a.1").pid.expect("pid");
    bed.client.stop(&instance("a.1")).expect("stop");
    assert!(!alive(pid));
}

#[test]
fn restart_is_done_once_a_new_life_is_spawned() {
    let bed = Bed::new(&[]);
    bed.start(behaving("a.1", "nap", "^nap"));
    let before = bed.ready("a.1");
    bed.client.restart(&instance("a.1")).expect("restart");
    let after = bed.fact("a.1").expect("fact");
    assert!(after.start > before.start && after.pid != before.pid && !alive(before.pid.expect("pid")));
    bed.client.stop(&instance("a.1")).expect("stop");
    bed.client.restart(&instance("a.1")).expect("restart of a stopped one");
    bed.ready("a.1");
}

#[test]
fn what_cannot_be_started_is_refused_with_the_reason() {
    let bed = Bed::new(&[]);
    let refused = |spec: InstanceSpec| bed.client.start(spec).expect_err("refused");
    let none = refused(spec("a.1", &["no-such-program"], ""));
    assert!(
        none.to_string().contains("no program `no-such-program` on its PATH"),
        "{none}"
    );
    assert_eq!(code(none), "SV-012");
    assert_eq!(bed.fact("a.1").expect("fact").phase, Phase::Failed);
    let folder = refused(InstanceSpec {
        dir: "/no/such/folder".into(),
        ..spec("b.1", &["true"], "")
    });
    assert!(
        folder.to_string().contains("/no/such/folder does not exist"),
        "{folder}"
    );
    assert!(
        refused(spec("c.1", &["/etc/passwd"], ""))
            .to_string()
            .contains("may not be executed")
    );
    assert_eq!(code(refused(spec("d.1", &["true"], "("))), "SV-015");
    assert_eq!(code(refused(spec("e.1", &[], ""))), "SV-015");
    let no_port = InstanceSpec {
        socket: Some(SocketMode::Port),
        ..spec("e.1", &["true"], "")
    };
    assert_eq!(code(refused(no_port)), "SV-015");
    bed.start(behaving("f.1", "nap", ""));
    assert_eq!(code(refused(behaving("f.1", "nap", ""))), "SV-010");
    assert_eq!(code(bed.client.stop(&instance("g.1")).expect_err("refused")), "SV-013");
    bed.start(behaving("a.1", "nap", "^nap"));
    bed.ready("a.1");
}

#[test]
fn the_environment_is_the_given_one_and_four_variables_at_most() {
    let bed = Bed::new(&[]);
    bed.start(InstanceSpec {
        socket: Some(SocketMode::Port),
        port: bed.port("a.1"),
        ..shell("a.1", "env; echo done; exec sleep 1000", "done")
    });
    bed.ready("a.1");
    let mut names: Vec<String> = bed
        .lines("a.1")
        .iter()
        .filter_map(|line| Some(line.text.split_once('=')?.0.to_owned()))
        // The shell's own.
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str()))
        .collect();
    names.sort();
    assert_eq!(names, ["ONDOL_BOOT", "ONDOL_LIFE", "PATH", "PORT"]);
    assert_eq!(bed.line("a.1", "ONDOL_BOOT="), bed.facts().boot.to_string());
}

#[test]
fn a_program_starts_with_its_three_descriptors_and_default_signals() {
    // The supervisor inherits a descriptor and an ignored signal that its children must not get.
    let bed = Bed::through(&["sh", "-c", "trap '' QUIT USR1; exec 7</dev/null \"$0\" \"$@\""]);
    bed.start(behaving("a.1", "nap", "^nap"));
    let pid = bed.ready("a.1").pid.expect("pid");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("descriptors")
        .flatten();
    let mut open: Vec<_> = open.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
    let mut ignored = String::new();
    let ask = job("signals", &["grep", "SigIgn", "/proc/self/status"]);
    bed.client.run_job(ask, |line| ignored = line.text).expect("job");
    let ignored = ignored
        .strip_prefix("SigIgn:\t")
        .and_then(|mask| u64::from_str_radix(mask, 16).ok());
    // Beyond 31 are those that the C library keeps for itself.
    assert_eq!(ignored.expect("a mask") & 0x7fff_ffff, 0);
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let session = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(3))
        .expect("session");
    assert_eq!(session, pid.to_string(), "leads a session of its own");
}

#[test]
fn an_orphan_that_ended_is_waited_for() {
    let bed = Bed::new(&["no-cgroups"]);
    bed.start(shell(
        "a.1",
        "sh -c 'sh -c \"echo orphan \\$\\$\" &'; exec sleep 1000",
        "orphan",
    ));
    let pid: u32 = bed.line("a.1", "orphan ").parse().expect("pid");
    wait("no zombie", || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}
