//! What kind of project a folder holds, by the file that its tool reads, and which files its build depends on.

use std::path::Path;

/// A tool that builds or runs a project.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Rust.
    Cargo,
    /// JavaScript and TypeScript.
    Npm,
    /// Python.
    Python,
    /// Go.
    Go,
    /// Java.
    Maven,
}

/// Which files tell of which kind, the surest first.
pub const MARKERS: [(&str, Kind); 7] = [
    ("Cargo.toml", Kind::Cargo),
    ("go.mod", Kind::Go),
    ("pom.xml", Kind::Maven),
    ("package.json", Kind::Npm),
    ("pyproject.toml", Kind::Python),
    ("requirements.txt", Kind::Python),
    ("setup.py", Kind::Python),
];

/// The kind of project in `folder`.
pub fn of(folder: &Path) -> Option<Kind> {
    MARKERS
        .iter()
        .find(|(file, _)| folder.join(file).is_file())
        .map(|(_, kind)| *kind)
}

impl Kind {
    /// Globs of the files that a build depends on, relative to the project's folder. Folders that tools fill
    /// (`target`, `node_modules`, virtual environments) are left out by naming what is in.
    pub fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Cargo => &["Cargo.toml", "Cargo.lock", "build.rs", "src/**", "migrations/**"],
            Self::Npm => &[
                "package.json",
                "package-lock.json",
                "tsconfig.json",
                "*.js",
                "*.mjs",
                "*.cjs",
                "*.ts",
                "src/**",
                "lib/**",
                "static/**",
                "public/**",
            ],
            Self::Python => &[
                "pyproject.toml",
                "requirements*.txt",
                "setup.py",
                "setup.cfg",
                "*.py",
                "src/**/*.py",
                "app/**/*.py",
            ],
            Self::Go => &[
                "go.mod",
                "go.sum",
                "*.go",
                "cmd/**/*.go",
                "internal/**/*.go",
                "pkg/**/*.go",
            ],
            Self::Maven => &["pom.xml", "src/**"],
        }
    }
}
