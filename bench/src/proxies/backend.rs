//! A service of bounded capacity behind the proxies: [`Workers`] decide when an answer is due, this waits until then.
//!
//! It works on whatever it was sent, also when nobody waits for it any more, as most servers do. One instance of several may be
//! bad: late, or failing at once. `/forget` sets all workers free and cuts who waits, so that what one proxy left is not the next one's.

use super::origin::{Request, Trouble, answer};
use super::workers::Workers;
use anyhow::Context;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections; further ones wait in the socket.
const MOST: usize = 12_000;

struct Backend {
    workers: Mutex<Workers>,
    trouble: Option<Trouble>,
    began: Instant,
    /// Counted up by `/forget`.
    forgotten: watch::Sender<u64>,
}

pub(super) fn run(port: u16, workers: Workers, trouble: Option<Trouble>) -> anyhow::Result<()> {
    let backend = Arc::new(Backend {
        workers: Mutex::new(workers),
        trouble,
        began: Instant::now(),
        forgotten: watch::Sender::new(0),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
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
            if forget {
                self.forget();
            } else if self.trouble == Some(Trouble::Fails) {
                stream.write_all(&bad).await?;
                continue;
            } else if !self.works().await {
                return Ok(());
            }
            stream.write_all(&good).await?;
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
        tokio::select! {
            () = tokio::time::sleep_until((self.began + due).into()) => true,
            _ = forgotten.changed() => false,
        }
    }

    fn forget(&self) {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).forget();
        self.forgotten.send_modify(|count| *count += 1);
    }
}

/// Has a backend begin anew.
pub(super) fn forget(port: u16) -> anyhow::Result<()> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET /forget HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).context("a backend does not answer")?;
    anyhow::ensure!(&first == b"HTTP/1.1 200", "{}", String::from_utf8_lossy(&first));
    Ok(())
}
