//! `ondol`: one program, three roles, and the command line.
//!
//! - `cli/`: one file per command
//! - `roles/`: one file per role; the only place that names concrete adapters
//! - `home.rs`: where a system lives; `whole.rs`: its small files; `caller.rs`: calls of services through the proxy

mod caller;
mod cli;
mod home;
mod roles;

/// A fifth more sagas per second than with the C library's, for 7 MB more in all roles together: `docs/performance.md`.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    // The supervisor's re-exec shim comes before everything else: it opens nothing and starts no thread.
    if std::env::args_os().nth(1).is_some_and(|first| first == roles::SHIM) {
        ondol_supervisor::shim(std::env::args_os().skip(2))
    }
    cli::run()
}
