//! What manifests ask of the world outside their files: variables, programs on PATH, their versions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The world outside the files.
pub trait Env {
    /// An environment variable of Ondol's own.
    fn variable(&self, name: &str) -> Option<String>;
    /// Where a program of PATH is.
    fn program(&self, name: &str) -> Option<PathBuf>;
    /// What a program says when it is asked for its version, the first line of it with a digit.
    fn version(&self, program: &Path) -> Option<String>;
}

/// This process's world.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEnv;

impl Env for OsEnv {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(name))
            .find(|file| is_program(file))
    }

    /// Runs the program with `--version`, and with `version` where that says nothing, 3 s each at most.
    fn version(&self, program: &Path) -> Option<String> {
        // `java` writes to the error stream, and `go` knows only the bare word.
        ["--version", "version"].iter().find_map(|word| {
            let said = said(Command::new(program).arg(word))?;
            let mut lines = said.lines().take(20);
            lines
                .find(|line| line.contains(|c: char| c.is_ascii_digit()))
                .map(str::to_owned)
        })
    }
}

/// What a program writes in a short life, both streams; `None` when it cannot be started, fails, or does not end.
fn said(command: &mut Command) -> Option<String> {
    const PATIENCE: (u32, Duration) = (300, Duration::from_millis(10));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    // A program that writes more than a pipe holds does not end either: it is not telling its version.
    let ended = (0..PATIENCE.0).find_map(|_| match child.try_wait() {
        Ok(None) => {
            std::thread::sleep(PATIENCE.1);
            None
        }
        other => Some(other),
    });
    let Some(Ok(Some(status))) = ended else {
        // Killing one that has ended meanwhile is no failure; then it is only collected.
        let _gone = child.kill();
        let _collected = child.wait();
        return None;
    };
    let out = child.wait_with_output().ok().filter(|_| status.success())?;
    Some(
        [out.stdout, out.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat(),
    )
}

/// True for a file that this user may run, as far as its mode tells.
pub fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_path_is_found_and_says_its_version() {
        let cargo = OsEnv.program("cargo").expect("tests are run by cargo");
        assert!(OsEnv.version(&cargo).expect("says it").starts_with("cargo "));
        assert_eq!(OsEnv.program("no-such-program-anywhere"), None);
    }

    #[test]
    fn a_program_that_fails_or_never_ends_says_nothing() {
        assert_eq!(said(Command::new("sh").args(["-c", "echo 1.0; exit 3"])), None);
        assert_eq!(said(Command::new("sh").args(["-c", "exec sleep 1000"])), None);
        assert_eq!(said(&mut Command::new("/no/such/program")), None);
        assert_eq!(
            said(Command::new("sh").args(["-c", "echo 1.0 >&2"])).as_deref(),
            Some("1.0\n")
        );
    }
}
