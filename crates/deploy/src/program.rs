//! What a service runs, kept by its content under `.ondol/builds/SERVICE/HASH/`, so that a later build never changes what a
//! running generation restarts.
//!
//! No hard link: a tool that writes into its old output would change what runs, or be refused because it runs. A script
//! (`#!`) and a link (the `python` of a virtual environment) run where they are, since they find their other files from
//! there; then they and the service's inputs are the content.
//! Tests: in `builds.rs`.

use crate::builds::{BuildError, Builds};
use crate::config::ServicePlan;
use crate::inputs;
use ondol_core::id::ServiceName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Programs kept for each service: the running one, the one before, and one more.
pub(crate) const KEPT: usize = 3;

/// What a service runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Program {
    /// Of the program's bytes or, where nothing is compiled, of the service's inputs.
    pub hash: String,
    /// The kept program; `None`: the first word of `run` as it stands.
    pub path: Option<PathBuf>,
}

/// What came of a build, by service.
pub type Programs = BTreeMap<ServiceName, Program>;

impl Builds {
    /// Keeps what the service runs and names it by its content.
    ///
    /// # Errors
    /// [`BuildError`] when `run:` names a program that is not there.
    pub fn keep(&self, service: &ServicePlan, build: Option<&str>) -> Result<Program, BuildError> {
        let first = service.run.first().map(String::as_str).unwrap_or_default();
        if !first.contains('/') || first.contains("${") {
            let hash = self.of_inputs(service, &[&service.run.join(" ")])?;
            return Ok(Program { hash, path: None });
        }
        let path = service.dir.join(first);
        let failed = |source| BuildError::Keep {
            path: path.clone(),
            source,
        };
        if !path.is_file() {
            return Err(BuildError::NoProgram {
                service: service.service.clone(),
                path,
                build: build.map(Into::into),
            });
        }
        let hash = inputs::file_hash(&path).map_err(failed)?;
        if runs_in_place(&path).map_err(failed)? {
            let hash = self.of_inputs(service, &[&hash, &service.run.join(" ")])?;
            return Ok(Program { hash, path: Some(path) });
        }
        let kept = self.copy(&service.service, &path, &hash).map_err(failed)?;
        Ok(Program { hash, path: Some(kept) })
    }

    fn of_inputs(&self, service: &ServicePlan, salt: &[&str]) -> Result<String, BuildError> {
        inputs::hash(salt, &service.inputs).map_err(|source| BuildError::Inputs {
            build: service.service.to_string(),
            source,
        })
    }

    fn copy(&self, service: &ServiceName, path: &Path, hash: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join(service.as_str()).join(&hash[..16]);
        let kept = folder.join(path.file_name().unwrap_or(path.as_os_str()));
        if !kept.is_file() {
            std::fs::create_dir_all(&folder)?;
            let half = folder.join(".half");
            let copied = std::fs::copy(path, &half).and_then(|_| std::fs::rename(&half, &kept));
            if let Err(error) = copied {
                // Half a program would keep a full disk full. What refuses to go is written over by the next copy.
                let _ = std::fs::remove_file(&half);
                return Err(error);
            }
        }
        Ok(kept)
    }

    /// Removes all but the newest [`KEPT`] programs of a service that runs nothing but `current`.
    ///
    /// # Errors
    /// Those of the file system; what is left is tried again the next time.
    pub(crate) fn forget_old(&self, service: &ServiceName, current: &Program) -> io::Result<()> {
        let all = self.folder.join(service.as_str());
        let current = current.path.as_deref().and_then(Path::parent);
        if !all.is_dir() {
            return Ok(());
        }
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&all)? {
            let entry = entry?;
            if Some(entry.path().as_path()) != current {
                kept.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(KEPT - 1);
        kept.iter()
            .take(surplus)
            .try_for_each(|(_, path)| std::fs::remove_dir_all(path))
    }
}

fn runs_in_place(path: &Path) -> io::Result<bool> {
    if path.symlink_metadata()?.is_symlink() {
        return Ok(true);
    }
    let mut first = Vec::with_capacity(2);
    File::open(path)?.take(2).read_to_end(&mut first)?;
    Ok(first == b"#!")
}
