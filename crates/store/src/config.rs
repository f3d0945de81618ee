//! The store's bounds and their reasons.

use std::time::Duration;

/// Bounds of an engine. The defaults suit a controller on a small machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// How much may wait for the writer, in KiB of writes (each counts at least one). Default 65,536, so 64 MiB.
    pub queue_kib: u32,
    /// How long a write waits for a place in that queue before it is refused as busy. Default 5 s.
    pub queue_wait: Duration,
    /// At most so many writes share a commit. Default 512: beyond that a batch only adds latency.
    pub batch: usize,
    /// Read threads of the SQLite engine, each with its connection. Default 2.
    pub readers: usize,
    /// Pages in the write-ahead log after which the writer copies them into the file. Default 1,000 (4 MB): at 4,000 the
    /// copying itself shows in the 99th percentile.
    pub checkpoint_pages: u32,
    /// Page cache of the writer, in KiB; counts as resident memory once used. Default 4,096.
    pub writer_cache_kib: u32,
    /// Page cache of each reader, in KiB. Default 512.
    pub reader_cache_kib: u32,
    /// SQLite's virtual file system by name; `None`: the operating system's. Tests name a simulated disk here.
    pub vfs: Option<String>,
    /// How long PostgreSQL may take for one batch before its connection is given up. Default 10 s.
    pub batch_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            queue_kib: 65_536,
            queue_wait: Duration::from_secs(5),
            batch: 512,
            readers: 2,
            checkpoint_pages: 1_000,
            writer_cache_kib: 4_096,
            reader_cache_kib: 512,
            vfs: None,
            batch_wait: Duration::from_secs(10),
        }
    }
}
