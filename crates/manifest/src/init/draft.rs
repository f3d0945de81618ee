//! A service.yaml in the making.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What is known of a service so far.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Draft {
    pub name: String,
    /// Where its service.yaml goes, absolute.
    pub folder: PathBuf,
    /// Where its commands start, absolute.
    pub dir: PathBuf,
    pub needs: Vec<String>,
    pub build: Option<String>,
    pub run: String,
    pub env: Vec<(String, String)>,
    pub depends_on: Vec<String>,
    /// Whether it takes connections at all.
    pub listens: bool,
    /// Whether the gateway sends everything to it.
    pub routed: bool,
    /// A comment beside `run`.
    pub remark: Option<String>,
}

impl Draft {
    /// A service whose commands start where its file is.
    pub fn new(name: &str, folder: &Path, run: impl Into<String>) -> Self {
        Self {
            name: dns_label(name),
            folder: folder.to_path_buf(),
            dir: folder.to_path_buf(),
            needs: Vec::new(),
            build: None,
            run: run.into(),
            env: Vec::new(),
            depends_on: Vec::new(),
            listens: true,
            routed: false,
            remark: None,
        }
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut out = format!("service: {}\n", self.name);
        let mut line = |key: &str, value: String| {
            let _infallible = writeln!(out, "{key}: {value}");
        };
        if !self.needs.is_empty() {
            line(
                "needs",
                format!(
                    "[{}]",
                    self.needs.iter().map(|need| quote(need)).collect::<Vec<_>>().join(", ")
                ),
            );
        }
        if let Some(dir) = relative(&self.folder, &self.dir) {
            line("dir", quote(&dir));
        }
        if let Some(build) = &self.build {
            line("build", quote(build));
        }
        let remark = self
            .remark
            .as_ref()
            .map(|remark| format!("  # {remark}"))
            .unwrap_or_default();
        line("run", format!("{}{remark}", quote(&self.run)));
        if !self.env.is_empty() {
            let vars = self.env.iter().fold(String::new(), |out, (name, value)| {
                format!("{out}\n  {name}: {}", quote(value))
            });
            line("env", vars);
        }
        if !self.listens {
            line(
                "ready",
                "{ exec: \"true\" }  # it listens nowhere, so nothing can be asked".into(),
            );
        }
        if !self.depends_on.is_empty() {
            let names = self
                .depends_on
                .iter()
                .fold(String::new(), |out, name| format!("{out}\n  {name}: required"));
            line("depends_on", names);
        }
        if self.routed {
            line("routes", "\n  - match: { prefix: / }".into());
        }
        // `key: ` before a value that starts on the next line.
        out.replace(": \n", ":\n")
    }
}

/// The way from `folder` to `dir`; `None` when they are one.
fn relative(folder: &Path, dir: &Path) -> Option<String> {
    if folder == dir {
        return None;
    }
    let common = folder
        .components()
        .zip(dir.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = folder.components().skip(common).map(|_| "..".to_owned());
    let down = dir
        .components()
        .skip(common)
        .map(|part| part.as_os_str().to_string_lossy().into_owned());
    Some(up.chain(down).collect::<Vec<_>>().join("/"))
}

/// A name as a DNS label: lower case, `-` for the rest, a letter first.
pub(crate) fn dns_label(text: &str) -> String {
    let lower = text.rsplit('/').next().unwrap_or(text).to_ascii_lowercase();
    let mapped: String = lower
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let label: String = mapped
        .trim_matches(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit())
        .chars()
        .take(50)
        .collect();
    let label = label.trim_end_matches('-');
    match label.chars().next() {
        None => "service".into(),
        Some(c) if c.is_ascii_lowercase() => label.into(),
        Some(_) => format!("s-{label}"),
    }
}

/// A YAML scalar: plain where that is safe, else in double quotes.
pub(crate) fn quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '/' | '.' | '_' | '-' | '=' | '$' | '+');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '/'));
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "true" | "false" | "null" | "yes" | "no" | "on" | "off"
    );
    if starts_well && !word && text.chars().all(safe) && !text.ends_with(' ') {
        return text.to_owned();
    }
    serde_json::Value::String(text.to_owned()).to_string()
}

/// A word for a shell, quoted where it must be.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '=' | ':' | ',' | '@' | '+');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A shell's command line as one of ours: as it is where no shell is needed, else through `sh -c`.
pub(crate) fn command(line: &str) -> String {
    match crate::value::split_words(line) {
        Ok(words) if !words[0].contains('=') => line.trim().to_owned(),
        _ => format!("sh -c {}", shell_word(line.trim())),
    }
}
