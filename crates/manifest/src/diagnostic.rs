//! What is wrong, where, and what to do. How it is shown: `render.rs`.
//!
//! All findings of one `load` come together, at most [`MAX_SHOWN`]; the rest is counted. Each has a [`Code`] with a page
//! in `docs/errors/`.

pub use crate::code::Code;
use crate::source::{Sources, Span};
use std::path::PathBuf;
use std::sync::Arc;

/// Findings kept; beyond it they are only counted.
pub const MAX_SHOWN: usize = 100;

/// How bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The manifests are not taken.
    Error,
    /// They are taken.
    Warning,
}

/// One finding.
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnostic {
    /// What kind.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// Where. `None`: no file could be read.
    pub at: Option<Span>,
    /// A file that is not among the sources.
    pub path: Option<PathBuf>,
    /// Other places, with a word each.
    pub notes: Vec<(Span, String)>,
    /// What to do.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: Code, at: Span, message: impl Into<String>) -> Self {
        let (message, at) = (message.into(), Some(at));
        Self {
            code,
            severity: Severity::Error,
            message,
            at,
            path: None,
            notes: Vec::new(),
            hint: None,
        }
    }

    /// A warning at a place.
    pub fn warning(code: Code, at: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, at, message)
        }
    }

    /// An error about a file that could not be read.
    pub fn unread(path: PathBuf, message: impl Into<String>) -> Self {
        Self {
            at: None,
            path: Some(path),
            ..Self::error(Code::File, Span::BUILT_IN, message)
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what to do, where there is something to say.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn note(mut self, at: Span, what: impl Into<String>) -> Self {
        self.notes.push((at, what.into()));
        self
    }
}

/// All findings of one `load`, with the sources they point into.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    /// Errors first, each kind in the order of files and places; at most [`MAX_SHOWN`].
    pub items: Vec<Diagnostic>,
    /// How many more there were.
    pub more: usize,
    sources: Arc<Sources>,
}

impl Diagnostics {
    /// Sorts, drops what is said twice, and keeps the first [`MAX_SHOWN`].
    pub fn new(mut items: Vec<Diagnostic>, sources: Arc<Sources>) -> Self {
        items.sort_by(|a, b| (a.severity, a.at, a.code, &a.message).cmp(&(b.severity, b.at, b.code, &b.message)));
        items.dedup();
        let more = items.len().saturating_sub(MAX_SHOWN);
        items.truncate(MAX_SHOWN);
        Self { items, more, sources }
    }

    /// True when nothing stands in the way.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The files that the findings point into.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

/// The nearest of `known` to `given`, if it is near enough to be meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(given, word), word));
    let (distance, word) = scored.min_by_key(|(distance, word)| (*distance, word.len()))?;
    (distance <= 1 + given.chars().count() / 4).then_some(word)
}

/// `did you mean …?`, else the list of what is known, if that is short.
pub fn suggest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let all: Vec<&str> = known.into_iter().collect();
    if let Some(word) = nearest(given, all.iter().copied()) {
        return Some(format!("did you mean `{word}`?"));
    }
    (1..=30)
        .contains(&all.len())
        .then(|| format!("known here: {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;
    use serde_json::json;
    use std::path::Path;

    fn sources() -> (Arc<Sources>, FileId) {
        let mut sources = Sources::default();
        let file = sources.add(
            Path::new("/sys"),
            "/sys/a/service.yaml".into(),
            "service: a\nrnu: sh\nküche: { über: 1 }\n",
        );
        (Arc::new(sources), file)
    }

    fn at(file: FileId, start: u32, end: u32) -> Span {
        Span { file, start, end }
    }

    #[test]
    fn a_finding_shows_its_file_line_column_source_caret_and_hint() {
        let (sources, file) = sources();
        let finding = Diagnostic::error(Code::UnknownKey, at(file, 11, 14), "service.yaml has no key `rnu`");
        let finding = finding
            .hint("did you mean `run`?")
            .note(at(file, 9, 10), "in this service");
        let shown = Diagnostics::new(vec![finding], sources).render(false);
        let want = "\
error[MF-005]: service.yaml has no key `rnu`
 --> a/service.yaml:2:1
  |
1 | service: a
  |          - in this service
2 | rnu: sh
  | ^^^
  |
  = help: did you mean `run`?

";
        assert_eq!(shown, want);
    }

    #[test]
    fn columns_count_characters_and_json_says_the_same_place() {
        let (sources, file) = sources();
        let finding = Diagnostic::error(Code::Value, at(file, 29, 34), "x");
        let all = Diagnostics::new(vec![finding], sources);
        assert!(
            all.render(false).contains("a/service.yaml:3:10\n"),
            "{}",
            all.render(false)
        );
        let json = all.json();
        let one = &json["findings"][0];
        assert_eq!(
            (&one["file"], &one["line"], &one["column"]),
            (&json!("a/service.yaml"), &json!(3), &json!(10))
        );
        assert_eq!((&one["code"], &one["severity"]), (&json!("MF-008"), &json!("error")));
    }

    #[test]
    fn errors_come_before_warnings_once_each_and_the_rest_is_counted() {
        let (sources, file) = sources();
        let mut many: Vec<Diagnostic> = (0..150)
            .map(|n| Diagnostic::error(Code::Value, at(file, 0, 1), format!("{n}")))
            .collect();
        many.insert(0, Diagnostic::warning(Code::NoContract, at(file, 0, 1), "late"));
        many.push(many[5].clone());
        let all = Diagnostics::new(many, sources);
        assert_eq!(
            (all.items.len(), all.more, all.items[0].severity),
            (MAX_SHOWN, 51, Severity::Error)
        );
    }

    #[test]
    fn colour_is_only_there_when_asked_for() {
        let (sources, file) = sources();
        let all = Diagnostics::new(vec![Diagnostic::error(Code::Value, at(file, 0, 1), "x")], sources);
        assert!(all.render(true).contains('\u{1b}') && !all.render(false).contains('\u{1b}'));
    }

    #[test]
    fn only_a_near_word_is_suggested() {
        assert_eq!(nearest("depend_on", ["depends_on", "drain"]), Some("depends_on"));
        assert_eq!(nearest("xyz", ["depends_on", "drain"]), None);
        assert_eq!(suggest("xyz", ["run", "env"]).as_deref(), Some("known here: run, env"));
    }

    #[test]
    fn every_code_has_its_page() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
        for code in Code::ALL {
            let page = docs.join(format!("{}.md", code.code()));
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            assert!(
                text.starts_with(&format!("# {}", code.code())),
                "{} is missing",
                page.display()
            );
        }
    }
}
