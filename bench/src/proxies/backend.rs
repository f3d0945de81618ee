//! A service of bounded capacity behind the proxies: [`Workers`] decide when an answer is due, this waits until then.
//!
//! It works on whatever it was sent, also when nobody waits for it any more, as most servers do. One instance of several may be
//! bad: late, or failing at once. `/forget` sets all workers free and cuts who waits, so that what one proxy left is not the next
//! one's; a proxy may send again what was cut.

use super::origin::{Request, Trouble, answer};
use super::workers::Workers;
use anyhow::{Context, bail, ensure};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections; further ones wait in the socket.
const MOST: usize = 12_000;
/// Within this a proxy has nothing more to send.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

struct Backend {
    workers: Mutex<Workers>,
    trouble: Option<Trouble>,
    began: Instant,
    under_way: AtomicUsize,
    /// Counted up by `/forget`.
    forgotten: watch::Sender<u64>,
}

/// Serves until its process ends.
pub(super) fn run(listener: std::net::TcpListener, workers: Workers, trouble: Option<Trouble>) -> anyhow::Result<()> {
    let backend = Arc::new(Backend {
        workers: Mutex::new(workers),
        trouble,
        began: Instant::now(),
        under_way: AtomicUsize::new(0),
        forgotten: watch::Sender::new(0),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let places = Arc::new(Semaphore::new(MOST));
        loop {
            let place = places.clone().acquire_owned().await.context("places")?;
            let (stream, _) = listener.accept().await?;
            let backend = backend.clone();
            tokio::spawn(async move {
                // A connection that breaks is the proxy's to notice.
                let _ = backend.serve(stream).await;
                drop(place);
            });
        }
    })
}

impl Backend {
    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let (good, bad) = (answer(200, "OK", 291), answer(500, "Internal Server Error", 291));
        let forgot = answer(202, "Accepted", 291);
        let mut buf = Vec::with_capacity(2 << 10);
        loop {
            let request = loop {
                if let Some(request) = Request::read(&buf)? {
                    break request;
                }
                if stream.read_buf(&mut buf).await? == 0 {
                    return Ok(());
                }
            };
            let forget = request.name == "forget";
            let length = request.length;
            buf.drain(..length);
            let answer = match (forget, self.trouble) {
                (true, _) if self.forget() => &forgot,
                (true, _) => &good,
                (false, Some(Trouble::Fails)) => &bad,
                (false, _) if self.works().await => &good,
                (false, _) => return Ok(()),
            };
            stream.write_all(answer).await?;
        }
    }

    /// Until the answer is due; false: it was forgotten.
    async fn works(&self) -> bool {
        let mut forgotten = self.forgotten.subscribe();
        let now = self.began.elapsed();
        let due = match self.trouble {
            // It waits for something, and any number can wait.
            Some(Trouble::Late(late)) => now + late,
            _ => self.workers.lock().unwrap_or_else(PoisonError::into_inner).take(now),
        };
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let is_due = tokio::select! {
            () = tokio::time::sleep_until((self.began + due).into()) => true,
            _ = forgotten.changed() => false,
        };
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        is_due
    }

    /// Whether there was anything to forget.
    fn forget(&self) -> bool {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).forget();
        self.forgotten.send_modify(|count| *count += 1);
        self.under_way.load(Ordering::Relaxed) > 0
    }
}

/// Has a backend begin anew, until nobody sends it anything more.
pub(super) fn forget(port: u16) -> anyhow::Result<()> {
    let end = Instant::now() + QUIET_WITHIN;
    while had_work(port)? {
        ensure!(
            Instant::now() < end,
            "the service at port {port} is still asked {QUIET_WITHIN:?} after everybody went away"
        );
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn had_work(port: u16) -> anyhow::Result<bool> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(QUIET_WITHIN))?;
    stream.write_all(b"GET /forget HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).context("a service does not answer")?;
    match &first {
        b"HTTP/1.1 200" => Ok(false),
        b"HTTP/1.1 202" => Ok(true),
        other => bail!("a service answers {}", String::from_utf8_lossy(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn start(takes: Duration, trouble: Option<Trouble>) -> u16 {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || run(listener, Workers::new(1, takes), trouble));
        port
    }

    fn ask(port: u16) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(b"GET /small HTTP/1.1\r\n\r\n").expect("sent");
        stream
    }

    #[test]
    fn what_is_forgotten_is_cut_and_the_next_one_finds_a_free_worker() {
        let port = start(Duration::from_secs(3_600), None);
        assert!(!had_work(port).expect("an answer"), "nobody has asked");
        let mut waits = ask(port);
        // It counts once it has been read.
        while !had_work(port).expect("an answer") {}
        assert_eq!(waits.read(&mut [0; 1]).expect("the end"), 0);
        forget(port).expect("nobody asks any more");
    }

    #[test]
    fn one_that_fails_answers_at_once() {
        let port = start(Duration::from_secs(3_600), Some(Trouble::Fails));
        let mut answer = [0; 12];
        ask(port).read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 500");
    }
}
