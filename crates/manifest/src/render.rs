//! Findings as people and tools are shown them: the source with a caret and a hint, and JSON.

use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::source::Span;
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::{Value, json};

impl Diagnostics {
    /// For people: each finding with its source, a caret and a hint. `colour` adds ANSI sequences.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut out = String::new();
        for item in &self.items {
            out.push_str(&self.render_one(item, &renderer));
            out.push_str("\n\n");
        }
        if self.more > 0 {
            out.push_str(&format!("and {} more\n", self.more));
        }
        out
    }

    fn render_one(&self, item: &Diagnostic, renderer: &Renderer) -> String {
        let level = match item.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let code = item.code.code();
        let mut title = item.message.clone();
        if let (None, Some(path)) = (item.at, &item.path) {
            title = format!("{}: {title}", path.display());
        }
        let mut group = level
            .primary_title(title)
            .id(code.as_str().to_owned())
            .elements(self.snippets(item));
        if let Some(hint) = &item.hint {
            group = group.element(Level::HELP.message(hint.clone()));
        }
        renderer.render(&[group])
    }

    /// One snippet per file, the finding's own first.
    fn snippets<'a>(&'a self, item: &'a Diagnostic) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let places = item.at.iter().map(|at| (*at, "", AnnotationKind::Primary));
        let notes = item
            .notes
            .iter()
            .map(|(at, what)| (*at, what.as_str(), AnnotationKind::Context));
        let mut by_file: Vec<(crate::source::FileId, Vec<annotate_snippets::Annotation<'a>>)> = Vec::new();
        for (at, label, kind) in places.chain(notes) {
            let Some(source) = self.sources().get(at.file) else {
                continue;
            };
            let range = visible(&source.text, at);
            let annotation = if label.is_empty() {
                kind.span(range)
            } else {
                kind.span(range).label(label)
            };
            match by_file.iter_mut().find(|(file, _)| *file == at.file) {
                Some((_, list)) => list.push(annotation),
                None => by_file.push((at.file, vec![annotation])),
            }
        }
        let files = by_file
            .into_iter()
            .filter_map(|(file, list)| Some((self.sources().get(file)?, list)));
        files
            .map(|(source, list)| {
                Snippet::source(&*source.text)
                    .path(source.shown.as_str())
                    .annotations(list)
            })
            .collect()
    }

    /// For tools: a list of findings with file, line and column from 1.
    pub fn json(&self) -> Value {
        json!({ "findings": self.items.iter().map(|item| self.json_one(item)).collect::<Vec<_>>(), "more": self.more })
    }

    fn json_one(&self, item: &Diagnostic) -> Value {
        let place = |at: Span| {
            let start = self.sources().place(at)?;
            let end = self.sources().place_at(at.file, at.end)?;
            Some(json!({
                "file": start.file, "line": start.line, "column": start.column,
                "end_line": end.line, "end_column": end.column,
            }))
        };
        let mut out = item.at.and_then(place).unwrap_or_else(|| json!({}));
        if let (None, Some(path)) = (item.at, &item.path) {
            out["file"] = json!(path.display().to_string());
        }
        out["code"] = json!(item.code.code().as_str());
        out["severity"] = json!(if item.severity == Severity::Error {
            "error"
        } else {
            "warning"
        });
        out["message"] = json!(item.message);
        if let Some(hint) = &item.hint {
            out["hint"] = json!(hint);
        }
        let notes: Vec<Value> = item
            .notes
            .iter()
            .filter_map(|(at, what)| {
                let mut note = place(*at)?;
                note["message"] = json!(what);
                Some(note)
            })
            .collect();
        if !notes.is_empty() {
            out["notes"] = json!(notes);
        }
        out
    }
}

/// What is underlined: the first line of the span, at least one byte wide where the file has one.
fn visible(text: &str, at: Span) -> std::ops::Range<usize> {
    let start = (at.start as usize).min(text.len());
    let end = (at.end as usize).clamp(start, text.len());
    let first_line = text[start..end].find('\n').map_or(end, |offset| start + offset);
    let wide = text[start..]
        .chars()
        .next()
        .filter(|c| *c != '\n')
        .map_or(0, char::len_utf8);
    start..first_line.max(start + wide)
}
