//! The supervisor's folder `.ondol/`: its layout, the lock that keeps a second supervisor out, and the system's id.

use crate::SupervisorError;
use ondol_core::entropy::Entropy;
use ondol_core::id::BootId;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder, locked as long as this lives.
#[derive(Debug)]
pub(crate) struct Home {
    pub folder: PathBuf,
    pub boot: BootId,
    _lock: File,
}

impl Home {
    /// Takes the lock and makes this boot's id.
    ///
    /// # Errors
    /// [`SupervisorError::AlreadyRuns`] when another process holds the lock; otherwise what the folder refused.
    pub(crate) fn open(root: &Path, entropy: &dyn Entropy) -> Result<Self, SupervisorError> {
        let folder = root.join(".ondol");
        for path in [&folder, &folder.join("run"), &folder.join("logs")] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(SupervisorError::folder("create", path))?;
        }
        let lock = take_lock(root, &folder.join("supervisor.lock"))?;
        let boot = BootId {
            system: system_id(&folder.join("id"), entropy)?,
            boot: hex(entropy),
        };
        Ok(Self {
            folder,
            boot,
            _lock: lock,
        })
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.folder.join("run")
    }
}

fn take_lock(root: &Path, path: &Path) -> Result<File, SupervisorError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(SupervisorError::folder("open", path))?;
    let mut pid = String::new();
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            file.read_to_string(&mut pid)
                .map_err(SupervisorError::folder("read", path))?;
            return Err(SupervisorError::AlreadyRuns {
                pid: pid.trim().to_owned(),
                root: root.to_path_buf(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(SupervisorError::folder("lock", path)(error)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(SupervisorError::folder("write", path))?;
    Ok(file)
}

/// The id kept in the folder, made once. A file that holds no id is replaced: nothing of ours can carry it.
fn system_id(path: &Path, entropy: &dyn Entropy) -> Result<String, SupervisorError> {
    if let Ok(text) = fs::read_to_string(path) {
        let text = text.trim();
        if text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(text.to_owned());
        }
    }
    let id = hex(entropy);
    write_whole(path, format!("{id}\n").as_bytes()).map_err(SupervisorError::folder("write", path))?;
    Ok(id)
}

fn hex(entropy: &dyn Entropy) -> String {
    entropy.bytes16().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file so that a reader, or a start after a crash, sees the old one or the new one, never a part.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
