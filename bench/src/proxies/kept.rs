//! Clients that ask over kept connections as fast as answers come, each request as it is given: h2load sends the same
//! fields with every request, and so cannot bring many users' tokens.

use super::answer::Answer;
use anyhow::{Context, ensure};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Sends `count` requests, those of `requests` in turns, over so many connections, and gives how long it took. Every one must be
/// answered by 200. A connection that the server closes after an answer is made anew.
pub(super) fn run(port: u16, connections: u64, count: u64, requests: &Arc<[Vec<u8>]>) -> anyhow::Result<Duration> {
    on_a_thread(async {
        let (began, mut clients) = (Instant::now(), JoinSet::new());
        for first in 0..connections {
            let requests = requests.clone();
            let turns = (first..count).step_by(connections.max(1) as usize);
            clients.spawn(async move { client(port, turns.map(|turn| turn as usize), &requests).await });
        }
        while let Some(ended) = clients.join_next().await {
            ended.context("a client ended")??;
        }
        Ok(began.elapsed())
    })
}

/// Runs on a thread of its own, which has this thread's core.
pub(super) fn on_a_thread<T: Send>(work: impl Future<Output = anyhow::Result<T>> + Send) -> anyhow::Result<T> {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join()).map_err(|_| anyhow::anyhow!("the clients' thread ended"))?
}

async fn client(port: u16, turns: impl Iterator<Item = usize>, requests: &[Vec<u8>]) -> anyhow::Result<()> {
    let (mut kept, mut buf) = (None, Vec::with_capacity(4 << 10));
    for turn in turns {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", port)).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        stream.write_all(&requests[turn % requests.len()]).await?;
        let answer = read(&mut stream, &mut buf).await?;
        ensure!(answer.status == 200, "{}", String::from_utf8_lossy(&buf));
        if !answer.closes {
            kept = Some(stream);
        }
    }
    Ok(())
}

/// One answer into `buf`, and nothing of the next.
async fn read(stream: &mut TcpStream, buf: &mut Vec<u8>) -> anyhow::Result<Answer> {
    buf.clear();
    loop {
        ensure!(stream.read_buf(buf).await? > 0, "a connection ended before its answer");
        if let Some(answer) = Answer::read(buf)?.filter(|answer| buf.len() >= answer.length) {
            return Ok(answer);
        }
    }
}
