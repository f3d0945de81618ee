//! The newest snapshot on disk, for the next proxy: written by a thread of its own, so that nobody waits for it.
//!
//! Without it the next proxy waits for the controller. Of snapshots that come faster than they are written only the
//! newest is. Dropping the keeper waits until the last one is written.

use ondol_core::id::BootId;
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::Snapshot;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Keeps snapshots in `.ondol/run/snapshot.json`.
pub struct Keeper {
    path: PathBuf,
    desk: Arc<Desk>,
    writer: Option<JoinHandle<()>>,
}

/// Where the next one to write lies.
#[derive(Default)]
struct Desk {
    next: Mutex<Next>,
    changed: Condvar,
}

#[derive(Default)]
struct Next {
    snapshot: Option<Arc<Snapshot>>,
    closed: bool,
}

impl Keeper {
    /// In this folder. The thread is begun by the first snapshot.
    pub fn new(run_dir: &Path) -> Self {
        Self {
            path: run_dir.join("snapshot.json"),
            desk: Arc::default(),
            writer: None,
        }
    }

    /// The snapshot on disk, if it is whole and of this boot.
    pub fn kept(&self, boot: &BootId) -> Option<Snapshot> {
        let text = std::fs::read(&self.path).ok()?;
        let snapshot: Snapshot = serde_json::from_slice(&text).ok()?;
        (snapshot.boot == *boot).then_some(snapshot)
    }

    /// Has it written, unless a newer one comes first.
    pub fn keep(&mut self, snapshot: Arc<Snapshot>) {
        self.desk.lock().snapshot = Some(snapshot);
        self.desk.changed.notify_one();
        if self.writer.is_none() {
            let (desk, path) = (self.desk.clone(), self.path.clone());
            match Tasks::thread("snapshot", move || desk.write_all(&path)) {
                Ok(writer) => self.writer = Some(writer),
                Err(error) => tell(&error),
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            // It panics nowhere; if it did, the next proxy finds an older snapshot or none.
            let _ = writer.join();
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, path: &Path) {
        while let Some(snapshot) = self.next() {
            if let Err(error) = write(path, &snapshot) {
                tell(&error);
            }
        }
    }

    /// Waits for the next one; `None`: there will be no other.
    fn next(&self) -> Option<Arc<Snapshot>> {
        let waits = |next: &mut Next| next.snapshot.is_none() && !next.closed;
        let next = self.changed.wait_while(self.lock(), waits);
        next.unwrap_or_else(PoisonError::into_inner).snapshot.take()
    }
}

/// Whole or not at all, also where another proxy writes one: while one hands over to the other there are two.
fn write(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let new = path.with_extension(format!("json.{}", std::process::id()));
    let mut file = io::BufWriter::new(std::fs::File::create(&new)?);
    serde_json::to_writer(&mut file, snapshot)?;
    file.flush()?;
    std::fs::rename(new, path)
}

fn tell(error: &io::Error) {
    tracing::warn!(code = "GW-042", %error, "the snapshot could not be kept on disk");
}
