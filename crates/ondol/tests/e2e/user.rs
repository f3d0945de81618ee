//! Nothing that a user runs needs root.

use crate::access::skip;
use crate::service::BOOK;
use crate::system::System;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

const NOBODY: u32 = 65_534;

#[test]
fn a_user_who_is_not_root_starts_a_system_uses_it_and_stops_it() {
    let root = rustix::process::getuid().is_root();
    if root
        && !Command::new("setpriv")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    {
        return skip("a run as nobody: install setpriv (Debian: util-linux)");
    }
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().to_owned();
    // Copies, since what was built may lie where others cannot look.
    let (service, program) = (folder.join("service"), folder.join("ondol"));
    std::fs::copy(std::env::current_exe().expect("this program"), &service).expect("copied");
    std::fs::copy(env!("CARGO_BIN_EXE_ondol"), &program).expect("copied");
    let hello = "database: sqlite:hello.db\nsagas: [book.saga.yaml]\n\
                 routes: [ { name: book, match: { path: /book }, start: { saga: book, wait: 5s } } ]";
    let mut system = System::at(Some(dir), folder.clone(), &service, "", &[("hello", hello)]);
    system.write("services/hello/book.saga.yaml", BOOK);
    system.program = program;
    if root {
        system.prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
            .map(Into::into)
            .into();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("opened");
        chown(&folder, Some(NOBODY), Some(NOBODY)).expect("given");
    }

    let system = system.up();
    system
        .ask("POST", "/book", &[("idempotency-key", "k")], "{}")
        .expect(201);
    for (name, pid) in system.processes() {
        let owner = std::fs::metadata(format!("/proc/{pid}")).expect("it runs").uid();
        assert_ne!(owner, 0, "{name}");
    }
    let restarted = system.json(&["restart", "hello"]);
    assert_eq!(restarted["state"], "ready", "{restarted}");
    system.ondol(&["down"]).good();
    assert!(system.processes().is_empty(), "{:?}", system.processes());
}
