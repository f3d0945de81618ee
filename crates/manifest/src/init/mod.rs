//! `ondol init`: looks at a folder and proposes `ondol.yaml` and a `service.yaml` for each thing that can be started.
//!
//! Every guess comes with its reason, so that a person can say no to it. Looking only reads; [`Proposal::write`] creates
//! files and never overwrites one. What was guessed passes `load`, but may not be what the program needs: how it learns its
//! port above all.
//!
//! A Procfile is believed before a compose file, and that before the projects that are found by their tools' files.
//! Not here: Kubernetes YAML, containers (an image is named, not run). Tests: `tests.rs`, and `tests/init.rs` on projects
//! from registries.

mod draft;
mod go;
mod maven;
mod node;
mod processes;
mod project;
mod python;
mod rust;

pub(crate) use draft::Draft;

use draft::{dns_label, quote};
use ondol_core::error::ErrorCode;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What `ondol init` would write, and why.
#[derive(Clone, PartialEq, Debug)]
pub struct Proposal {
    /// In the order in which they would be written.
    pub files: Vec<Proposed>,
    /// What was seen and what was made of it.
    pub guesses: Vec<Guess>,
}

/// A file that would be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Proposed {
    /// Absolute.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// It is there already and stays as it is.
    pub exists: bool,
}

/// Something that was concluded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guess {
    /// About which service; empty: the system.
    pub about: String,
    /// What.
    pub what: String,
    /// From what.
    pub because: String,
}

/// Nothing was proposed.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder cannot be read.
    #[error("{}: {source}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing in it can be started.
    #[error(
        "nothing to start was found in {}: no Procfile, no compose.yaml, and no Cargo, npm, Python, Go or Maven project with a program",
        folder.display()
    )]
    Nothing {
        /// Which.
        folder: PathBuf,
        /// What was seen all the same.
        guesses: Vec<Guess>,
    },
}

impl InitError {
    /// Stable code; the page in `docs/errors/` says what to do.
    pub const fn code(&self) -> ErrorCode {
        ErrorCode::new("MF-040")
    }
}

/// Guesses as they are made.
#[derive(Default)]
pub(crate) struct Notes(Vec<Guess>);

impl Notes {
    fn add(&mut self, about: &str, what: impl Into<String>, because: impl Into<String>) {
        self.0.push(Guess {
            about: about.to_owned(),
            what: what.into(),
            because: because.into(),
        });
    }
}

/// Looks at `dir`. Reads at most a few thousand names and the tools' own files.
///
/// # Errors
/// [`InitError`] when the folder cannot be read, or nothing in it can be started.
pub fn init(dir: &Path) -> Result<Proposal, InitError> {
    let failed = |source| InitError::Folder {
        folder: dir.to_path_buf(),
        source,
    };
    let root = dir.canonicalize().map_err(failed)?;
    std::fs::read_dir(&root).map_err(failed)?;
    let mut notes = Notes::default();
    let mut drafts = processes::procfile(&root, &mut notes);
    if drafts.is_empty() {
        drafts = processes::compose(&root, &mut notes);
    }
    if drafts.is_empty() {
        drafts = project::find(&root, &mut notes);
    }
    if drafts.is_empty() {
        return Err(InitError::Nothing {
            folder: root,
            guesses: notes.0,
        });
    }
    name_apart(&mut drafts, &mut notes);
    first_route(&mut drafts, &mut notes);
    let mut files = vec![proposed(root.join("ondol.yaml"), system_text(&root, &drafts))];
    files.extend(
        drafts
            .iter()
            .map(|draft| proposed(draft.folder.join("service.yaml"), draft.text())),
    );
    Ok(Proposal {
        files,
        guesses: notes.0,
    })
}

fn proposed(path: PathBuf, text: String) -> Proposed {
    let exists = path.exists();
    Proposed { path, text, exists }
}

/// Names are unique and not Ondol's own.
fn name_apart(drafts: &mut [Draft], notes: &mut Notes) {
    let mut taken: BTreeSet<String> = ["ondol", "controller", "gateway", "database"].map(str::to_owned).into();
    for draft in drafts {
        let wanted = draft.name.clone();
        let mut number = 2;
        while !taken.insert(draft.name.clone()) {
            draft.name = format!("{wanted}-{number}");
            number += 1;
        }
        if draft.name != wanted {
            notes.add(
                &draft.name,
                format!("is called `{}`", draft.name),
                format!("`{wanted}` is taken"),
            );
        }
    }
}

/// One service gets all requests of the gateway: the only one, or the one whose name says so.
fn first_route(drafts: &mut [Draft], notes: &mut Notes) {
    const FRONTS: [&str; 6] = ["web", "frontend", "storefront", "app", "www", "ui"];
    let only = drafts.len() == 1;
    let front = FRONTS
        .iter()
        .find_map(|front| drafts.iter().position(|draft| draft.name == *front));
    let chosen = if only { Some(0) } else { front };
    let Some(chosen) = chosen else {
        notes.add(
            "",
            "no service gets requests from outside yet",
            "several may; add `routes:` to those that should",
        );
        return;
    };
    let draft = &mut drafts[chosen];
    if draft.listens {
        draft.routed = true;
        let because = if only {
            "it is the only service".to_owned()
        } else {
            format!("it is called `{}`", draft.name)
        };
        notes.add(&draft.name, "gets every request of the gateway", because);
    }
}

fn system_text(root: &Path, drafts: &[Draft]) -> String {
    let name = root
        .file_name()
        .map(|name| dns_label(&name.to_string_lossy()))
        .unwrap_or_else(|| "system".into());
    let folders = drafts.iter().map(|draft| {
        let folder = draft
            .folder
            .strip_prefix(root)
            .unwrap_or(&draft.folder)
            .display()
            .to_string();
        if folder.is_empty() { ".".to_owned() } else { folder }
    });
    let mut out = format!(
        "# Written by `ondol init`; it is yours now. Every key: docs/reference/manifest.md\nsystem: {name}\nservices:\n"
    );
    for folder in folders {
        let _infallible = writeln!(out, "  - {}", quote(&folder));
    }
    out.push_str("gateway:\n  listeners:\n    web: { bind: 127.0.0.1:8080 }\n");
    out
}

impl Proposal {
    /// Writes the files that are not there yet, and says which.
    ///
    /// # Errors
    /// The first file that cannot be made; those before it are written. A file that came into being since is an error too,
    /// and stays as it is.
    pub fn write(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        for file in self.files.iter().filter(|file| !file.exists) {
            if let Some(folder) = file.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut open = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&file.path)?;
            open.write_all(file.text.as_bytes())?;
            written.push(file.path.clone());
        }
        Ok(written)
    }

    /// For tools.
    pub fn json(&self) -> serde_json::Value {
        let files = self.files.iter().map(|file| {
            serde_json::json!({ "path": file.path.display().to_string(), "text": file.text, "exists": file.exists })
        });
        let guesses = self
            .guesses
            .iter()
            .map(|guess| serde_json::json!({ "about": guess.about, "what": guess.what, "because": guess.because }));
        serde_json::json!({ "files": files.collect::<Vec<_>>(), "guesses": guesses.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.about.is_empty() { "system" } else { &self.about };
        write!(f, "{about}: {} ({})", self.what, self.because)
    }
}

impl fmt::Display for Proposal {
    /// The guesses, then the files with their text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for guess in &self.guesses {
            writeln!(f, "{guess}")?;
        }
        for file in &self.files {
            let stays = if file.exists {
                " (is there already and stays as it is)"
            } else {
                ""
            };
            writeln!(f, "\n--- {}{stays}", file.path.display())?;
            if !file.exists {
                f.write_str(&file.text)?;
            }
        }
        Ok(())
    }
}

/// Reads a small text file; `None` when it is not there, too large, or not text.
fn read(path: &Path) -> Option<String> {
    const MAX: u64 = 1 << 20;
    let meta = std::fs::metadata(path).ok()?;
    if meta.is_file() && meta.len() <= MAX {
        std::fs::read_to_string(path).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
