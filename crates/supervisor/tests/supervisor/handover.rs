//! A role runs by another program from now on: the new process serves before the old one is told to leave.

use crate::bed::{Bed, PROGRAM, gone, instance, kill};
use ondol_core::wire::supervision::{Exit, HandOver, Phase};
use ondol_core::wire::supervision_client::ClientError;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Longer than any of these tests.
const LONG: u64 = 600_000;
const PATIENT: HandOver = HandOver {
    serve_within_ms: LONG,
    drain_ms: LONG,
};

/// A system whose proxy says when it serves.
fn bed() -> Bed {
    let bed = Bed::new(&["role=controller:nap", "announcing=proxy:serve"]);
    bed.ready("proxy.1");
    bed
}

/// The same program at another place.
fn newer(bed: &Bed) -> PathBuf {
    let program = bed.folder.path().join("newer");
    std::os::unix::fs::symlink(PROGRAM, &program).expect("a link");
    program
}

/// A program that does this.
fn script(bed: &Bed, text: &str) -> PathBuf {
    let program = bed.folder.path().join("script");
    std::fs::write(&program, format!("#!/bin/sh\n{text}\n")).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("set");
    program
}

fn upgrade(bed: &Bed, role: &str, program: &Path, how: Option<HandOver>) -> Result<(), ClientError> {
    bed.client.upgrade(&role.parse().expect("a name"), program, how)
}

fn refused(result: Result<(), ClientError>) -> (String, String) {
    let error = result.expect_err("refused");
    (error.code().as_str().to_owned(), error.to_string())
}

#[test]
fn the_new_process_serves_then_the_old_one_leaves_at_its_own_pace() {
    let bed = bed();
    let old = bed.ready("proxy.1").pid.expect("pid");
    let program = newer(&bed);
    upgrade(&bed, "proxy", &program, Some(PATIENT)).expect("handed over");
    let new = bed.ready("proxy.2");
    assert_eq!(new.release, program.display().to_string());
    let leaving = bed.until("proxy.1", "leaving", |fact| fact.phase == Phase::Stopping);
    assert_eq!(leaving.pid, Some(old));
    bed.line("proxy", &format!("leaves {old}"));
    std::fs::write(bed.folder.path().join("go"), "").expect("written");
    gone(old);
    crate::bed::wait("proxy.1 is forgotten", || bed.fact("proxy.1").is_none().then_some(()));

    // The new one is the role from now on.
    kill(new.pid.expect("pid"));
    let again = bed.until("proxy.2", "again", |fact| {
        fact.restarts == 1 && fact.phase == Phase::Ready
    });
    assert_eq!(again.release, new.release);
    upgrade(&bed, "proxy", Path::new(PROGRAM), Some(PATIENT)).expect("back");
    assert_eq!(bed.ready("proxy.1").release, PROGRAM, "a number that is free again");
}

#[test]
fn one_that_has_left_long_enough_is_ended() {
    let bed = bed();
    let old = bed.ready("proxy.1").pid.expect("pid");
    let how = HandOver { drain_ms: 1, ..PATIENT };
    upgrade(&bed, "proxy", &newer(&bed), Some(how)).expect("handed over");
    gone(old);
    bed.ready("proxy.2");
}

#[test]
fn a_successor_that_does_not_come_to_serve_changes_nothing() {
    let bed = bed();
    let before = bed.ready("proxy.1");
    let soon = HandOver {
        serve_within_ms: 200,
        ..PATIENT
    };
    let ends = script(&bed, "echo no such thing >&2; exit 3");
    let (code, words) = refused(upgrade(&bed, "proxy", &ends, Some(PATIENT)));
    assert_eq!(code, "SV-012", "{words}");
    assert!(words.contains("exited with code 3"), "{words}");
    let idles = script(&bed, "exec sleep 1000");
    let (_, words) = refused(upgrade(&bed, "proxy", &idles, Some(soon)));
    assert!(words.contains("did not come to serve in time"), "{words}");
    let (_, words) = refused(upgrade(&bed, "proxy", Path::new("/no/such/program"), Some(PATIENT)));
    assert!(words.contains("/no/such/program"), "{words}");
    for wrong in ["newer", "./newer", "/a\0b"] {
        assert_eq!(refused(upgrade(&bed, "proxy", Path::new(wrong), None)).0, "SV-015");
    }
    assert_eq!(
        refused(upgrade(&bed, "nobody", Path::new(PROGRAM), Some(PATIENT))).0,
        "SV-015"
    );
    crate::bed::wait("successors are forgotten", || {
        (bed.facts().roles.len() == 2).then_some(())
    });
    assert_eq!(bed.fact("proxy.1"), Some(before));
}

#[test]
fn a_role_is_handed_over_once_at_a_time() {
    let bed = bed();
    let idles = script(&bed, "exec sleep 1000");
    std::thread::scope(|scope| {
        let first = scope.spawn(|| upgrade(&bed, "proxy", &idles, Some(PATIENT)));
        bed.until("proxy.2", "starting", |fact| fact.phase == Phase::Starting);
        let (code, words) = refused(upgrade(&bed, "proxy", Path::new(PROGRAM), Some(PATIENT)));
        assert!(code == "SV-015" && words.contains("handed over already"), "{words}");
        kill(bed.fact("proxy.2").and_then(|fact| fact.pid).expect("pid"));
        let words = refused(first.join().expect("no panic")).1;
        assert!(words.contains("killed by signal 9"), "{words}");
    });
    bed.ready("proxy.1");
}

#[test]
fn without_a_hand_over_the_role_ends_and_starts_anew() {
    let bed = bed();
    let before = bed.ready("controller.1");
    let program = newer(&bed);
    upgrade(&bed, "controller", &program, None).expect("exchanged");
    let after = bed.until("controller.1", "anew", |fact| fact.start > before.start);
    assert_eq!(after.release, program.display().to_string());
    assert_eq!(after.last_exit, Some(Exit::Told));
    gone(before.pid.expect("pid"));
}

#[test]
fn a_role_that_was_killed_while_it_left_is_forgotten() {
    let bed = bed();
    let old = bed.ready("proxy.1").pid.expect("pid");
    upgrade(&bed, "proxy", &newer(&bed), Some(PATIENT)).expect("handed over");
    kill(old);
    crate::bed::wait("proxy.1 is forgotten", || bed.fact("proxy.1").is_none().then_some(()));
    bed.ready("proxy.2");
    assert_eq!(
        bed.client.serving(1).expect_err("no such life").code().as_str(),
        "SV-015"
    );
    assert!(bed.client.restart(&instance("proxy.2")).is_ok());
}
