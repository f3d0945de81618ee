//! The one place that starts threads. Tasks of a runtime are in `task`; this is for what does without one.

use std::io;
use std::thread::JoinHandle;

/// A named thread; names are cut at 15 bytes by the kernel. Nothing stops it: it must watch for its own end.
///
/// # Errors
/// When the operating system refuses another thread.
#[allow(clippy::disallowed_methods, reason = "the one place that starts threads")]
pub fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}
