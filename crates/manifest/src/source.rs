//! The files that were read, and places in them.
//!
//! A [`Span`] is a file number and two byte offsets, so that it costs nothing to keep one beside every value; lines and
//! columns are worked out only when somebody is told about them.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which file, as an index into [`Sources`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(pub(crate) u32);

impl FileId {
    /// Values that no file gave: the built-in defaults.
    pub const BUILT_IN: Self = Self(u32::MAX);
}

/// A range of bytes in a file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// Beyond the last byte.
    pub end: u32,
}

impl Span {
    /// Where defaults come from.
    pub const BUILT_IN: Self = Self {
        file: FileId::BUILT_IN,
        start: 0,
        end: 0,
    };

    /// The part from `from` to `to`, relative to this span's start and cut to it.
    pub fn part(self, from: usize, to: usize) -> Self {
        let cut = |offset: usize| {
            self.end
                .min(self.start.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX)))
        };
        Self {
            start: cut(from),
            end: cut(to),
            ..self
        }
    }
}

/// A value and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At<T> {
    /// What.
    pub value: T,
    /// Where.
    pub at: Span,
}

impl<T> At<T> {
    /// The same place with another value.
    pub fn with<U>(&self, value: U) -> At<U> {
        At { value, at: self.at }
    }
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A place as people count: lines and columns from 1, columns in characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Place {
    /// As [`show_path`] shows it.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// Absolute.
    pub path: PathBuf,
    /// As people are told it, by [`show_path`].
    pub shown: String,
    /// All of it.
    pub text: Arc<str>,
}

/// All files that were read, by [`FileId`].
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Takes in a file. `root` is the system's folder.
    pub fn add(&mut self, root: &Path, path: PathBuf, text: &str) -> FileId {
        let shown = show_path(root, &path);
        self.files.push(Source {
            path,
            shown,
            text: text.into(),
        });
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX - 1))
    }

    /// The file, unless the value was built in.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }

    /// Every file, in the order in which they were read.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.files.iter()
    }

    /// The text at `span`; empty for what is built in.
    pub fn slice(&self, span: Span) -> &str {
        let text = self.get(span.file).map_or("", |source| &*source.text);
        text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Where `span` starts, as people count. `None` for what is built in.
    pub fn place(&self, span: Span) -> Option<Place> {
        self.place_at(span.file, span.start)
    }

    /// Where `offset` lies in `file`.
    pub fn place_at(&self, file: FileId, offset: u32) -> Option<Place> {
        let source = self.get(file)?;
        let mut offset = (offset as usize).min(source.text.len());
        while !source.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &source.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some(Place {
            file: source.shown.clone(),
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }
}

/// `path` relative to `root`, where they have more in common than the root of all files; both absolute.
pub fn show_path(root: &Path, path: &Path) -> String {
    let common = root.components().zip(path.components());
    let common = common.take_while(|(ours, theirs)| ours == theirs).count();
    if common < 2 {
        return path.display().to_string();
    }
    let up = std::iter::repeat_n(Path::new(".."), root.components().count() - common);
    let down = path.components().skip(common).map(|part| Path::new(part.as_os_str()));
    up.chain(down).collect::<PathBuf>().display().to_string()
}

/// Joins and takes `.` and `..` out by name, without asking the disk; links therefore count as the folders they name.
pub fn join(base: &Path, path: &str) -> PathBuf {
    let mut out = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add(Path::new("/sys"), "/sys/a/b.yaml".into(), "x: 1\nÿé: 2\n");
        let place = |start| {
            sources
                .place(Span {
                    file,
                    start,
                    end: start,
                })
                .map(|p| (p.file, p.line, p.column))
        };
        assert_eq!(place(0), Some(("a/b.yaml".into(), 1, 1)));
        assert_eq!(place(9), Some(("a/b.yaml".into(), 2, 3)));
        assert_eq!(place(900), Some(("a/b.yaml".into(), 3, 1)));
        assert_eq!(sources.place(Span::BUILT_IN), None);
    }

    #[test]
    fn files_are_shown_relative_to_the_system_s_folder_where_that_says_more() {
        let cases = [
            ("/home/a/shop/orders/service.yaml", "orders/service.yaml"),
            ("/home/a/bank/service.yaml", "../bank/service.yaml"),
            ("/home/b/service.yaml", "../../b/service.yaml"),
            ("/srv/service.yaml", "/srv/service.yaml"),
        ];
        for (path, shown) in cases {
            assert_eq!(show_path(Path::new("/home/a/shop"), Path::new(path)), shown);
        }
    }

    #[test]
    fn joining_takes_dots_out() {
        assert_eq!(join(Path::new("/a/b/c"), "../../x/./y"), Path::new("/a/x/y"));
        assert_eq!(join(Path::new("/a"), "../../.."), Path::new("/"));
        assert_eq!(join(Path::new("/a"), "/z"), Path::new("/z"));
    }
}
