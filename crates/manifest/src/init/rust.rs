//! Cargo packages with a program.

use super::project::port_hint;
use super::{Draft, Notes, read};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

fn table(folder: &Path) -> Option<Table> {
    read(&folder.join("Cargo.toml"))?.parse().ok()
}

pub(super) fn drafts(root: &Path, folder: &Path, notes: &mut Notes) -> Vec<Draft> {
    let Some(table) = table(folder) else {
        notes.add(
            "",
            "Cargo.toml is left out",
            format!("{} cannot be read", folder.join("Cargo.toml").display()),
        );
        return Vec::new();
    };
    let Some(package) = table.get("package").and_then(Value::as_table) else {
        notes.add("", "its packages are looked at one by one", "Cargo.toml is a workspace");
        return Vec::new();
    };
    let name = package.get("name").and_then(Value::as_str).unwrap_or("service");
    let bins = bins(&table, name, folder);
    let wanted = package.get("default-run").and_then(Value::as_str);
    let Some(bin) = bins
        .iter()
        .find(|bin| Some(bin.name.as_str()) == wanted || bin.name == name)
        .or(bins.first())
    else {
        notes.add(
            "",
            format!("the package `{name}` is left out"),
            "it is a library: it has no program",
        );
        return Vec::new();
    };
    let home = workspace(root, folder);
    let mut draft = Draft::new(name, folder, format!("target/release/{}", bin.name));
    draft.dir = home.clone();
    draft.needs = vec!["cargo".into()];
    let features = if bin.features.is_empty() {
        String::new()
    } else {
        format!(" --features {}", bin.features.join(","))
    };
    draft.build = Some(format!(
        "cargo build --release --package {name} --bin {}{features}",
        bin.name
    ));
    notes.add(
        &draft.name,
        format!("is built by cargo and run as {}", draft.run),
        "Cargo.toml has a package with a program",
    );
    if home != folder {
        notes.add(
            &draft.name,
            "is built in the workspace's folder",
            "that is where cargo puts its target folder",
        );
    }
    let others: Vec<&str> = bins
        .iter()
        .map(|other| other.name.as_str())
        .filter(|other| *other != bin.name)
        .collect();
    if !others.is_empty() {
        notes.add(
            &draft.name,
            format!("leaves out the programs {}", others.join(", ")),
            format!("`{}` is the package's main one", bin.name),
        );
    }
    port_hint(&mut draft, folder, &["rs"], notes);
    vec![draft]
}

struct Bin {
    name: String,
    features: Vec<String>,
}

/// Programs: written ones, `src/main.rs`, `src/bin/*`.
fn bins(table: &Table, package: &str, folder: &Path) -> Vec<Bin> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let written = table
        .get("bin")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|bin| {
            let features = bin
                .get("required-features")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(text);
            Some(Bin {
                name: text(bin.get("name")?)?,
                features: features.collect(),
            })
        });
    let mut out: Vec<Bin> = written.collect();
    let mut add = |name: String| {
        if !out.iter().any(|bin| bin.name == name) {
            out.push(Bin {
                name,
                features: Vec::new(),
            });
        }
    };
    let auto = table
        .get("package")
        .and_then(|package| package.get("autobins"))
        .and_then(Value::as_bool)
        != Some(false);
    if auto && folder.join("src/main.rs").is_file() {
        add(package.to_owned());
    }
    let mut extra: Vec<PathBuf> = std::fs::read_dir(folder.join("src/bin"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    extra.sort();
    for path in extra
        .iter()
        .filter(|path| auto && (path.join("main.rs").is_file() || path.extension().is_some_and(|end| end == "rs")))
    {
        if let Some(stem) = path.file_stem() {
            add(stem.to_string_lossy().into_owned());
        }
    }
    out
}

/// The nearest folder up to `root` that is a workspace, else the package's own.
fn workspace(root: &Path, folder: &Path) -> PathBuf {
    let above = folder.ancestors().take_while(|above| above.starts_with(root));
    let holds = |above: &&Path| table(above).is_some_and(|table| table.contains_key("workspace"));
    above.into_iter().find(holds).unwrap_or(folder).to_path_buf()
}
