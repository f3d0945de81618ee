//! A disk that forgets what was not synced: it decides what survives a power cut. `vfs.rs` puts SQLite on top.
//!
//! Every file has two images: what was written, which reads see, and what is durable. A sync makes the first the second.
//! At a cut all work stops; at [`Disk::power_on`] each file comes back as its durable image plus any subset of the
//! sectors written since, as POSIX allows. A file that was never synced may be gone.
//!
//! Invariants
//! - Work that began before a cut fails for ever after: an open file belongs to the power cycle that opened it.
//! - What one seed decides is what survives; in which order threads write is theirs.
//!
//! Not here: bit rot, reordering within one sector, directories (a file's entry becomes durable with its first sync).
//! Tests: below; with the store on top in `crates/store/tests/powercut.rs`.

mod vfs;

use ondol_core::entropy::SharedEntropy;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The unit in which a write may be torn, in bytes.
const SECTOR: usize = 512;

/// Why the disk did not do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskError {
    /// There is no power, or there was none in between.
    Cut,
    /// No space is left.
    Full,
    /// The sync failed, and what it should have made durable is dropped, as Linux does.
    SyncFailed,
    /// No such file.
    Missing,
}

/// A change that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { size: usize },
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(bytes);
            }
            Self::Truncate { size } => image.resize(*size, 0),
        }
    }

    /// The change cut along the disk's sectors.
    fn sectors(self) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else {
            return vec![self];
        };
        let mut parts = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let until = ((offset + at) / SECTOR + 1) * SECTOR - offset;
            let until = until.min(bytes.len());
            parts.push(Self::Write {
                offset: offset + at,
                bytes: bytes[at..until].to_vec(),
            });
            at = until;
        }
        parts
    }
}

#[derive(Default)]
struct File {
    written: Vec<u8>,
    /// `None`: its entry is not durable.
    durable: Option<Vec<u8>>,
    since: Vec<Change>,
}

struct State {
    files: BTreeMap<String, File>,
    entropy: SharedEntropy,
    /// Power cycles so far.
    cycle: u64,
    /// Changes and syncs so far.
    work: u64,
    /// The amount of work at which the power is cut.
    cut_at: Option<u64>,
    powered: bool,
    syncs_lie: bool,
    failing_syncs: bool,
    space: Option<usize>,
}

/// The disk. A clone is the same disk.
#[derive(Clone)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// An empty disk with power; `entropy` decides what survives cuts.
    pub fn new(entropy: SharedEntropy) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            entropy,
            cycle: 0,
            work: 0,
            cut_at: None,
            powered: true,
            syncs_lie: false,
            failing_syncs: false,
            space: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power after so many more changes and syncs; `None`: not by itself.
    pub fn cut_after(&self, work: Option<u64>) {
        let mut state = self.state();
        state.cut_at = work.map(|work| state.work + work);
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.state().powered = false;
    }

    /// True after a cut, until [`Disk::power_on`].
    pub fn is_cut(&self) -> bool {
        !self.state().powered
    }

    /// Whether syncs say yes and do nothing: what a store looks like whose fsync was taken out.
    pub fn let_syncs_lie(&self, lie: bool) {
        self.state().syncs_lie = lie;
    }

    /// Whether syncs fail, and drop what they should have made durable.
    pub fn let_syncs_fail(&self, fail: bool) {
        self.state().failing_syncs = fail;
    }

    /// How many bytes all files together may have; `None`: no bound.
    pub fn limit(&self, space: Option<usize>) {
        self.state().space = space;
    }

    /// Bytes of all files, as written.
    pub fn used(&self) -> usize {
        self.state().files.values().map(|file| file.written.len()).sum()
    }

    /// Gives power again: every file comes back with what survived.
    pub fn power_on(&self) {
        let mut state = self.state();
        let entropy = state.entropy.clone();
        let files = std::mem::take(&mut state.files);
        for (path, file) in files {
            // An unsynced entry survives or does not.
            let Some(mut image) = file.durable.or_else(|| (entropy.below(2) == 0).then(Vec::new)) else {
                continue;
            };
            // Per file: nothing, everything or any subset of the sectors written since.
            let mood = entropy.below(3);
            for part in file.since.into_iter().flat_map(Change::sectors) {
                if mood == 1 || (mood == 2 && entropy.below(2) == 0) {
                    part.apply(&mut image);
                }
            }
            state.files.insert(
                path,
                File {
                    written: image.clone(),
                    durable: Some(image),
                    since: Vec::new(),
                },
            );
        }
        state.cycle += 1;
        state.powered = true;
        state.cut_at = None;
    }
}

/// An open file: usable until the next cut.
struct Handle {
    disk: Disk,
    path: String,
    cycle: u64,
}

impl State {
    /// Counts one change or sync, and cuts the power when its time has come.
    fn work(&mut self) -> Result<(), DiskError> {
        self.work += 1;
        if self.cut_at.is_some_and(|at| self.work >= at) {
            self.powered = false;
        }
        if self.powered { Ok(()) } else { Err(DiskError::Cut) }
    }

    fn file(&mut self, path: &str) -> Result<&mut File, DiskError> {
        self.files.get_mut(path).ok_or(DiskError::Missing)
    }
}

impl Disk {
    fn open(&self, path: &str, create: bool) -> Result<Handle, DiskError> {
        let mut state = self.state();
        if !state.powered {
            return Err(DiskError::Cut);
        }
        if !state.files.contains_key(path) {
            if !create {
                return Err(DiskError::Missing);
            }
            state.files.insert(path.to_owned(), File::default());
        }
        Ok(Handle {
            disk: self.clone(),
            path: path.to_owned(),
            cycle: state.cycle,
        })
    }

    fn exists(&self, path: &str) -> bool {
        self.state().files.contains_key(path)
    }

    /// Takes the file away at once, durably.
    fn delete(&self, path: &str) -> Result<(), DiskError> {
        let mut state = self.state();
        state.work()?;
        state.files.remove(path).map(drop).ok_or(DiskError::Missing)
    }
}

impl Handle {
    fn with<T>(&self, act: impl FnOnce(&mut State, &str) -> Result<T, DiskError>) -> Result<T, DiskError> {
        let mut state = self.disk.state();
        if !state.powered || state.cycle != self.cycle {
            return Err(DiskError::Cut);
        }
        act(&mut state, &self.path)
    }

    /// Reads from `offset` into `out`; gives how many bytes there were.
    fn read(&self, offset: usize, out: &mut [u8]) -> Result<usize, DiskError> {
        self.with(|state, path| {
            let from = state.file(path)?.written.get(offset..).unwrap_or_default();
            let count = from.len().min(out.len());
            out[..count].copy_from_slice(&from[..count]);
            Ok(count)
        })
    }

    fn size(&self) -> Result<usize, DiskError> {
        self.with(|state, path| Ok(state.file(path)?.written.len()))
    }

    fn change(&self, change: Change) -> Result<(), DiskError> {
        self.with(|state, path| {
            let cut = state.work();
            let used: usize = state.files.values().map(|file| file.written.len()).sum();
            let space = state.space;
            let file = state.file(path)?;
            if let (Change::Write { offset, bytes }, Some(space)) = (&change, space) {
                let grown = (offset + bytes.len()).saturating_sub(file.written.len());
                if grown > 0 && used + grown > space {
                    return Err(DiskError::Full);
                }
            }
            change.apply(&mut file.written);
            file.since.push(change);
            // The change at which the power goes may itself have reached the disk.
            cut
        })
    }

    fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), DiskError> {
        self.change(Change::Write {
            offset,
            bytes: bytes.to_vec(),
        })
    }

    fn truncate(&self, size: usize) -> Result<(), DiskError> {
        self.change(Change::Truncate { size })
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.with(|state, path| {
            state.work()?;
            let (lie, fail) = (state.syncs_lie, state.failing_syncs);
            let file = state.file(path)?;
            if fail {
                file.since.clear();
                return Err(DiskError::SyncFailed);
            }
            if !lie {
                let image = file.durable.get_or_insert_with(Vec::new);
                file.since.drain(..).for_each(|change| change.apply(image));
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondol_core::entropy::SeededEntropy;
    use std::collections::BTreeSet;

    fn contents(disk: &Disk) -> String {
        let Ok(file) = disk.open("f", false) else {
            return "gone".into();
        };
        let mut out = vec![0; file.size().expect("power")];
        file.read(0, &mut out).expect("power");
        String::from_utf8(out).expect("text")
    }

    /// Writes `synced`, syncs, writes `unsynced` behind it, cuts; gives every outcome of 200 seeds.
    fn outcomes(synced: &str, unsynced: &str, lie: bool) -> BTreeSet<String> {
        let run = |seed| {
            let disk = Disk::new(Arc::new(SeededEntropy::new(seed)));
            disk.let_syncs_lie(lie);
            let file = disk.open("f", true).expect("power");
            file.write(0, synced.as_bytes()).expect("power");
            file.sync().expect("power");
            file.write(synced.len(), unsynced.as_bytes()).expect("power");
            disk.cut();
            disk.power_on();
            assert_eq!(
                file.read(0, &mut [0]),
                Err(DiskError::Cut),
                "a file opened before the cut stays dead"
            );
            contents(&disk)
        };
        (0..200).map(run).collect()
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_may() {
        assert_eq!(outcomes("ab", "cd", false), ["ab", "abcd"].map(String::from).into());
    }

    #[test]
    fn when_syncs_lie_everything_may_be_lost() {
        assert_eq!(outcomes("ab", "", true), ["", "ab", "gone"].map(String::from).into());
    }

    #[test]
    fn a_write_over_many_sectors_is_torn_at_their_borders() {
        let long = "x".repeat(3 * SECTOR);
        let seen = outcomes("", &long, false);
        // 000, 001, 010, … of three sectors; a lost one before a kept one reads as zeros.
        assert_eq!(seen.len(), 8);
        assert!(seen.iter().all(|text| {
            text.as_bytes()
                .chunks(SECTOR)
                .all(|sector| sector.iter().all(|b| *b == sector[0]))
        }));
    }

    #[test]
    fn the_power_goes_at_the_counted_change() {
        let disk = Disk::new(Arc::new(SeededEntropy::new(1)));
        let file = disk.open("f", true).expect("power");
        disk.cut_after(Some(3));
        assert_eq!(
            (file.write(0, b"a"), file.sync(), file.write(1, b"b")),
            (Ok(()), Ok(()), Err(DiskError::Cut))
        );
        assert!(disk.is_cut());
        assert_eq!(disk.open("f", true).map(|_| ()), Err(DiskError::Cut));
    }

    #[test]
    fn a_full_disk_takes_no_more_and_loses_nothing() {
        let disk = Disk::new(Arc::new(SeededEntropy::new(1)));
        let file = disk.open("f", true).expect("power");
        disk.limit(Some(2));
        assert_eq!(
            (file.write(0, b"ab"), file.write(2, b"c"), file.write(0, b"x")),
            (Ok(()), Err(DiskError::Full), Ok(()))
        );
        disk.limit(None);
        assert_eq!((file.write(2, b"c"), contents(&disk).as_str()), (Ok(()), "xbc"));
    }

    #[test]
    fn a_failed_sync_drops_what_it_should_have_kept() {
        let disk = Disk::new(Arc::new(SeededEntropy::new(1)));
        let file = disk.open("f", true).expect("power");
        assert_eq!(
            (file.write(0, b"a"), file.sync(), file.write(0, b"b")),
            (Ok(()), Ok(()), Ok(()))
        );
        disk.let_syncs_fail(true);
        assert_eq!(file.sync(), Err(DiskError::SyncFailed));
        disk.let_syncs_fail(false);
        assert_eq!(file.sync(), Ok(()), "the next sync says yes, and has nothing to keep");
        disk.cut();
        disk.power_on();
        assert_eq!(contents(&disk), "a");
    }
}
