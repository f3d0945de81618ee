//! Go modules: the program at their root, and those below `cmd/`.

use super::project::port_hint;
use super::{Draft, Notes, read};
use std::path::{Path, PathBuf};

pub(super) fn drafts(folder: &Path, notes: &mut Notes) -> Vec<Draft> {
    let module = read(&folder.join("go.mod")).unwrap_or_default();
    let word = |key: &str| {
        module
            .lines()
            .find_map(|line| line.trim().strip_prefix(key))
            .map(|rest| rest.trim().to_owned())
    };
    let path = word("module ").unwrap_or_default();
    // `example.com/echo/v2` is called echo.
    let version = |part: &str| part.starts_with('v') && part[1..].chars().all(|c| c.is_ascii_digit()) && part.len() > 1;
    let name = path
        .rsplit('/')
        .find(|part| !version(part))
        .unwrap_or("service")
        .to_owned();
    let least = word("go ").filter(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'));
    let needs = least.map_or("go".to_owned(), |version| format!("go>={version}"));
    let mut programs = Vec::new();
    if is_program(folder) {
        programs.push((name.clone(), folder.to_path_buf(), ".".to_owned()));
    }
    for sub in commands(folder) {
        if let Some(own) = sub.file_name().map(|own| own.to_string_lossy().into_owned()) {
            let package = format!("./cmd/{own}");
            programs.push((own, sub, package));
        }
    }
    if programs.is_empty() {
        notes.add(
            "",
            format!("the module `{path}` is left out"),
            "it is a library: neither its root nor cmd/ has a package main",
        );
    }
    let only = programs.len() == 1;
    let make = |(own, place, package): (String, PathBuf, String)| {
        // The only program's file stands at the module's root, where people look first.
        let mut draft = Draft::new(&own, if only { folder } else { &place }, format!("bin/{own}"));
        draft.dir = folder.to_path_buf();
        draft.needs = vec![needs.clone()];
        draft.build = Some(format!("go build -o bin/{own} {package}"));
        notes.add(
            &draft.name,
            format!("is built by `go build` and run as bin/{own}"),
            format!("{package} has a package main"),
        );
        port_hint(&mut draft, folder, &["go"], notes);
        draft
    };
    programs.into_iter().map(make).collect()
}

fn commands(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join("cmd")).into_iter().flatten().flatten();
    let mut out: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && is_program(path))
        .collect();
    out.sort();
    out
}

fn is_program(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut sources = entries.filter(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".go") && !name.ends_with("_test.go")
    });
    sources.any(|path| {
        read(&path).is_some_and(|text| {
            text.lines().any(|line| line.trim_end() == "package main") && text.contains("func main()")
        })
    })
}
