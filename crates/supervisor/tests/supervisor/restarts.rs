//! What ended is started again, or not, and says why.

use crate::bed::{Bed, PROGRAM, behaving, job, kill, shell};
use ondol_core::wire::supervision::{Exit, Phase};
use std::fs;
use std::path::Path;

#[test]
fn a_ready_instance_killed_again_and_again_never_becomes_a_crash_loop() {
    let bed = Bed::new(&[]);
    bed.start(behaving("a.1", "nap", "^nap"));
    for restarts in 1..=6 {
        kill(bed.ready("a.1").pid.expect("pid"));
        let fact = bed.until("a.1", "again", |fact| {
            fact.restarts == restarts && fact.phase == Phase::Ready
        });
        assert_eq!(fact.last_exit, Some(Exit::Signal(9)));
    }
}

#[test]
fn a_program_that_always_ends_becomes_a_crash_loop_with_its_last_line() {
    let bed = Bed::new(&[]);
    bed.start(shell("a.1", "echo no such database; exit 3", "never"));
    let fact = bed.until("a.1", "a crash loop", |fact| fact.phase == Phase::CrashLoop);
    assert_eq!(fact.last_exit, Some(Exit::Code(3)));
    assert_eq!(
        fact.reason.as_deref(),
        Some("exited with code 3; its last line: no such database")
    );
    assert!(fact.until.is_some() && fact.pid.is_none());
}

#[test]
fn the_reason_of_a_single_death_has_its_last_line() {
    let bed = Bed::new(&[]);
    let mark = bed.folder.path().join("mark");
    let mark = mark.display();
    let script = format!("[ -e {mark} ] && exec sleep 1000; touch {mark}; echo first try failed; exit 3");
    bed.start(shell("a.1", &script, "never"));
    let expected = Some("exited with code 3; its last line: first try failed".to_owned());
    bed.until("a.1", "told why", |fact| fact.reason == expected);
}

#[test]
fn a_death_for_lack_of_memory_is_called_so() {
    let groups = Path::new("/sys/fs/cgroup/memory");
    let group = groups.join(format!("ondol-test-{}", std::process::id()));
    if fs::create_dir(&group).is_err() {
        // Where no group may be limited, nothing can be made to run out of memory alone.
        eprintln!("skipped: no writable memory controller in {}", groups.display());
        return;
    }
    fs::write(group.join("memory.limit_in_bytes"), "64M").expect("limit");
    // Started in the group, as in a container with a limit.
    let inside = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", group.display());
    let bed = Bed::through(&["sh", "-c", &inside]);
    let exit = bed.client.run_job(job("eater", &[PROGRAM, "eat"]), drop).expect("job");
    assert_eq!(exit, Exit::OutOfMemory);
    // And a kill from outside afterwards is not called so.
    bed.start(behaving("b.1", "nap", "^nap"));
    kill(bed.ready("b.1").pid.expect("pid"));
    let fact = bed.until("b.1", "died", |fact| fact.last_exit.is_some());
    assert_eq!(fact.last_exit, Some(Exit::Signal(9)));
    drop(bed);
    fs::remove_dir(&group).expect("remove");
}
