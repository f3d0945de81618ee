//! What a build's or a service's content hash covers: files by glob, their relative paths and their bytes.

use aws_lc_rs::digest::{Context, SHA256};
use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// More files than this is a mistake in a glob, such as one that takes in `target/`.
const MAX_FILES: usize = 50_000;

/// Folders that no build's inputs lie in.
const NEVER: [&str; 5] = ["target", "node_modules", ".git", ".ondol", "__pycache__"];

/// Why inputs could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Not a glob.
    #[error("`{glob}` is not a glob: {why}")]
    Glob {
        /// The text.
        glob: String,
        /// What is wrong.
        why: String,
    },
    /// A file could not be read.
    #[error("input {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The globs take in too much.
    #[error("the inputs take in more than {MAX_FILES} files, the last glob was `{glob}`")]
    TooMany {
        /// The glob that went over.
        glob: String,
    },
}

/// The files that absolute `globs` take in, sorted, each once. `x/**` takes in everything below `x`.
///
/// # Errors
/// [`InputError`] for a bad glob, an unreadable folder, or more than 50,000 files.
pub fn files(globs: &[String]) -> Result<Vec<PathBuf>, InputError> {
    let mut out = Vec::new();
    for pattern in globs {
        let whole = if pattern.ends_with("/**") {
            format!("{pattern}/*")
        } else {
            pattern.clone()
        };
        let paths = glob::glob(&whole).map_err(|error| InputError::Glob {
            glob: pattern.clone(),
            why: error.msg.to_owned(),
        })?;
        for path in paths {
            let path = path.map_err(|error| InputError::Read {
                path: error.path().to_path_buf(),
                source: io::Error::new(error.error().kind(), error.error().to_string()),
            })?;
            if !in_ignored_folder(&path, &fixed_part(pattern)) && path.is_file() {
                out.push(path);
            }
            if out.len() > MAX_FILES {
                return Err(InputError::TooMany { glob: pattern.clone() });
            }
        }
    }
    out.sort();
    out.dedup();
    Ok(out)
}

/// The part of a glob before its first wildcard.
pub(crate) fn fixed_part(glob: &str) -> PathBuf {
    Path::new(glob)
        .components()
        .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
        .collect()
}

/// Whether a build's own output or a tool's folder is on the way from `base` to `path`. What lies above `base` does not
/// count: a whole system may live in somebody's `target/`.
pub fn in_ignored_folder(path: &Path, base: &Path) -> bool {
    path.strip_prefix(base)
        .unwrap_or(path)
        .components()
        .any(|part| NEVER.iter().any(|never| part.as_os_str() == *never))
}

/// SHA-256 in hex over `salt` (what is run), and of each file its path and content.
///
/// # Errors
/// [`InputError`] as [`files`], or when a file cannot be read.
pub fn hash(salt: &[&str], globs: &[String]) -> Result<String, InputError> {
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_le_bytes());
        context.update(bytes);
    };
    salt.iter().for_each(|text| part(text.as_bytes()));
    for path in files(globs)? {
        part(path.as_os_str().as_encoded_bytes());
        let content = file_hash(&path).map_err(|source| InputError::Read { path, source })?;
        part(content.as_bytes());
    }
    Ok(hex(context.finish().as_ref()))
}

/// SHA-256 of one file in hex.
///
/// # Errors
/// Those of opening and reading it.
pub fn file_hash(path: &Path) -> io::Result<String> {
    let (mut context, mut file, mut buffer) = (Context::new(&SHA256), File::open(path)?, vec![0; 64 << 10]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(context.finish().as_ref())),
            n => context.update(&buffer[..n]),
        }
    }
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // Writing to a String cannot fail.
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Vec<String>) {
        let dir = tempfile::tempdir().expect("folder");
        for (name, text) in [("a.rs", "1"), ("sub/b.rs", "2"), ("target/c.rs", "3"), ("d.txt", "4")] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, text).expect("write");
        }
        let globs = vec![format!("{}/**/*.rs", dir.path().display())];
        (dir, globs)
    }

    #[test]
    fn globs_take_in_files_but_no_build_output() {
        let (dir, globs) = tree();
        let names: Vec<_> = files(&globs)
            .expect("files")
            .iter()
            .map(|p| p.file_name().map(|n| n.to_owned()))
            .collect();
        assert_eq!(names, [Some("a.rs".into()), Some("b.rs".into())]);
        let all = files(&[format!("{}/**", dir.path().display())]).expect("files");
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn a_system_below_a_folder_with_such_a_name_has_inputs_too() {
        let dir = tempfile::tempdir().expect("folder");
        let below = dir.path().join("target/system/src");
        std::fs::create_dir_all(&below).expect("folder");
        std::fs::write(below.join("a.rs"), "1").expect("write");
        let glob = format!("{}/target/system/**", dir.path().display());
        assert_eq!(files(&[glob]).expect("files").len(), 1);
    }

    #[test]
    fn content_names_and_salt_change_the_hash_and_a_touch_does_not() {
        let (dir, globs) = tree();
        let first = hash(&["cargo build"], &globs).expect("hash");
        std::fs::write(dir.path().join("a.rs"), "1").expect("same content");
        assert_eq!(hash(&["cargo build"], &globs).expect("hash"), first);
        assert_ne!(hash(&["cargo build -r"], &globs).expect("hash"), first);
        std::fs::rename(dir.path().join("a.rs"), dir.path().join("e.rs")).expect("rename");
        assert_ne!(hash(&["cargo build"], &globs).expect("hash"), first);
    }

    #[test]
    fn a_bad_glob_is_named() {
        assert!(matches!(files(&["/x/***".into()]), Err(InputError::Glob { .. })));
    }
}
