//! What the supervisor inherited is not for its children: a pipe of whoever started it would never end for its reader.

use rustix::io::{FdFlags, fcntl_setfd};
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

/// Marks every open descriptor but the first three as closed by exec. Before anything else is opened by other threads.
///
/// # Errors
/// When `/proc/self/fd` cannot be read.
pub(crate) fn keep_to_ourselves() -> io::Result<()> {
    let open = fs::read_dir("/proc/self/fd")?.flatten();
    let open: Vec<RawFd> = open
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for number in open.into_iter().filter(|number| *number > 2) {
        mark(number);
    }
    Ok(())
}

#[allow(unsafe_code, reason = "a descriptor that was inherited is only a number here")]
fn mark(number: RawFd) {
    // SAFETY: the number is not -1, and the borrow ends with this call, which sets one flag of whatever it names and neither
    // closes nor keeps it. If it was closed since it was listed, as the listing's own is, the kernel answers EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let _ = fcntl_setfd(borrowed, FdFlags::CLOEXEC);
}
