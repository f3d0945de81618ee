//! A full disk under everything that Ondol writes: a small tmpfs.

use crate::access::skip;
use crate::service::BOOK;
use crate::system::{System, until};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A shell for a program, since a kept copy of this one would not fit.
const HELLO: &str = "run: sh start.sh\nsagas: [book.saga.yaml]\nroutes:\n  - match: { prefix: /work }\n  - { name: book, match: { path: /book }, start: { saga: book, wait: 5s } }";

/// A mounted tmpfs, taken away at the end.
struct Small(TempDir);

impl Small {
    /// `size` as mount takes it. `None`, and a line that says so, where this user may not.
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a folder");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        skip("a full disk: mounting a tmpfs needs root");
        None
    }

    /// Writes until nothing more fits.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = File::create(&path).expect("a file");
        for piece in [64 << 10, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_disk_starts_are_told_to_come_again_and_nothing_acknowledged_is_lost() {
    let Some(small) = Small::mount("8m") else { return };
    let program = std::env::current_exe().expect("this program");
    let system = System::at(None, small.0.path().to_owned(), &program, "", &[("hello", HELLO)]);
    system.write("services/hello/book.saga.yaml", BOOK);
    let start = format!(
        "exec '{}' --ignored --exact service::service --nocapture",
        program.display()
    );
    system.write("services/hello/start.sh", &start);
    let system = system.up();
    let book = |key: &str| system.ask("POST", "/book", &[("idempotency-key", key)], "{}");

    let mut acknowledged = vec![];
    let filler = small.fill();
    let mut number = 0;
    let refused = until("the disk is full", || {
        number += 1;
        let key = format!("k{number}");
        let answer = book(&key);
        if answer.status() == 201 {
            acknowledged.push((key, answer.json()["id"].clone()));
            return None;
        }
        Some(answer)
    });
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert!(refused.field("retry-after").is_some(), "{refused:?}");
    system.get("/work").expect(200);

    std::fs::remove_file(filler).expect("removed");
    until("starts go on", || {
        let answer = book("after");
        assert!(matches!(answer.status(), 201 | 202 | 503), "{}", answer.text());
        (answer.status() == 201).then_some(())
    });
    for (key, id) in &acknowledged {
        assert_eq!(&book(key).expect(201).json()["id"], id, "{key} joins what it started");
    }
    until("no saga is unfinished", || {
        let running = system.json(&["saga", "list", "--state", "running"]);
        running["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
}

#[test]
fn a_program_that_does_not_fit_is_told_and_leaves_the_disk_as_it_was() {
    let Some(small) = Small::mount("2m") else { return };
    let program = std::env::current_exe().expect("this program");
    let system = System::at(None, small.0.path().to_owned(), &program, "", &[("hello", "")]);
    let up = system.ondol(&["up", "--detach"]);
    assert_eq!(up.code, Some(1), "{up:?}");
    assert!(up.err.contains("DP-004") && up.err.contains("No space left"), "{up:?}");
    let kept = system.folder.join(".ondol/builds/hello");
    let left = std::fs::read_dir(kept)
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|hash| std::fs::read_dir(hash.path()));
    assert_eq!(left.flatten().count(), 0, "no half of it");
}

#[test]
fn a_controller_that_finds_a_full_disk_says_which_file_and_what_to_do_and_starts_once_there_is_room() {
    let Some(small) = Small::mount("8m") else { return };
    let program = std::env::current_exe().expect("this program");
    let system = System::at(
        None,
        small.0.path().to_owned(),
        &program,
        "",
        &[("hello", "run: sh start.sh")],
    );
    let start = format!(
        "exec '{}' --ignored --exact service::service --nocapture",
        program.display()
    );
    system.write("services/hello/start.sh", &start);
    let system = system.up();
    let filler = small.fill();
    // What the next controller keeps for its own next life finds no room.
    std::fs::remove_file(system.folder.join(".ondol/run/plan.json")).expect("removed");
    File::create(&filler).expect("emptied");
    let filler = small.fill();
    system.signal("controller", rustix::process::Signal::KILL);
    let logs = until("it says so", || {
        let logs = system.ondol(&["logs", "controller"]).good();
        logs.contains("CL-004").then_some(logs)
    });
    assert!(logs.contains(".ondol/run/") && logs.contains("make room"), "{logs}");
    std::fs::remove_file(filler).expect("removed");
    until("all is well", || {
        (system.ondol(&["status"]).code == Some(0)).then_some(())
    });
}
