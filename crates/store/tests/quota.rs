//! A used-up quota is a full disk that passes. The system's `pwrite` is replaced under SQLite, for this whole program.

#![cfg(target_os = "linux")]

mod support;

use ondol_core::engine::{StoreError, Table};
use rusqlite::ffi;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use support::{Bench, create};

static USED_UP: AtomicBool = AtomicBool::new(false);
const EDQUOT: c_int = 122;

#[expect(unsafe_code, reason = "SQLite's system calls are C functions")]
mod system {
    use super::*;

    unsafe extern "C" {
        fn pwrite64(fd: c_int, bytes: *const c_void, length: usize, at: i64) -> isize;
        fn __errno_location() -> *mut c_int;
    }

    unsafe extern "C" fn within_quota(fd: c_int, bytes: *const c_void, length: usize, at: i64) -> isize {
        if USED_UP.load(Ordering::SeqCst) {
            // SAFETY: the C library gives each thread a valid place for its errno.
            unsafe { *__errno_location() = EDQUOT };
            return -1;
        }
        // SAFETY: the arguments are SQLite's own, and fit the call.
        unsafe { pwrite64(fd, bytes, length, at) }
    }

    /// Puts ours in the place of the system's call.
    pub fn replace_write() {
        type Call = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;
        // SAFETY: null asks for the default VFS, which SQLite keeps for ever; the new function has the type that the name
        // stands for, and lives for ever.
        let code = unsafe {
            let vfs = ffi::sqlite3_vfs_find(std::ptr::null());
            let set = (*vfs).xSetSystemCall.expect("a Unix VFS");
            let call = std::mem::transmute::<Call, ffi::sqlite3_syscall_ptr>(within_quota);
            set(vfs, c"pwrite".as_ptr(), call)
        };
        assert_eq!(code, ffi::SQLITE_OK);
    }
}

#[tokio::test]
async fn a_used_up_quota_refuses_cleanly_and_the_store_goes_on_when_there_is_space() {
    system::replace_write();
    let bench = Bench::sqlite().await.expect("always there");
    let engine = bench.open().await;
    engine.commit(create("before", "x")).await.expect("commits");
    USED_UP.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let refused = engine.commit(create("refused", "x")).await;
        assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    }
    USED_UP.store(false, Ordering::SeqCst);
    engine.commit(create("after", "x")).await.expect("goes on");
    drop(engine);
    let engine = bench.open().await;
    for (key, there) in [("before", true), ("refused", false), ("after", true)] {
        let row = engine.row(Table::Saga, key.into()).await.expect("reads");
        assert_eq!(row.is_some(), there, "{key}");
    }
}
