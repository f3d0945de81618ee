//! A world for tests: fixed variables, programs and versions.

use crate::Env;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Variables and programs as given.
#[derive(Default)]
pub struct FixedEnv {
    variables: BTreeMap<String, String>,
    programs: BTreeMap<String, String>,
}

impl FixedEnv {
    pub fn with(variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Self {
            variables,
            programs: BTreeMap::new(),
        }
    }

    pub fn programs(mut self, programs: &[(&str, &str)]) -> Self {
        self.programs = programs
            .iter()
            .map(|(name, version)| (name.to_string(), version.to_string()))
            .collect();
        self
    }
}

impl Env for FixedEnv {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }
    fn program(&self, name: &str) -> Option<PathBuf> {
        self.programs.contains_key(name).then(|| Path::new("/bin").join(name))
    }
    fn version(&self, program: &Path) -> Option<String> {
        self.programs.get(program.file_name()?.to_str()?).cloned()
    }
}
