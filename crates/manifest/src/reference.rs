//! `${env:NAME}`, `${env:NAME:-DEFAULT}`, `${file:PATH}` and an instance's own `${PORT}` in text.
//!
//! Nothing else is interpolated, and nothing twice: what a reference gives is taken as it is.

use crate::Env;
use crate::diagnostic::Code;
use crate::source::{Span, join};
use std::path::{Path, PathBuf};

/// A secret in a file is a line, not a book. Bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Whether references are resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Yes.
    Resolve,
    /// They are errors.
    Refuse,
}

/// An instance variable in a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// Such as `PORT`.
    pub name: String,
    /// Bytes in the text before resolving.
    pub from: usize,
    /// Beyond the closing brace.
    pub to: usize,
    /// In its file.
    pub at: Span,
}

/// A text whose references are resolved.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resolved {
    /// With instance variables left in place.
    pub text: String,
    /// The instance variables.
    pub uses: Vec<Use>,
    /// Files that were read.
    pub files: Vec<PathBuf>,
}

/// Why a text was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bad {
    /// Which code.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Bytes in the text.
    pub from: usize,
    /// Bytes in the text.
    pub to: usize,
    /// A file that should be there, so that its coming is seen.
    pub file: Option<PathBuf>,
}

/// Resolves `text`. `folder` is where `${file:…}` starts from.
///
/// # Errors
/// The first reference that gives nothing, with its place in `text`.
pub fn resolve(text: &str, mode: Mode, env: &dyn Env, folder: &Path) -> Result<Resolved, Bad> {
    let mut out = Resolved::default();
    let mut at = 0;
    while let Some(offset) = text[at..].find("${") {
        let from = at + offset;
        out.text.push_str(&text[at..from]);
        let Some(length) = text[from..].find('}') else {
            return Err(bad(
                Code::Variable,
                from,
                text.len(),
                "`${` without `}`",
                "write `${NAME}`",
            ));
        };
        let to = from + length + 1;
        let inner = &text[from + 2..to - 1];
        if let Some(given) = inner.strip_prefix("env:") {
            refuse(mode, from, to)?;
            out.text.push_str(&from_env(given, env, from, to)?);
        } else if let Some(path) = inner.strip_prefix("file:") {
            refuse(mode, from, to)?;
            let file = join(folder, path);
            out.text.push_str(&from_file(&file).map_err(|why| Bad {
                file: Some(file.clone()),
                ..bad(
                    Code::Reference,
                    from,
                    to,
                    &format!("{path}: {why}"),
                    "create the file, or use `${env:NAME}`",
                )
            })?);
            out.files.push(file);
        } else {
            out.uses.push(Use {
                name: inner.into(),
                from,
                to,
                at: Span::BUILT_IN,
            });
            out.text.push_str(&text[from..to]);
        }
        at = to;
    }
    out.text.push_str(&text[at..]);
    Ok(out)
}

fn bad(code: Code, from: usize, to: usize, message: &str, hint: &str) -> Bad {
    Bad {
        code,
        message: message.into(),
        hint: hint.into(),
        from,
        to,
        file: None,
    }
}

fn refuse(mode: Mode, from: usize, to: usize) -> Result<(), Bad> {
    match mode {
        Mode::Resolve => Ok(()),
        Mode::Refuse => Err(bad(
            Code::Variable,
            from,
            to,
            "a saga file takes no `${…}`: its definition is stored",
            "give the value to the service that needs it, by `env:` in its service.yaml",
        )),
    }
}

fn from_env(given: &str, env: &dyn Env, from: usize, to: usize) -> Result<String, Bad> {
    let (name, default) = given
        .split_once(":-")
        .map_or((given, None), |(name, default)| (name, Some(default)));
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !plain {
        let message = format!("`{name}` is no name of a variable");
        return Err(bad(
            Code::Variable,
            from,
            to,
            &message,
            "write `${env:NAME}` or `${env:NAME:-DEFAULT}`",
        ));
    }
    // As a shell reads `:-`: an empty variable counts as unset.
    let found = env
        .variable(name)
        .filter(|value| !value.is_empty() || default.is_none());
    let value = found.or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        let message = format!("the environment variable `{name}` is not set and has no default");
        bad(
            Code::Reference,
            from,
            to,
            &message,
            &format!("set {name}, or write `${{env:{name}:-DEFAULT}}`"),
        )
    })?;
    whole(value, name, from, to)
}

/// What a reference gives may not look like a variable itself: it would be filled in a second time when it is run.
fn whole(value: String, name: &str, from: usize, to: usize) -> Result<String, Bad> {
    if value.contains("${") {
        let message = format!("the value of `{name}` contains `${{`, which would be read as a variable");
        return Err(bad(Code::Variable, from, to, &message, "use a value without `${`"));
    }
    Ok(value)
}

fn from_file(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file)
        .map_err(|error| crate::files::why_unread(&error))?
        .len();
    if size > MAX_FILE {
        return Err(format!("larger than {MAX_FILE} bytes"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| crate::files::why_unread(&error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains("${") {
        return Err("contains `${`, which would be read as a variable".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FixedEnv;

    fn check(text: &str) -> Result<String, (Code, usize, usize)> {
        let env = FixedEnv::with(&[("SET", "yes"), ("EMPTY", ""), ("LOOKS", "${PORT}")]);
        resolve(text, Mode::Resolve, &env, Path::new("/nowhere"))
            .map(|r| r.text)
            .map_err(|b| (b.code, b.from, b.to))
    }

    #[test]
    fn references_give_their_value_or_their_default() {
        for (text, want) in [
            ("plain", "plain"),
            ("a ${env:SET} b ${env:SET}", "a yes b yes"),
            ("${env:UNSET:-sqlite:x.db}", "sqlite:x.db"),
            ("${env:UNSET:-}", ""),
            ("${env:EMPTY:-default}", "default"),
            ("${env:EMPTY}", ""),
            ("--port ${PORT} ${env:SET}", "--port ${PORT} yes"),
        ] {
            assert_eq!(check(text), Ok(want.into()), "{text}");
        }
    }

    #[test]
    fn what_gives_nothing_is_refused_at_its_place() {
        for (text, code, from, to) in [
            ("x ${env:UNSET} y", Code::Reference, 2, 14),
            ("${env:}", Code::Variable, 0, 7),
            ("a ${PORT", Code::Variable, 2, 8),
            ("${file:none}", Code::Reference, 0, 12),
            ("${env:LOOKS}", Code::Variable, 0, 12),
        ] {
            assert_eq!(check(text), Err((code, from, to)), "{text}");
        }
    }
}
