//! One worker: a thread with a runtime of its own, accepting on its own descriptors and serving what it accepted.
//!
//! Its end is gentle. Told to leave, it accepts no more at once (who knocks waits in the socket for the next proxy), and each
//! connection ends after the request that it serves, or serves next. Told to stop, connections without a request end within
//! [`listener::LAST_CALL`], and what has not ended within the limit given is cut. Tests: `tests/ending.rs`.

use crate::check::HeadError;
use crate::ending::Ending;
use crate::h1;
use crate::h2;
use crate::io::Io;
use crate::listener::{self, Census, Counted, Listener, Socket};
use crate::proxy::Front;
use crate::state::Worker;
use crate::tables::Entrance;
use crate::tls::handshake::{self, Accepted};
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
use tokio::task::JoinHandle;

/// Between two looks at kept connections.
const TIDY: Duration = Duration::from_secs(2);
/// Before another look whether there is room for a connection.
const FULL: Duration = Duration::from_millis(20);

/// Which sockets to listen on.
pub struct Order {
    /// New ones.
    pub open: Vec<(SocketName, Socket)>,
    /// Those to close; connections that they gave end as when the proxy leaves.
    pub close: Vec<SocketName>,
    /// Told once it is done, and nothing is open here of what is closed.
    pub done: oneshot::Sender<io::Result<()>>,
}

/// What the tasks of a worker's connections share.
struct Room {
    worker: Worker,
    census: Rc<Census>,
    /// Connections: they see the end and finish by themselves.
    lasting: Tasks,
}

/// Serves until it is told to leave, and then what it has begun, once it is told to stop for at most `drain`. Call on a
/// thread of its own.
///
/// # Errors
/// When the system gives no runtime.
pub fn run(
    make: impl FnOnce(Tasks) -> Worker,
    orders: mpsc::Receiver<Order>,
    ending: Ending,
    drain: Duration,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let (leaving, stopping) = (ending.leaving(), ending.stopping());
        let (lasting, census) = (Tasks::new(), Rc::new(Census::default()));
        let room = Rc::new(Room {
            worker: make(lasting.clone()),
            census: census.clone(),
            lasting,
        });
        tokio::select! {
            () = serve(room, orders, ending) => {}
            () = leaving => {}
        }
        let cut = async {
            stopping.await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            biased;
            () = census.empty() => {}
            () = cut => tracing::warn!(?drain, "requests did not end in time; they are cut"),
        }
    });
    Ok(())
}

/// One that is open.
struct Open {
    door: Rc<Door>,
    accepting: JoinHandle<Option<()>>,
}

/// What connections of one socket share.
struct Door {
    listener: SocketName,
    ending: Ending,
}

async fn serve(room: Rc<Room>, mut orders: mpsc::Receiver<Order>, ending: Ending) {
    let mut listening = HashMap::<SocketName, Open>::new();
    let mut tidy = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some(Order { open, close, done }) = order else { return };
                let opened = obey(&room, &mut listening, open, &close, &ending).await;
                let _ = done.send(opened); // Whoever asked may have gone.
            }
            _ = tidy.tick() => room.worker.pool.tidy(),
        }
    }
}

/// Opens and closes; all or, on an error, nothing.
async fn obey(
    room: &Rc<Room>,
    listening: &mut HashMap<SocketName, Open>,
    open: Vec<(SocketName, Socket)>,
    close: &[SocketName],
    ending: &Ending,
) -> io::Result<()> {
    let listener = |(name, socket)| Ok((name, Listener::new(socket)?));
    let listeners: Vec<_> = open.into_iter().map(listener).collect::<io::Result<_>>()?;
    for closed in close.iter().filter_map(|name| listening.remove(name)) {
        closed.door.ending.leave();
        let _ = closed.accepting.await; // Its descriptor is closed then, also where it panicked.
    }
    for (name, listener) in listeners {
        let ending = ending.of_listener();
        let (family, door) = (
            ending.until_leaving(),
            Rc::new(Door {
                listener: name.listener(),
                ending,
            }),
        );
        let accepting = family.spawn_local(Kind::Listener, accept(room.clone(), listener, door.clone()));
        listening.insert(name, Open { door, accepting });
    }
    Ok(())
}

async fn accept(room: Rc<Room>, listener: Listener, door: Rc<Door>) {
    loop {
        while !room.census.has_room() {
            tokio::time::sleep(FULL).await;
        }
        let (io, peer) = listener.accept().await;
        let shared = room.worker.shared();
        let place = match peer.filter(|peer| is_limited(&room.worker, &door.listener, *peer)) {
            None => None,
            Some(stranger) => match shared.addresses.enter(stranger, shared.clock.mono()) {
                None => {
                    shared.counters.refuse_connection();
                    continue; // Too many from one address: closed at once.
                }
                place => place,
            },
        };
        let counted = room.census.enter(place);
        room.lasting.spawn_local(
            Kind::Connection,
            connection(room.clone(), io, peer, door.clone(), counted),
        );
    }
}

/// Whether connections of this address are bounded here: strangers', where they can come.
fn is_limited(worker: &Worker, socket: &SocketName, peer: IpAddr) -> bool {
    let peer = peer.to_canonical();
    let tables = worker.shared().tables.load();
    let Some(tables) = tables.as_ref() else {
        return !peer.is_loopback();
    };
    let strange = match tables.entrance(socket) {
        Some(Entrance::Gateway) => !tables.trusted.contains(peer),
        Some(Entrance::Mesh) => true, // Until they have shown who they are.
        Some(Entrance::Edge(_)) | None => false,
    };
    strange && !peer.is_loopback()
}

/// Serves one connection; a panic ends it alone.
async fn connection(room: Rc<Room>, io: Io, peer: Option<IpAddr>, door: Rc<Door>, mut counted: Counted) {
    let _open = room.worker.shared().counters.connection();
    if AssertUnwindSafe(speak(&room, io, peer, &door, &mut counted))
        .catch_unwind()
        .await
        .is_err()
    {
        tracing::error!(
            code = "GW-029",
            socket = door.listener.0,
            "a connection's task panicked; the connection is closed"
        );
    }
}

/// What is boxed here is what an idle connection over HTTP/1 would only have room for.
async fn speak(room: &Room, io: Io, peer: Option<IpAddr>, door: &Door, counted: &mut Counted) {
    let (worker, Door { listener: name, ending }) = (&room.worker, door);
    let (mut buf, clock) = (BytesMut::new(), worker.shared().clock.clone());
    let secured = worker
        .shared()
        .tables
        .load()
        .as_ref()
        .and_then(|tables| tables.secured(name));
    let front = |tls| Front {
        peer,
        worker,
        socket: name,
        tls,
    };
    let (io, front) = match secured {
        None => (io, front(None)),
        Some(listener) => match Box::pin(handshake::accept(io, &listener, ending)).await {
            Accepted::Secured(io, session) => {
                let tables = worker.shared().tables.load();
                if tables
                    .as_ref()
                    .is_some_and(|tables| tables.entrance(name) == Some(Entrance::Mesh))
                {
                    counted.is_known(); // All that another system asks comes from one address.
                }
                (io, front(Some(session)))
            }
            Accepted::Plain(io) => {
                let front = front(None);
                return Box::pin(h1::server::refuse(&io, HeadError::PlainToTls, clock, &front, ending)).await;
            }
            Accepted::Nothing => return,
        },
    };
    let http2 = match front.tls.as_ref().and_then(|session| session.http2) {
        Some(agreed) => Some(agreed),
        None => listener::speaks_http2(&io, &mut buf, h1::server::HEAD_TIMEOUT, ending).await,
    };
    match http2 {
        None => {}
        Some(true) => Box::pin(h2::server::serve(io, peer, buf, clock, &front, ending)).await,
        Some(false) => h1::server::serve(&io, buf, clock, &front, ending).await,
    }
}
