//! How a proxy ends: at its own pace where another one has taken over, soon where none has.

use ondol_core::task::Tasks;

/// The two words that end a proxy; the second implies the first. A clone hears the same words.
#[derive(Clone)]
pub struct Ending {
    leaving: Tasks,
    stopping: Tasks,
}

impl Default for Ending {
    fn default() -> Self {
        Self::new()
    }
}

impl Ending {
    /// Nothing was said yet.
    pub fn new() -> Self {
        let stopping = Tasks::new();
        Self {
            leaving: stopping.child(),
            stopping,
        }
    }

    /// Another proxy listens on the same sockets, or nobody will: no new connections, and each that there is serves one more
    /// request at the most, whenever that comes within the idle time. Tunnels and streams go on.
    pub fn leave(&self) {
        self.leaving.stop();
    }

    /// As [`Ending::leave`], and connections without a request end, and after the drain all others.
    pub fn stop(&self) {
        self.stopping.stop();
    }

    /// True after either word.
    pub fn is_leaving(&self) -> bool {
        self.leaving.is_stopping()
    }

    /// Resolves after either word.
    pub fn leaving(&self) -> impl Future<Output = ()> + Send + 'static {
        self.leaving.stopping()
    }

    /// Resolves after [`Ending::stop`].
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stopping.stopping()
    }

    /// The end of one listener and its connections, before that of the proxy or with it.
    pub fn of_listener(&self) -> Self {
        Self {
            leaving: self.leaving.child(),
            stopping: self.stopping.clone(),
        }
    }

    /// A family of tasks that stops when the proxy leaves.
    pub fn until_leaving(&self) -> Tasks {
        self.leaving.child()
    }
}
