//! Python projects that can be started, each in a virtual environment of its own.

use super::project::port_hint;
use super::{Draft, Notes, read};
use std::path::Path;
use toml::{Table, Value};

pub(super) fn draft(folder: &Path, notes: &mut Notes) -> Option<Draft> {
    let project: Option<Table> = read(&folder.join("pyproject.toml")).and_then(|text| text.parse().ok());
    let setup = read(&folder.join("setup.py")).unwrap_or_default();
    let own = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let section = |name: &str| {
        project
            .as_ref()
            .and_then(|table| table.get(name))
            .and_then(Value::as_table)
    };
    let poetry = section("tool")
        .and_then(|tool| tool.get("poetry"))
        .and_then(Value::as_table);
    let named = [section("project"), poetry]
        .into_iter()
        .flatten()
        .find_map(|table| table.get("name").and_then(Value::as_str));
    let in_setup = quoted_after(&setup, "name=");
    let name = named.or(in_setup.as_deref()).unwrap_or(&own).to_owned();
    let scripts = [section("project"), poetry]
        .into_iter()
        .flatten()
        .filter_map(|table| table.get("scripts")?.as_table());
    let mut programs: Vec<String> = scripts.flat_map(|table| table.keys().cloned()).collect();
    programs.extend(console_script(&setup));
    let Some((run, because)) = start(folder, &name, &programs) else {
        notes.add(
            "",
            format!("the Python project `{name}` is left out"),
            "it has no script, no app, no main.py, app.py, server.py or manage.py",
        );
        return None;
    };
    let mut draft = Draft::new(&name, folder, run);
    draft.needs = vec![needs(section("project"))];
    let list = ["requirements.txt"]
        .into_iter()
        .find(|file| folder.join(file).is_file());
    let package = project
        .as_ref()
        .is_some_and(|table| table.contains_key("project") || table.contains_key("build-system"))
        || !setup.is_empty();
    let install = match (list, package) {
        (_, true) => Some(".venv/bin/pip install .".to_owned()),
        (Some(file), false) => Some(format!(".venv/bin/pip install -r {file}")),
        (None, false) => None,
    };
    let install = install.map(|install| format!(" && {install}")).unwrap_or_default();
    draft.build = Some(format!("sh -c 'python3 -m venv .venv{install}'"));
    notes.add(&draft.name, format!("is run as `{}`", draft.run), because);
    notes.add(
        &draft.name,
        "gets a virtual environment in .venv",
        "so that its packages touch nothing else",
    );
    port_hint(&mut draft, folder, &["py"], notes);
    Some(draft)
}

/// The command, and why it.
fn start(folder: &Path, name: &str, programs: &[String]) -> Option<(String, String)> {
    if folder.join("manage.py").is_file() {
        return Some((
            ".venv/bin/python manage.py runserver --noreload 127.0.0.1:${PORT}".into(),
            "there is a manage.py, as Django has it".into(),
        ));
    }
    for file in ["main.py", "app.py", "server.py", "wsgi.py", "asgi.py"] {
        let Some(text) = read(&folder.join(file)) else { continue };
        let module = file.trim_end_matches(".py");
        if let Some(variable) = made_by(&text, &["FastAPI(", "Starlette("]) {
            let run = format!(".venv/bin/uvicorn {module}:{variable} --port ${{PORT}}");
            return Some((run, format!("{file} makes an ASGI app")));
        }
        if made_by(&text, &["Flask("]).is_some() {
            return Some((
                format!(".venv/bin/flask --app {module} run --port ${{PORT}}"),
                format!("{file} makes a Flask app"),
            ));
        }
    }
    if let Some(program) = programs.iter().find(|program| *program == name).or(programs.first()) {
        return Some((
            format!(".venv/bin/{program}"),
            format!("the package installs the program `{program}`"),
        ));
    }
    let module = name.replace('-', "_");
    let package = [module.clone(), format!("src/{module}")]
        .into_iter()
        .find(|path| folder.join(path).join("__main__.py").is_file());
    if package.is_some() {
        return Some((
            format!(".venv/bin/python -m {module}"),
            format!("the package `{module}` has a __main__.py"),
        ));
    }
    let file = ["main.py", "app.py", "server.py"]
        .into_iter()
        .find(|file| folder.join(file).is_file())?;
    Some((format!(".venv/bin/python {file}"), format!("there is a {file}")))
}

/// The variable in `app = Flask(…)`.
fn made_by(text: &str, makers: &[&str]) -> Option<String> {
    text.lines().find_map(|line| {
        let (variable, made) = line.split_once('=')?;
        let variable = variable.split(':').next().unwrap_or_default().trim();
        let plain = !variable.is_empty() && variable.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (plain && !line.starts_with(' ') && makers.iter().any(|maker| made.trim_start().starts_with(maker)))
            .then(|| variable.to_owned())
    })
}

fn needs(project: Option<&Table>) -> String {
    let range = project
        .and_then(|table| table.get("requires-python"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let least = range.split(',').find_map(|part| part.trim().strip_prefix(">="));
    let plain = least
        .map(str::trim)
        .filter(|version| !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.'));
    plain.map_or("python3".into(), |version| format!("python3>={version}"))
}

/// The quoted text after a word of setup.py.
fn quoted_after(text: &str, word: &str) -> Option<String> {
    let at = text.find(word)? + word.len();
    let rest = text[at..].trim_start();
    let mark = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest[1..].split(mark).next().map(str::to_owned)
}

/// The first program in setup.py's `console_scripts`.
fn console_script(setup: &str) -> Option<String> {
    let after = &setup[setup.find("console_scripts")? + "console_scripts".len()..];
    let list = &after[after.find('[')? + 1..];
    let entry = list.trim_start().trim_start_matches(['"', '\'']);
    let name = entry.split('=').next()?.trim();
    let plain = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    plain.then(|| name.to_owned())
}
