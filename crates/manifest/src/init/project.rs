//! Projects by their tools' files: in the folder itself, else below it.

use super::{Draft, Notes, go, maven, node, python, rust};
use crate::kind::{self, Kind};
use std::path::{Path, PathBuf};

/// Levels below the folder.
const DEPTH: usize = 4;
/// Folders that are looked at.
const MAX_FOLDERS: usize = 2_000;
/// Folders that hold no project of the user's own.
const SKIPPED: [&str; 14] = [
    "node_modules",
    "target",
    "vendor",
    "dist",
    "build",
    "venv",
    "__pycache__",
    "test",
    "tests",
    "testdata",
    "examples",
    "docs",
    "fixtures",
    "benches",
];

/// Everything that can be started.
pub(super) fn find(root: &Path, notes: &mut Notes) -> Vec<Draft> {
    let mut found = Vec::new();
    let mut waiting: Vec<(PathBuf, usize)> = vec![(root.to_path_buf(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = waiting.pop() {
        seen += 1;
        let drafts = of(root, &folder, notes);
        // A project's own folders are its own; only where nothing can be started is there more to look for.
        if drafts.is_empty() && depth < DEPTH && seen < MAX_FOLDERS {
            waiting.extend(folders(&folder).into_iter().rev().map(|folder| (folder, depth + 1)));
        }
        found.extend(drafts);
    }
    found
}

/// What can be started of the project in one folder.
pub(super) fn of(root: &Path, folder: &Path, notes: &mut Notes) -> Vec<Draft> {
    match kind::of(folder) {
        Some(Kind::Cargo) => rust::drafts(root, folder, notes),
        Some(Kind::Npm) => node::draft(folder, notes).into_iter().collect(),
        Some(Kind::Python) => python::draft(folder, notes).into_iter().collect(),
        Some(Kind::Go) => go::drafts(folder, notes),
        Some(Kind::Maven) => maven::draft(folder, notes).into_iter().collect(),
        None => Vec::new(),
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let own = |path: &PathBuf| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        !name.starts_with('.') && !SKIPPED.contains(&&*name)
    };
    // Links are not followed: they may lead out, or around.
    let real = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut out: Vec<PathBuf> = real.map(|entry| entry.path()).filter(own).collect();
    out.sort();
    out
}

/// Files of a project with one of these endings, not deep and not many: enough to see whether a word is in them.
fn sources(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    const MAX_FILES: usize = 300;
    let mut out = Vec::new();
    let mut waiting = vec![(folder.to_path_buf(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| path.is_file());
        let fitting = |path: &PathBuf| {
            path.extension()
                .is_some_and(|end| endings.iter().any(|known| end == *known))
        };
        out.extend(files.filter(fitting));
        if out.len() >= MAX_FILES {
            break;
        }
        if depth < DEPTH {
            waiting.extend(folders(&folder).into_iter().map(|folder| (folder, depth + 1)));
        }
    }
    out.truncate(MAX_FILES);
    out
}

/// Says whether the program seems to know `PORT`.
pub(super) fn port_hint(draft: &mut Draft, folder: &Path, endings: &[&str], notes: &mut Notes) {
    if draft.run.contains("${PORT}") {
        return;
    }
    let knows = |path: &PathBuf| {
        super::read(path)
            .is_some_and(|text| text.contains("\"PORT\"") || text.contains("'PORT'") || text.contains("env.PORT"))
    };
    if let Some(file) = sources(folder, endings).iter().find(|path| knows(path)) {
        let file = file.strip_prefix(folder).unwrap_or(file).display().to_string();
        notes.add(
            &draft.name,
            "takes its port from the variable PORT",
            format!("{file} mentions it"),
        );
        return;
    }
    let what = "must be told its port: pass it in `run`, as `--port ${PORT}`, or by `env`";
    notes.add(&draft.name, what, "nothing in its files mentions the variable PORT");
    draft.remark = Some("how does it learn its port? it is in ${PORT}".into());
}
