//! What ended is started again, or not, and says why.

use crate::bed::{Bed, PROGRAM, behaving, kill, shell, spec};
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
fn a_death_for_lack_of_memory_is_called_so() {
    let groups = Path::new("/sys/fs/cgroup/memory");
    let group = groups.join(format!("ondol-test-{}", std::process::id()));
    if fs::create_dir(&group).is_err() {
        // Where no group may be limited, nothing can be made to run out of memory alone.
        eprintln!("skipped: no writable memory controller in {}", groups.display());
        return;
    }
    fs::write(group.join("memory.limit_in_bytes"), "16M").expect("limit");
    let bed = Bed::new(&[]);
    bed.start(spec("a.1", &[PROGRAM, "eat", &group.display().to_string()], "never"));
    let fact = bed.until("a.1", "died", |fact| fact.last_exit.is_some());
    assert_eq!(fact.last_exit, Some(Exit::OutOfMemory));
    drop(bed);
    fs::remove_dir(&group).expect("remove");
}
