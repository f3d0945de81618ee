//! npm packages that can be started.

use super::draft::command;
use super::project::port_hint;
use super::{Draft, Notes, read};
use serde_json::Value;
use std::path::Path;

pub(super) fn draft(folder: &Path, notes: &mut Notes) -> Option<Draft> {
    let package: Value = serde_json::from_str(&read(&folder.join("package.json"))?).ok()?;
    let own = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = package["name"].as_str().unwrap_or(&own);
    let Some((run, because)) = start(&package, folder) else {
        notes.add(
            "",
            format!("the package `{name}` is left out"),
            "package.json has no script `start`, no program, and there is no server.js",
        );
        return None;
    };
    let mut draft = Draft::new(name, folder, run);
    draft.needs = needs(&package);
    draft.build = build(&package, folder);
    notes.add(&draft.name, format!("is run as `{}`", draft.run), because);
    if let Some(build) = &draft.build {
        notes.add(
            &draft.name,
            format!("is built by `{build}`"),
            "package.json names dependencies or a script `build`",
        );
    }
    port_hint(&mut draft, folder, &["js", "mjs", "cjs", "ts"], notes);
    Some(draft)
}

/// The command, and why it.
fn start(package: &Value, folder: &Path) -> Option<(String, String)> {
    if let Some(script) = package["scripts"]["start"].as_str() {
        // npm stands between Ondol and the program, and not every version passes signals on: node itself is better.
        let straight = script.starts_with("node ") && command(script) == script;
        let run = if straight {
            script.to_owned()
        } else {
            "npm start".to_owned()
        };
        return Some((run, format!("package.json has the script `start`: `{script}`")));
    }
    let dependencies = package["dependencies"]
        .as_object()
        .into_iter()
        .chain(package["devDependencies"].as_object());
    if dependencies.flatten().any(|(name, _)| name == "@sveltejs/adapter-node") {
        return Some((
            "node build/index.js".into(),
            "it uses SvelteKit's adapter for Node".into(),
        ));
    }
    let program = match &package["bin"] {
        Value::String(path) => Some(path.as_str()),
        Value::Object(programs) => programs.values().find_map(Value::as_str),
        _ => None,
    };
    if let Some(path) = program {
        return Some((
            format!("node {}", path.trim_start_matches("./")),
            format!("package.json names the program `{path}`"),
        ));
    }
    let usual = ["server.js", "server.mjs", "app.js"]
        .into_iter()
        .find(|file| folder.join(file).is_file())?;
    Some((format!("node {usual}"), format!("there is a {usual}")))
}

fn needs(package: &Value) -> Vec<String> {
    let wanted = package["engines"]["node"]
        .as_str()
        .and_then(|range| range.trim().strip_prefix(">="))
        .map(str::trim);
    let plain = wanted.filter(|version| !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.'));
    vec![
        plain.map_or("node".into(), |version| {
            format!("node>={}", version.trim_end_matches('.'))
        }),
        "npm".into(),
    ]
}

fn build(package: &Value, folder: &Path) -> Option<String> {
    let has = |key: &str| package[key].as_object().is_some_and(|members| !members.is_empty());
    let script = package["scripts"]["build"].is_string();
    let install = if folder.join("package-lock.json").is_file() {
        "npm ci"
    } else {
        "npm install"
    };
    match (script, has("dependencies") || has("devDependencies")) {
        (true, true) => Some(format!("sh -c '{install} && npm run build'")),
        (true, false) => Some("npm run build".into()),
        (false, true) => Some(install.into()),
        (false, false) => None,
    }
}
