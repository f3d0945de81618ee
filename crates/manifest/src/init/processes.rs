//! Files that list processes already: `Procfile` and `compose.yaml`.

use super::draft::command;
use super::{Draft, Notes, project, read};
use crate::kind::Kind;
use crate::parse;
use crate::source::{FileId, join};
use crate::tree::{Node, Value};
use std::path::Path;

/// A Procfile's processes; one service.yaml each, in `services/NAME`.
pub(super) fn procfile(root: &Path, notes: &mut Notes) -> Vec<Draft> {
    let Some(text) = read(&root.join("Procfile")) else {
        return Vec::new();
    };
    // How it is built is the project's to say; the Procfile only knows how it is run.
    let built = project::of(root, root, &mut Notes::default()).into_iter().next();
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut out = Vec::new();
    for (name, line) in lines.filter_map(|line| line.split_once(':')) {
        let (name, line) = (name.trim(), line.trim());
        if name == "release" {
            notes.add(
                "",
                "the process `release` is left out",
                "it runs once at a release and is no service",
            );
            continue;
        }
        let line = braces(&with_tools(root, line));
        let mut draft = Draft::new(
            name,
            &root.join("services").join(super::dns_label(name)),
            command(&line),
        );
        draft.dir = root.to_path_buf();
        draft.listens = name == "web" || line.contains("${PORT}");
        if let Some(built) = &built {
            draft.build.clone_from(&built.build);
            draft.needs.clone_from(&built.needs);
        }
        notes.add(
            &draft.name,
            format!("is run as `{}`", draft.run),
            format!("the Procfile has the process `{name}`"),
        );
        if !draft.listens {
            notes.add(
                &draft.name,
                "is not asked whether it is ready",
                "it takes no port, so it listens nowhere",
            );
        }
        out.push(draft);
    }
    out
}

/// Programs that the project's own tool installs are found before those of PATH.
fn with_tools(root: &Path, line: &str) -> String {
    match crate::kind::of(root) {
        Some(Kind::Python) => format!("PATH=.venv/bin:$PATH exec {line}"),
        Some(Kind::Npm) => format!("PATH=node_modules/.bin:$PATH exec {line}"),
        _ => line.to_owned(),
    }
}

/// `$PORT` as manifests write it. Other variables are the shell's to fill in.
fn braces(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("$PORT") {
        out.push_str(before);
        let longer = after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        out.push_str(if longer { "$PORT" } else { "${PORT}" });
        rest = after;
    }
    out + rest
}

/// A compose file's services that are built from a folder here.
pub(super) fn compose(root: &Path, notes: &mut Notes) -> Vec<Draft> {
    let names = [
        "compose.yaml",
        "compose.yml",
        "docker-compose.yaml",
        "docker-compose.yml",
    ];
    let Some((file, text)) = names.iter().find_map(|name| Some((*name, read(&root.join(name))?))) else {
        return Vec::new();
    };
    let node = match parse::parse(FileId::BUILT_IN, &text, parse::MANIFEST) {
        Ok(node) => node,
        Err(errors) => {
            let why = errors.first().map(|error| error.message.clone()).unwrap_or_default();
            notes.add("", format!("{file} is left out"), why);
            return Vec::new();
        }
    };
    let Some(Value::Map(services)) = node.get("services").map(|node| &node.value) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (name, service) in services {
        out.extend(composed(root, file, name, service, notes));
    }
    let known: Vec<String> = out.iter().map(|draft| draft.name.clone()).collect();
    for draft in &mut out {
        draft.depends_on.retain(|name| known.contains(name));
    }
    out
}

fn composed(root: &Path, file: &str, name: &str, service: &Node, notes: &mut Notes) -> Option<Draft> {
    let context = match service.get("build") {
        Some(build) => build
            .text()
            .or_else(|| build.get("context").and_then(Node::text))
            .unwrap_or("."),
        None => {
            let image = service.get("image").and_then(Node::text).unwrap_or("an image");
            notes.add("", format!("`{name}` is left out"), format!("it is the image {image}; Ondol runs no containers: name it by `database:` or `env:` where it is used"));
            return None;
        }
    };
    let folder = join(root, context);
    let mut found = project::of(root, &folder, notes).into_iter().next();
    if let Some(line) = words(service.get("command")) {
        let mut draft = found.unwrap_or_else(|| Draft::new(name, &folder, ""));
        draft.run = command(&braces(&line));
        draft.remark = None;
        notes.add(
            name,
            format!("is run as `{}`", draft.run),
            format!("{file} says so by `command`"),
        );
        found = Some(draft);
    }
    let Some(mut draft) = found else {
        notes.add(
            "",
            format!("`{name}` is left out"),
            format!("{file} builds it from {context}, where nothing says how it is run without a container"),
        );
        return None;
    };
    let found_as = std::mem::replace(&mut draft.name, super::dns_label(name));
    notes.add(
        &draft.name,
        format!("is the project `{found_as}`"),
        format!("{file} builds `{name}` from {context}"),
    );
    draft.env = environment(service.get("environment"));
    draft.depends_on = depends_on(service.get("depends_on"));
    if service.get("ports").is_some() {
        notes.add(
            &draft.name,
            "listens on the port that Ondol gives it",
            format!("the ports of {file} are those of a container"),
        );
    }
    Some(draft)
}

/// A command as one line: text, or a list of words.
fn words(node: Option<&Node>) -> Option<String> {
    match &node?.value {
        Value::Scalar { text, .. } => Some(text.clone()),
        Value::List(items) => Some(
            items
                .iter()
                .filter_map(Node::text)
                .map(super::draft::shell_word)
                .collect::<Vec<_>>()
                .join(" "),
        ),
        Value::Map(_) => None,
    }
}

fn environment(node: Option<&Node>) -> Vec<(String, String)> {
    let pairs: Vec<(String, String)> = match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => entries
            .iter()
            .map(|(key, value)| (key.value.clone(), value.text().unwrap_or_default().to_owned()))
            .collect(),
        Some(Value::List(items)) => items
            .iter()
            .filter_map(Node::text)
            .map(|item| {
                item.split_once('=')
                    .map_or((item.to_owned(), String::new()), |(key, value)| {
                        (key.to_owned(), value.to_owned())
                    })
            })
            .collect(),
        _ => Vec::new(),
    };
    let own = |name: &str| name == "PORT" || name.starts_with("ONDOL_") || name.starts_with("LISTEN_");
    let pairs = pairs.into_iter().filter(|(name, _)| !own(name));
    pairs
        .map(|(name, value)| {
            let value = outer(&name, &value);
            (name, value)
        })
        .collect()
}

/// Compose's `${VAR}` and `${VAR:-x}`, and a variable without a value, are the outer environment's.
fn outer(name: &str, value: &str) -> String {
    if value.is_empty() {
        return format!("${{env:{name}:-}}");
    }
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (inner, tail) = after.split_once('}').unwrap_or((after, ""));
        let inner = inner.replacen(":?", ":-", 1);
        out.push_str(&if inner.contains(":-") {
            format!("${{env:{inner}}}")
        } else {
            format!("${{env:{inner}:-}}")
        });
        rest = tail;
    }
    out + rest
}

fn depends_on(node: Option<&Node>) -> Vec<String> {
    let names: Vec<&str> = match node.map(|node| &node.value) {
        Some(Value::List(items)) => items.iter().filter_map(Node::text).collect(),
        Some(Value::Map(entries)) => entries.iter().map(|(key, _)| key.value.as_str()).collect(),
        _ => Vec::new(),
    };
    names.into_iter().map(super::dns_label).collect()
}
