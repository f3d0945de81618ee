//! A whole proxy beside a test: its threads, a controller that speaks the wire, sockets on port 0, instances that the
//! test scripts byte by byte.

#![allow(
    dead_code,
    missing_docs,
    reason = "each test file uses a part, and names say what is what"
)]

use ondol_core::BoxFuture;
use ondol_core::clock::SystemClock;
use ondol_core::entropy::SystemEntropy;
use ondol_core::id::{BootId, ServiceName};
use ondol_core::task::Tasks;
use ondol_core::wire::proxy::{
    Action, Breaker, Cluster, Edge, Endpoint, FromProxy, Gateway, PathMatch, Policy, Protocol, Report, Route,
    RouteMatch, Snapshot, ToProxy,
};
use ondol_core::wire::supervision::SocketName;
use ondol_core::wire::{read_frame, write_frame};
use ondol_proxy::ending::Ending;
use ondol_proxy::listener::Socket;
use ondol_proxy::service::{self, Config, Supervisor};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// For anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The target of an edge whose socket never comes.
pub const NEVER: &str = "never";

#[derive(Default)]
pub struct Sockets(Mutex<HashMap<SocketName, Socket>>, AtomicBool, AtomicBool);

impl Sockets {
    pub fn tcp(&self, name: &str) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = socket.local_addr().expect("address");
        self.put(name, Socket::Tcp(socket));
        address
    }

    pub fn unix(&self, name: &str, path: &Path) {
        let socket = ondol_core::unix::bind(path).expect("bind");
        self.put(name, Socket::Unix(socket));
    }

    /// Any at all, also one at which nobody can listen.
    pub fn put(&self, name: &str, socket: Socket) {
        let mut sockets = self.0.lock().expect("lock");
        sockets.insert(SocketName(name.into()), socket);
    }
}

impl Sockets {
    /// Waits until somebody waits for the socket that never comes.
    pub fn asked_for_never(&self) {
        until(|| self.1.load(Ordering::SeqCst).then_some(()));
    }

    /// Whether a proxy said that it serves.
    pub fn is_told(&self) -> bool {
        self.2.load(Ordering::SeqCst)
    }
}

impl Supervisor for Sockets {
    fn take_socket(&self, name: &SocketName) -> BoxFuture<io::Result<Socket>> {
        if name.0.ends_with(NEVER) {
            self.1.store(true, Ordering::SeqCst);
            return Box::pin(std::future::pending());
        }
        let sockets = self.0.lock().expect("lock");
        let socket = sockets
            .get(name)
            .ok_or_else(|| io::Error::other("no such socket"))
            .and_then(Socket::try_clone);
        Box::pin(std::future::ready(socket))
    }

    fn serving(&self) -> BoxFuture<io::Result<()>> {
        self.2.store(true, Ordering::SeqCst);
        Box::pin(std::future::ready(Ok(())))
    }
}

pub fn boot() -> BootId {
    BootId {
        system: "test".into(),
        boot: "1".into(),
    }
}

pub fn policy() -> Policy {
    let breaker = Breaker {
        failure_ratio: 0.5,
        minimum: 20,
        open_ms: 5_000,
    };
    Policy {
        timeout_ms: 10_000,
        stream: false,
        retries: 2,
        breaker,
        body_limit: 1 << 20,
        priority: Default::default(),
        hedge_share: 0.0,
        balance: Default::default(),
        cache: None,
        fallback: None,
    }
}

pub fn name(text: &str) -> ServiceName {
    text.parse().expect("a name")
}

pub fn route(path: &str, service: &str) -> Route {
    let matches = RouteMatch {
        path: PathMatch::Prefix(path.into()),
        methods: vec![],
        hosts: vec![],
        headers: vec![],
        query: vec![],
    };
    Route {
        name: format!("r{}", path.replace('/', "-")).parse().expect("a name"),
        service: name(service),
        matches,
        auth: None,
        action: Action::forward(name(service)),
        policy: policy(),
        cors: None,
        mirrors: vec![],
        session: None,
        rewrite: Default::default(),
        request_fields: Default::default(),
        response_fields: Default::default(),
        limit: None,
    }
}

pub fn edge(caller: &str, target: &str) -> Edge {
    let socket = SocketName(format!("edge/{caller}/{target}"));
    Edge {
        caller: name(caller),
        peer: None,
        target: name(target),
        socket,
        policy: policy(),
    }
}

pub fn cluster(service: &str, protocol: Protocol, addresses: &[SocketAddr]) -> Cluster {
    let endpoints = addresses.iter().enumerate().map(|(index, address)| Endpoint {
        instance: format!("{service}.{}", index + 1).parse().expect("an instance"),
        start: 1,
        address: *address,
        draining: false,
        zone: None,
    });
    Cluster {
        service: name(service),
        protocol,
        endpoints: endpoints.collect(),
        health: None,
        unavailable: None,
        concurrency: Default::default(),
        peer: None,
    }
}

pub fn snapshot(routes: Vec<Route>, edges: Vec<Edge>, clusters: Vec<Cluster>) -> Snapshot {
    Snapshot {
        boot: boot(),
        generation: 1,
        gateways: vec![Gateway {
            name: "web".into(),
            socket: SocketName("gateway/web".into()),
            tls: None,
        }],
        routes: routes.into_iter().map(Arc::new).collect(),
        edges,
        clusters,
        issuers: BTreeMap::new(),
        trusted_proxies: vec![],
        controller_socket: "controller.sock".into(),
        mesh: None,
    }
}

/// A running proxy.
pub struct Running {
    pub dir: PathBuf,
    pub sockets: Arc<Sockets>,
    pub gateway: SocketAddr,
    pub log: Log,
    ending: Ending,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// The access log as it is written.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("lock").clone()).expect("text")
    }

    /// How many lines have this text.
    pub fn count(&self, with: &str) -> u64 {
        self.text().lines().filter(|line| line.contains(with)).count() as u64
    }

    /// The first line with this text, once it is there.
    pub fn line(&self, with: &str) -> serde_json::Value {
        until(|| {
            self.text()
                .lines()
                .find(|line| line.contains(with))
                .map(|line| serde_json::from_str(line).expect("JSON"))
        })
    }
}

/// Asks again until there is an answer.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let end = SystemClock.mono_now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(SystemClock.mono_now() < end, "it did not happen in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

trait Now {
    fn mono_now(&self) -> Duration;
}

impl Now for SystemClock {
    fn mono_now(&self) -> Duration {
        ondol_core::clock::Clock::mono(self)
    }
}

impl Running {
    /// A proxy with a gateway socket and no controller yet.
    pub fn start(dir: &Path) -> Self {
        let sockets = Arc::new(Sockets::default());
        let gateway = sockets.tcp("gateway/web");
        Self::start_on(dir, sockets, gateway)
    }

    pub fn start_on(dir: &Path, sockets: Arc<Sockets>, gateway: SocketAddr) -> Self {
        Self::start_with(dir, sockets, gateway, PATIENCE)
    }

    /// With so long for running requests at its end.
    pub fn start_with(dir: &Path, sockets: Arc<Sockets>, gateway: SocketAddr, drain: Duration) -> Self {
        let (ending, log) = (Ending::new(), Log::default());
        let config = Config {
            run_dir: dir.to_owned(),
            boot: boot(),
            workers: 2,
            drain,
            supervisor: sockets.clone(),
            access_log: Box::new(log.clone()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        };
        let own = ending.clone();
        let thread = Tasks::thread("proxy", move || service::run(config, &own)).expect("a thread");
        Self {
            dir: dir.to_owned(),
            sockets,
            gateway,
            log,
            ending,
            thread: Some(thread),
        }
    }

    /// A client's connection to the gateway.
    pub fn client(&self) -> TcpStream {
        connect(self.gateway)
    }

    /// What SIGTERM does.
    pub fn tell_to_stop(&self) {
        self.ending.stop();
    }

    /// What SIGUSR1 does.
    pub fn tell_to_leave(&self) {
        self.ending.leave();
    }

    /// Waits for the end that it comes to by itself.
    pub fn ended(mut self) {
        let thread = self.thread.take().expect("running");
        thread.join().expect("no panic").expect("a clean end");
    }

    pub fn stop(self) {
        self.ending.stop();
        self.ended();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ending.stop();
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

/// The controller's side of the control socket.
pub struct Controller {
    stream: UnixStream,
    pub hello: FromProxy,
}

impl Controller {
    pub fn listen(dir: &Path) -> UnixListener {
        ondol_core::unix::bind(&dir.join("control.sock")).expect("bind")
    }

    pub fn accept(listener: &UnixListener) -> Self {
        let (mut stream, _) = listener.accept().expect("accept");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let hello = read_frame(&mut stream).expect("read").expect("a hello");
        Self { stream, hello }
    }

    /// Sends a snapshot and gives the proxy's word about it. Reads meanwhile, as a controller does: a proxy that reports on
    /// many services reads nothing before its report is taken.
    pub fn tell(&mut self, snapshot: &Snapshot) -> FromProxy {
        self.tell_word(&ToProxy::Snapshot(Box::new(snapshot.clone())))
    }

    /// The same with what changed.
    pub fn tell_word(&mut self, word: &ToProxy) -> FromProxy {
        let mut to = self.stream.try_clone().expect("another descriptor");
        std::thread::scope(|scope| {
            scope.spawn(move || write_frame(&mut to, word).expect("write"));
            loop {
                match self.word() {
                    FromProxy::Report(_) => {}
                    word => return word,
                }
            }
        })
    }

    pub fn send(&mut self, snapshot: &Snapshot) {
        self.send_word(&ToProxy::Snapshot(Box::new(snapshot.clone())));
    }

    pub fn send_word(&mut self, word: &ToProxy) {
        write_frame(&mut self.stream, word).expect("write");
    }

    /// Sends what need not be a snapshot.
    pub fn send_text(&mut self, text: &str) {
        let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
        write_frame(&mut self.stream, &value).expect("write");
    }

    pub fn word(&mut self) -> FromProxy {
        self.next().expect("a word")
    }

    /// `None` once the proxy has closed.
    pub fn next(&mut self) -> Option<FromProxy> {
        read_frame(&mut self.stream).expect("read")
    }

    /// The next report for which this holds.
    pub fn report(&mut self, holds: impl Fn(&Report) -> bool) -> Report {
        loop {
            match self.word() {
                FromProxy::Report(report) if holds(&report) => return *report,
                _ => {}
            }
        }
    }
}

/// A proxy that serves this snapshot.
pub fn serving(dir: &Path, snapshot: &Snapshot) -> (Running, Controller) {
    serving_with(dir, snapshot, |_| {})
}

/// The same, with further sockets.
pub fn serving_with(dir: &Path, snapshot: &Snapshot, more: impl FnOnce(&Sockets)) -> (Running, Controller) {
    let listener = Controller::listen(dir);
    let running = Running::start(dir);
    more(&running.sockets);
    let mut controller = Controller::accept(&listener);
    assert_eq!(
        controller.tell(snapshot),
        FromProxy::Ack {
            generation: snapshot.generation
        }
    );
    (running, controller)
}

/// An instance that answers every request with `answer(head and body)`, on connections that it keeps open.
pub fn instance(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    serve(listener, answer);
    address
}

/// What [`serve`] accepts on.
pub trait Accept: Send + 'static {
    type Stream: Read + Write + Send + 'static;
    fn accept_one(&self) -> Option<Self::Stream>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    fn accept_one(&self) -> Option<TcpStream> {
        self.accept().ok().map(|(stream, _)| stream)
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    fn accept_one(&self) -> Option<UnixStream> {
        self.accept().ok().map(|(stream, _)| stream)
    }
}

/// Answers on every connection to this socket, until the test's process ends.
pub fn serve(listener: impl Accept, answer: impl Fn(&str) -> String + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    let accepting = move || {
        while let Some(stream) = listener.accept_one() {
            let answer = answer.clone();
            Tasks::thread("conversation", move || converse(stream, &*answer)).expect("a thread");
        }
    };
    Tasks::thread("instance", accepting).expect("a thread");
}

/// Reads requests (by Content-Length) and writes what `answer` gives; an empty answer closes the connection.
pub fn converse(mut stream: impl Read + Write, answer: &dyn Fn(&str) -> String) {
    while let Some(request) = read_message(&mut stream) {
        let text = answer(&request);
        if text.is_empty() || stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// One message: head, and body by its Content-Length.
pub fn read_message(stream: &mut impl Read) -> Option<String> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        text.push(byte[0]);
    }
    let head = String::from_utf8(text).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).ok()?)
}

/// One request and its answer, head and body.
pub fn ask(stream: &mut (impl Read + Write), request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("write");
    read_message(stream).expect("an answer")
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A field of a message.
pub fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().find_map(|line| {
        line.split_once(": ")
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    })
}
