//! Where a system lives: the folder of `ondol.yaml` and `.ondol/` beside it.

use anyhow::{Context, bail};
use ondol_core::entropy::{Entropy, SystemEntropy};
use ondol_core::wire::supervision_client::SupervisorClient;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A system's folder, absolute.
#[derive(Clone, Debug)]
pub struct Home {
    /// The folder of `ondol.yaml`.
    pub root: PathBuf,
}

impl Home {
    /// The nearest folder, from `start` upwards, that holds `ondol.yaml`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(start: &Path) -> anyhow::Result<Self> {
        let start = start
            .canonicalize()
            .with_context(|| format!("CL-001: no system can be looked for in {}", start.display()))?;
        match start.ancestors().find(|folder| folder.join("ondol.yaml").is_file()) {
            Some(root) => Ok(Self {
                root: root.to_path_buf(),
            }),
            None => bail!(
                "CL-001: there is no ondol.yaml in {} or above it; `ondol init` writes one, `-C FOLDER` looks elsewhere",
                start.display()
            ),
        }
    }

    /// `.ondol`.
    pub fn state(&self) -> PathBuf {
        self.root.join(".ondol")
    }

    /// `.ondol/run`.
    pub fn run(&self) -> PathBuf {
        self.state().join("run")
    }

    /// `.ondol/access`: the proxy's access log.
    pub fn access(&self) -> PathBuf {
        self.state().join("access")
    }

    /// Asks this system's supervisor.
    pub fn supervisor(&self) -> SupervisorClient {
        SupervisorClient::new(&self.root)
    }

    /// Makes `.ondol` (mode 0700) and what is in it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn prepare(&self) -> anyhow::Result<()> {
        for folder in [
            self.state(),
            self.run(),
            self.state().join("data"),
            self.state().join("logs"),
        ] {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(())
    }

    /// The admin API's token, made once.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn token(&self) -> anyhow::Result<String> {
        Ok(hex(&self.kept_secret("token")?))
    }

    /// The key of service tokens, made once.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn secret(&self) -> anyhow::Result<Vec<u8>> {
        self.kept_secret("secret")
    }

    /// 32 random bytes in hex in `.ondol/NAME`, mode 0600, made when it is not there. Two processes that make it at the
    /// same time end with the same one, since the file appears whole or not at all.
    fn kept_secret(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.state().join(name);
        if !path.exists() {
            let half = self.state().join(format!(".{name}.{}", std::process::id()));
            let bytes = [SystemEntropy.bytes16(), SystemEntropy.bytes16()].concat();
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&half)?;
            file.write_all(hex(&bytes).as_bytes())?;
            file.sync_all()?;
            match std::fs::hard_link(&half, &path) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error)?,
                _ => std::fs::remove_file(&half)?,
            }
            File::open(self.state())?.sync_all()?;
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        unhex(text.trim()).with_context(|| format!("{} holds no hex secret; remove it and start anew", path.display()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes.filter(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_system_is_found_from_below_and_its_secrets_are_private_and_stay() {
        let dir = tempfile::tempdir().expect("folder");
        std::fs::create_dir_all(dir.path().join("services/orders")).expect("folder");
        assert!(Home::find(dir.path()).is_err());
        std::fs::write(dir.path().join("ondol.yaml"), "").expect("write");
        let home = Home::find(&dir.path().join("services/orders")).expect("found");
        home.prepare().expect("prepared");
        let token = home.token().expect("token");
        assert_eq!((token.len(), home.token().expect("again")), (64, token.clone()));
        assert_ne!(hex(&home.secret().expect("secret")), token);
        let mode = std::fs::metadata(home.state().join("token"))
            .expect("stat")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
