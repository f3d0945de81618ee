//! SQLite on the simulated disk: a virtual file system whose files live in [`Disk`].
//!
//! Contents, sizes and syncs are simulated. Locks and the shared memory of the write-ahead log are not: they go to a real
//! file of the same name (which stays empty) through the operating system's own VFS, since a power cut ends them anyway.
//!
//! Memory: SQLite gives `szOsFile` zeroed or uninitialised bytes for each open file. They hold our [`Open`] first and the
//! real VFS's file behind it.

#![expect(unsafe_code, reason = "SQLite's VFS is an interface of C function pointers")]

use super::{Disk, DiskError, Handle};
use libsqlite3_sys as ffi;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

/// What stands at the front of every open file.
#[repr(C)]
struct Open {
    base: ffi::sqlite3_file,
    /// From `Box::into_raw` in `open`, given back in `close`.
    handle: *mut Handle,
}

/// Behind `pAppData`: leaked at registration, so valid for ever.
struct Shared {
    disk: Disk,
    real: NonNull<ffi::sqlite3_vfs>,
}

impl Disk {
    /// Registers this disk as a VFS under `name`, for as long as the process lives.
    ///
    /// # Panics
    /// When SQLite has no default VFS, refuses the registration, or `name` holds a NUL character.
    pub fn register(&self, name: &str) {
        // SAFETY: no arguments that must be valid; null asks for the default VFS, which SQLite keeps for ever.
        let real = NonNull::new(unsafe { ffi::sqlite3_vfs_find(ptr::null()) }).expect("a default VFS");
        let name = CString::new(name).expect("a name without NUL").into_raw();
        // SAFETY: `real` came from SQLite and is never unregistered.
        let (os_size, longest) = unsafe { (real.as_ref().szOsFile, real.as_ref().mxPathname) };
        let shared = Box::leak(Box::new(Shared {
            disk: self.clone(),
            real,
        }));
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<Open>() as c_int + os_size,
            mxPathname: longest,
            pNext: ptr::null_mut(),
            zName: name,
            pAppData: ptr::from_mut(shared).cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: `vfs`, its name and its data are leaked, so they outlive every use; the functions keep to the contract.
        let code = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the VFS");
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// The result code for an outcome; `failed` is the one for lost power.
fn code(outcome: Result<(), DiskError>, failed: c_int) -> c_int {
    match outcome {
        Ok(()) => ffi::SQLITE_OK,
        Err(DiskError::Full) => ffi::SQLITE_FULL,
        Err(DiskError::SyncFailed) => ffi::SQLITE_IOERR_FSYNC,
        Err(DiskError::Missing | DiskError::Cut) => failed,
    }
}

/// # Safety
/// `vfs` is the one that [`Disk::register`] made.
unsafe fn shared<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Shared {
    // SAFETY: by the contract `pAppData` is a leaked `Shared`, never changed.
    unsafe { &*(*vfs).pAppData.cast::<Shared>() }
}

/// # Safety
/// `file` was opened by [`open`] and is not closed.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a Handle {
    // SAFETY: by the contract an `Open` stands there, whose handle lives until `close`. Only shared references to it
    // are ever made.
    unsafe { &*(*file.cast::<Open>()).handle }
}

/// The real VFS's file behind ours.
///
/// # Safety
/// `file` is memory of `szOsFile` bytes that SQLite gave for a file of this VFS.
unsafe fn real_file(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: `szOsFile` is the size of `Open` plus the real VFS's, so one `Open` further is within the allocation. SQLite
    // aligns to 8, and the size of `Open`, two pointers, keeps that.
    unsafe { file.cast::<Open>().add(1).cast() }
}

/// Calls a method of the real file behind `$file`; a method that it does not have gives `$absent`.
macro_rules! forward {
    ($file:ident . $method:ident ( $($arg:expr),* ) else $absent:expr) => {{
        // SAFETY: SQLite calls this with a file that `open` opened, so the real file behind it is open too and its
        // methods take the very arguments that SQLite gave.
        unsafe {
            let real = real_file($file);
            match (*(*real).pMethods).$method {
                Some(method) => method(real $(, $arg)*),
                None => $absent,
            }
        }
    }};
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: `file` is memory for an `Open`. Null methods tell SQLite not to close it when this fails.
    unsafe {
        file.cast::<Open>().write(Open {
            base: ffi::sqlite3_file { pMethods: ptr::null() },
            handle: ptr::null_mut(),
        })
    };
    // Temporary files have no name; the store keeps such things in memory.
    if name.is_null() {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: SQLite passes the VFS that was registered.
    let Shared { disk, real } = unsafe { shared(vfs) };
    // SAFETY: SQLite passes a path that ends with NUL.
    let path = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    let handle = match disk.open(&path, flags & ffi::SQLITE_OPEN_CREATE != 0) {
        Ok(handle) => handle,
        Err(_) => return ffi::SQLITE_CANTOPEN,
    };
    // SAFETY: the real VFS gets its own path, flags and the memory behind ours, which is as large as it asked for.
    let opened = unsafe {
        match real.as_ref().xOpen {
            Some(open) => open(
                real.as_ptr(),
                name,
                real_file(file),
                flags | ffi::SQLITE_OPEN_CREATE,
                out_flags,
            ),
            None => ffi::SQLITE_CANTOPEN,
        }
    };
    if opened == ffi::SQLITE_OK {
        let handle = Box::into_raw(Box::new(handle));
        // SAFETY: still our memory; from now on SQLite calls `METHODS` with it until `close`.
        unsafe {
            file.cast::<Open>().write(Open {
                base: ffi::sqlite3_file {
                    pMethods: &raw const METHODS,
                },
                handle,
            })
        };
    }
    opened
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let closed = forward!(file.xClose() else ffi::SQLITE_OK);
    // SAFETY: made by `Box::into_raw` in `open`; SQLite closes a file once and uses it no more.
    drop(unsafe { Box::from_raw((*file.cast::<Open>()).handle) });
    closed
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, out: *mut c_void, amount: c_int, offset: i64) -> c_int {
    let (Ok(amount), Ok(offset)) = (usize::try_from(amount), usize::try_from(offset)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: SQLite gives `amount` writable bytes that nobody else uses meanwhile. They may be uninitialised, so they are
    // zeroed before a slice is made of them; zeros are also what a short read must leave.
    let out = unsafe {
        ptr::write_bytes(out.cast::<u8>(), 0, amount);
        std::slice::from_raw_parts_mut(out.cast::<u8>(), amount)
    };
    // SAFETY: SQLite calls this with an open file.
    match unsafe { handle(file) }.read(offset, out) {
        Ok(count) if count == amount => ffi::SQLITE_OK,
        Ok(_) => ffi::SQLITE_IOERR_SHORT_READ,
        Err(error) => code(Err(error), ffi::SQLITE_IOERR_READ),
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    let (Ok(amount), Ok(offset)) = (usize::try_from(amount), usize::try_from(offset)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite gives `amount` initialised bytes that do not change during the call.
    let from = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), amount) };
    // SAFETY: SQLite calls this with an open file.
    code(unsafe { handle(file) }.write(offset, from), ffi::SQLITE_IOERR_WRITE)
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: SQLite calls this with an open file.
    code(
        unsafe { handle(file) }.truncate(usize::try_from(size).unwrap_or(0)),
        ffi::SQLITE_IOERR_TRUNCATE,
    )
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite calls this with an open file.
    code(unsafe { handle(file) }.sync(), ffi::SQLITE_IOERR_FSYNC)
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: SQLite calls this with an open file.
    match unsafe { handle(file) }.size() {
        Ok(size) => {
            // SAFETY: SQLite gives a place for the answer.
            unsafe { *out = i64::try_from(size).unwrap_or(i64::MAX) };
            ffi::SQLITE_OK
        }
        Err(error) => code(Err(error), ffi::SQLITE_IOERR_FSTAT),
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    forward!(file.xLock(level) else ffi::SQLITE_OK)
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    forward!(file.xUnlock(level) else ffi::SQLITE_OK)
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    forward!(file.xCheckReservedLock(out) else ffi::SQLITE_OK)
}

/// Hints about the real file would be about an empty one.
unsafe extern "C" fn file_control(_file: *mut ffi::sqlite3_file, _op: c_int, _arg: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// As on Unix: a write harms no byte beside it.
unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    forward!(file.xShmMap(page, size, extend, out) else ffi::SQLITE_IOERR_SHMMAP)
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    forward!(file.xShmLock(offset, count, flags) else ffi::SQLITE_IOERR_SHMLOCK)
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    forward!(file.xShmBarrier() else ())
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, delete: c_int) -> c_int {
    forward!(file.xShmUnmap(delete) else ffi::SQLITE_OK)
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _sync_directory: c_int) -> c_int {
    // SAFETY: SQLite passes the registered VFS and a path that ends with NUL.
    let (shared, path) = unsafe { (shared(vfs), CStr::from_ptr(name).to_string_lossy()) };
    match shared.disk.delete(&path) {
        Err(DiskError::Missing) => ffi::SQLITE_IOERR_DELETE_NOENT,
        outcome => code(outcome, ffi::SQLITE_IOERR_DELETE),
    }
}

unsafe extern "C" fn access(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes the registered VFS, a path that ends with NUL, and a place for the answer.
    unsafe { *out = c_int::from(shared(vfs).disk.exists(&CStr::from_ptr(name).to_string_lossy())) };
    ffi::SQLITE_OK
}

/// Calls a function of the real VFS with its own pointer; one that it does not have gives `$absent`.
macro_rules! ask_real {
    ($vfs:ident . $function:ident ( $($arg:expr),* ) else $absent:expr) => {{
        // SAFETY: SQLite passes the registered VFS, whose real one lives for ever, and arguments that keep the contract
        // of the same function of the real one.
        unsafe {
            let real = shared($vfs).real;
            match real.as_ref().$function {
                Some(function) => function(real.as_ptr() $(, $arg)*),
                None => $absent,
            }
        }
    }};
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    ask_real!(vfs.xFullPathname(name, size, out) else ffi::SQLITE_CANTOPEN)
}

unsafe extern "C" fn randomness(vfs: *mut ffi::sqlite3_vfs, size: c_int, out: *mut c_char) -> c_int {
    ask_real!(vfs.xRandomness(size, out) else 0)
}

unsafe extern "C" fn sleep(vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    ask_real!(vfs.xSleep(microseconds) else 0)
}

unsafe extern "C" fn current_time(vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    ask_real!(vfs.xCurrentTime(out) else ffi::SQLITE_ERROR)
}

unsafe extern "C" fn current_time_int64(vfs: *mut ffi::sqlite3_vfs, out: *mut i64) -> c_int {
    ask_real!(vfs.xCurrentTimeInt64(out) else ffi::SQLITE_ERROR)
}
