//! One health question: GET on a connection of its own, the status is all that counts.
//!
//! Reads at most [`MOST`] bytes of the answer and closes; the caller sets the time limit.

use http::Request;
use ondol_core::wire::proxy::Protocol;
use std::error::Error;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Of an HTTP/1 status line; the rest is of no interest.
const MOST: usize = 256;

type BoxError = Box<dyn Error + Send + Sync>;

/// The status that `path` answers with.
///
/// # Errors
/// Not reachable, or no HTTP answer.
///
/// # Cancellation
/// Closes the connection.
pub(super) async fn get(address: SocketAddr, protocol: Protocol, path: &str) -> Result<u16, BoxError> {
    let stream = TcpStream::connect(address).await?;
    match protocol {
        Protocol::Http1 => get_http1(stream, address, path).await,
        Protocol::H2c => get_h2(stream, address, path).await,
    }
}

async fn get_http1(mut stream: TcpStream, address: SocketAddr, path: &str) -> Result<u16, BoxError> {
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: ondol-health\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::with_capacity(MOST);
    while !answer.contains(&b'\n') && answer.len() < MOST {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    // `HTTP/1.1 200 OK`
    let line = answer.split(|b| *b == b'\n').next().unwrap_or_default();
    let status = line
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok());
    status
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| "no HTTP answer".into())
}

async fn get_h2(stream: TcpStream, address: SocketAddr, path: &str) -> Result<u16, BoxError> {
    let (mut client, connection) = h2::client::handshake(stream).await?;
    let request = Request::get(format!("http://{address}{path}"))
        .header("user-agent", "ondol-health")
        .body(())?;
    let ask = async {
        std::future::poll_fn(|cx| client.poll_ready(cx)).await?;
        let (answer, _) = client.send_request(request, true)?;
        Ok::<_, BoxError>(answer.await?.status().as_u16())
    };
    tokio::select! {
        status = ask => status,
        ended = connection => Err(ended.err().map_or_else(|| "closed without an answer".into(), BoxError::from)),
    }
}
