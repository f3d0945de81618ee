//! What manifests ask of the world outside their files: variables, programs on PATH, their versions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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

    /// Runs the program with `--version`, and `version` where that says nothing; it blocks until the program has ended.
    fn version(&self, program: &Path) -> Option<String> {
        // `java -version` writes to the error stream, and `go` knows only the bare word.
        ["--version", "version"].iter().find_map(|word| {
            let out = Command::new(program).arg(word).stdin(Stdio::null()).output().ok()?;
            let said = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let mut lines = said.iter().flat_map(|text| text.lines()).take(20);
            lines
                .find(|line| out.status.success() && line.contains(|c: char| c.is_ascii_digit()))
                .map(str::to_owned)
        })
    }
}

/// True for a file that this user may run, as far as its mode tells.
pub fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
