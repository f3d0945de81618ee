//! The disk as far as manifests need it: text files with a limit, folders by pattern.

use crate::diagnostic::Code;
use crate::source::join;
use std::path::{Path, PathBuf};

/// Services of one system.
pub(crate) const MAX_SERVICES: usize = 500;

/// Why a file cannot be read, in words without numbers.
pub(crate) fn why_unread(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "this user may not read it".into(),
        std::io::ErrorKind::IsADirectory => "a folder, not a file".into(),
        _ => error.to_string(),
    }
}

pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, (Code, String)> {
    let size = std::fs::metadata(path)
        .map_err(|error| (Code::File, why_unread(&error)))?
        .len();
    if size > limit {
        return Err((Code::Limit, format!("larger than {} KiB", limit / 1024)));
    }
    let bytes = std::fs::read(path).map_err(|error| (Code::File, why_unread(&error)))?;
    String::from_utf8(bytes).map_err(|_| (Code::File, "not UTF-8 text".into()))
}

/// Folders that fit a pattern whose segments may hold `*`. Hidden ones only by name.
pub(crate) fn expand(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![if pattern.starts_with('/') {
        PathBuf::from("/")
    } else {
        root.to_path_buf()
    }];
    for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
        if !segment.contains('*') {
            found = found.iter().map(|folder| join(folder, segment)).collect();
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let Ok(entries) = std::fs::read_dir(folder) else {
                continue;
            };
            let names = entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned());
            let fitting = names.filter(|name| !name.starts_with('.') && wildcard(segment, name));
            next.extend(fitting.map(|name| folder.join(name)).filter(|path| path.is_dir()));
        }
        next.sort();
        next.truncate(MAX_SERVICES * 4);
        found = next;
    }
    found
}

/// Whether `name` fits `pattern`, where `*` stands for any text.
fn wildcard(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_any_text() {
        for (pattern, name, want) in [
            ("*", "orders", true),
            ("bank-*", "bank-north", true),
            ("bank-*", "orders", false),
            ("*-a-*", "x-a-y", true),
            ("a*a", "a", false),
            ("a*b*c", "a1b2c", true),
            ("orders", "orders", true),
            ("orders", "orders2", false),
        ] {
            assert_eq!(wildcard(pattern, name), want, "{pattern} {name}");
        }
    }
}
