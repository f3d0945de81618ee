//! Logs: one JSON object per line on standard output, where the supervisor reads level and `trace_id`.
//!
//! The proxy writes the access log, so a service writes only what the proxy cannot know: why something failed.

use tracing_subscriber::EnvFilter;

/// Starts logging. `LOG` filters (`info`, `debug`, `shop_orders=debug`); the default is `info`.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let format = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    // Fails only where a test has set another one; that one is then as good.
    let _ = format.with_env_filter(filter).with_writer(std::io::stdout).try_init();
}
