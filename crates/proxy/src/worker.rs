//! One worker: a thread with a runtime of its own, accepting on its own descriptors and serving what it accepted.

use crate::h1;
use crate::h2;
use crate::io::Io;
use crate::listener::{self, Census, Counted, Listener, Socket};
use crate::proxy::Front;
use crate::state::Worker;
use crate::tables::Entrance;
use bytes::BytesMut;
use futures_util::FutureExt;
use ondol_core::task::{Kind, Tasks};
use ondol_core::wire::supervision::SocketName;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Between two looks at kept connections.
const TIDY: Duration = Duration::from_secs(2);
/// Before another look whether there is room for a connection.
const FULL: Duration = Duration::from_millis(20);

/// Which sockets to listen on.
pub struct Order {
    /// New ones.
    pub open: Vec<(SocketName, Socket)>,
    /// Those to close; connections that they gave go on.
    pub close: Vec<SocketName>,
    /// Told once it is done.
    pub done: oneshot::Sender<io::Result<()>>,
}

/// Serves until the family stops. Call on a thread of its own.
///
/// # Errors
/// When the system gives no runtime.
pub fn run(make: impl FnOnce(Tasks) -> Worker, orders: mpsc::Receiver<Order>, tasks: Tasks) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stopping = tasks.stopping();
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let serving = serve(Rc::new(make(tasks.clone())), orders, tasks);
        tokio::select! {
            () = serving => {}
            () = stopping => {}
        }
    });
    Ok(())
}

async fn serve(worker: Rc<Worker>, mut orders: mpsc::Receiver<Order>, tasks: Tasks) {
    let census = Rc::new(Census::default());
    let mut listening = HashMap::<SocketName, Tasks>::new();
    let mut tidy = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(Order { open, close, done }) = order else { return };
                close.iter().filter_map(|name| listening.remove(name)).for_each(|listener| listener.stop());
                let opened = open.into_iter().try_for_each(|(name, socket)| {
                    let (listener, family) = (Listener::new(socket)?, tasks.child());
                    let accepting = accept(worker.clone(), listener, name.clone(), census.clone(), tasks.clone());
                    family.spawn_local(Kind::Listener, accepting);
                    listening.insert(name, family);
                    Ok(())
                });
                let _ = done.send(opened); // Whoever asked may have gone.
            }
            _ = tidy.tick() => worker.pool.tidy(),
        }
    }
}

async fn accept(worker: Rc<Worker>, listener: Listener, name: SocketName, census: Rc<Census>, tasks: Tasks) {
    loop {
        while !census.has_room() {
            tokio::time::sleep(FULL).await;
        }
        let (io, peer) = listener.accept().await;
        let limited = peer.filter(|peer| is_limited(&worker, &name, *peer));
        // Too many from one address: closed at once, which costs less than any answer.
        let Some(counted) = census.enter(limited) else { continue };
        tasks.spawn_local(Kind::Connection, connection(worker.clone(), io, name.clone(), counted));
    }
}

/// Whether connections of this address are bounded here: strangers' at the gateway.
fn is_limited(worker: &Worker, socket: &SocketName, peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    let tables = worker.shared().tables.load();
    let Some(tables) = tables.as_ref() else {
        return !peer.is_loopback();
    };
    tables.entrance(socket) == Some(Entrance::Gateway) && !peer.is_loopback() && !tables.trusted.contains(peer)
}

/// Serves one connection; a panic ends it alone.
async fn connection(worker: Rc<Worker>, io: Io, name: SocketName, _counted: Counted) {
    let _open = worker.shared().counters.connection();
    if AssertUnwindSafe(speak(&worker, io, &name))
        .catch_unwind()
        .await
        .is_err()
    {
        tracing::error!(
            code = "GW-029",
            socket = name.0,
            "a connection's task panicked; the connection is closed"
        );
    }
}

async fn speak(worker: &Rc<Worker>, io: Io, name: &SocketName) {
    let mut buf = BytesMut::new();
    let (front, clock) = (Front { worker, socket: name }, worker.shared().clock.clone());
    match listener::speaks_http2(&io, &mut buf, h1::server::HEAD_TIMEOUT).await {
        None => {}
        Some(true) => h2::server::serve(io, buf, clock, &front).await,
        Some(false) => h1::server::serve(&io, buf, clock, &front).await,
    }
}
