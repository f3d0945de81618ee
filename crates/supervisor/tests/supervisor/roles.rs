//! Roles are kept running, and their deaths touch nobody else.

use crate::bed::{Bed, behaving, instance, kill};
use ondol_core::wire::supervision::{Exit, Phase};

#[test]
fn a_killed_role_starts_again_at_once_and_no_instance_notices() {
    let bed = Bed::new(&["role=controller:nap", "role=proxy:nap"]);
    bed.start(behaving("a.1", "nap", "^nap"));
    let before = bed.ready("a.1");
    for role in ["controller", "proxy"] {
        let id = format!("{role}.1");
        kill(bed.ready(&id).pid.expect("pid"));
        let again = bed.until(&id, "again", |fact| fact.restarts == 1 && fact.phase == Phase::Ready);
        assert_eq!(again.last_exit, Some(Exit::Signal(9)));
        bed.naps(role, 2);
    }
    assert_eq!(bed.fact("a.1"), Some(before));
}

#[test]
fn a_role_may_be_restarted_and_not_stopped() {
    let bed = Bed::new(&["role=proxy:nap"]);
    let before = bed.ready("proxy.1");
    assert_eq!(
        bed.client
            .stop(&instance("proxy.1"))
            .expect_err("refused")
            .code()
            .as_str(),
        "SV-015"
    );
    bed.client.restart(&instance("proxy.1")).expect("restart");
    assert!(bed.ready("proxy.1").start > before.start);
}

#[test]
fn a_role_that_ends_by_itself_is_tried_for_ever() {
    let bed = Bed::new(&["role=proxy:http"]);
    // Without a port it fails at once, each time.
    let fact = bed.until("proxy.1", "tried again", |fact| fact.restarts >= 3);
    assert!(matches!(fact.last_exit, Some(Exit::Code(_))), "{fact:?}");
    assert_ne!(fact.phase, Phase::CrashLoop);
    assert!(fact.reason.is_none_or(|reason| reason.contains("exited with code")));
}
