//! The services of the tests: this program, which Ondol starts with `--ignored --exact service::service`.
//!
//! | path | answers |
//! |---|---|
//! | `/health` | 200 |
//! | `/work` | 200 after 5 ms with the content of `ANSWER`, so that requests are always under way |
//! | `/env/NAME` | a variable |
//! | `/jwks` | the file `JWKS` |
//! | `/seen` | how many requests came to `/echo` |
//! | `/echo…` | the request as JSON |
//! | `/socket` | 101, and then back what comes |
//! | `/calls/SAGA` | the calls of one saga, oldest first |
//! | `/part/STEP/SAGA` | what the body's `how` says for this attempt: see [`Part`] |
//! | `/events/NAME` | the same for a pushed event; its calls are at `/calls/NAME` |
//! | `/poll/SAGA` | 200 with `{"number": 7}` |
//! | `/items` | a page of the table `item` of its database, as reconciliations ask for it; `PUT /items/KEY` writes one |

use crate::http::Message;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

/// A saga of one step, at a service `hello` of these.
pub const BOOK: &str = "
saga: book
steps:
  - seat: { call: \"PUT hello/part/seat/{saga.id}\", body: { how: [] }, compensate: \"DELETE hello/part/seat/{saga.id}\" }
answer:
  done: { status: 201, body: { id: \"{saga.id}\" } }
";

#[derive(Default)]
struct State {
    echoed: usize,
    /// By saga.
    calls: HashMap<String, Vec<Value>>,
    /// Attempts by idempotency key.
    attempts: HashMap<String, usize>,
}

#[test]
#[ignore = "no test: the service that the tests' systems run"]
fn service() {
    let port = std::env::var("PORT").expect("Ondol gives a port");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).expect("the port is free");
    let state = Mutex::default();
    std::thread::scope(|scope| {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no concern of the service's.
            scope.spawn(|| drop(serve(stream, &state)));
        }
    });
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = Message::read(&mut stream, false)? {
        let mut words = request.line.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let parts: Vec<_> = path.split(['/', '?']).skip(1).collect();
        let reply = match parts.as_slice() {
            ["health"] => text("ok"),
            ["work"] => {
                std::thread::sleep(Duration::from_millis(5));
                text(&std::env::var("ANSWER").unwrap_or_default())
            }
            ["env", name] => text(&std::env::var(name).unwrap_or_default()),
            ["jwks"] => text(&std::fs::read_to_string(std::env::var("JWKS").unwrap_or_default())?),
            ["seen"] => text(&lock(state).echoed.to_string()),
            ["echo", ..] => {
                lock(state).echoed += 1;
                text(&shown(method, path, &request).to_string())
            }
            ["socket"] => {
                let head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
                stream.get_mut().write_all(head)?;
                let mut back = stream.get_ref().try_clone()?;
                return io::copy(&mut stream, &mut back).map(drop);
            }
            ["calls", saga] => text(&json!(lock(state).calls.get(*saga)).to_string()),
            ["items", ..] => items(method, path, &request),
            ["poll", saga] => {
                remember(state, saga, method, path, &request);
                text(r#"{"number":7}"#)
            }
            ["part", _, saga] | ["events", saga] => {
                let attempt = remember(state, saga, method, path, &request);
                let how: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                let word = how["how"][attempt].as_str().unwrap_or("ok").to_owned();
                Part(&word).answer(saga, &mut stream)?
            }
            _ => reply(404, "", r#"{"title":"Nothing here"}"#),
        };
        let Some(reply) = reply else { return Ok(()) };
        stream.get_mut().write_all(reply.as_bytes())?;
    }
    Ok(())
}

/// One word of a participant's `how`, of which each attempt takes the next; past the end all is well.
struct Part<'a>(&'a str);

impl Part<'_> {
    /// The answer; `None`: the connection ends here.
    fn answer(&self, saga: &str, stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
        Ok(match self.0 {
            "ok" => text(r#"{"number":7}"#),
            "slow" => {
                std::thread::sleep(Duration::from_millis(1_500));
                text(r#"{"number":7}"#)
            }
            "nonsense" => {
                stream.get_mut().write_all(b"\x00\xffnonsense\r\n\r\n\r\n")?;
                None
            }
            "cut" => {
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"number\":")?;
                None
            }
            "hang" => {
                // Until the proxy gives up.
                let _ = stream.read(&mut [0]);
                None
            }
            "drip" => {
                // One byte a second, until the other side has had enough.
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
                let mut sent = stream.get_mut().write_all(head);
                while sent.is_ok() {
                    std::thread::sleep(Duration::from_secs(1));
                    sent = stream.get_mut().write_all(b".");
                }
                None
            }
            "no-json" => text("<html>"),
            "later" => reply(202, &format!("location: /poll/{saga}\r\n"), ""),
            "busy" => reply(503, "retry-after: 1\r\n", ""),
            "gone" => reply(404, "", ""),
            "refused" => reply(409, "", r#"{"title":"No","reason":"sold_out"}"#),
            other => panic!("no such word: {other}"),
        })
    }
}

fn shown(method: &str, path: &str, request: &Message) -> Value {
    let fields: serde_json::Map<String, Value> = request
        .fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), json!(value)))
        .collect();
    json!({
        "method": method, "path": path, "fields": fields, "length": request.body.len(),
        "instance": std::env::var("ONDOL_INSTANCE").unwrap_or_default(), "answer": std::env::var("ANSWER").unwrap_or_default(),
    })
}

/// Writes a call of a saga down; its number among the calls with the same key, from 0.
fn remember(state: &Mutex<State>, saga: &str, method: &str, path: &str, request: &Message) -> usize {
    let mut state = lock(state);
    state
        .calls
        .entry(saga.to_owned())
        .or_default()
        .push(shown(method, path, request));
    let key = request.field("idempotency-key").unwrap_or_default().to_owned();
    let attempts = state.attempts.entry(key).or_default();
    *attempts += 1;
    *attempts - 1
}

/// A page of items by rising key; or one is written, dated now.
fn items(method: &str, path: &str, request: &Message) -> Option<String> {
    let database = std::env::var("DATABASE_URL").expect("a database");
    let connection = Connection::open(database.trim_start_matches("sqlite://")).expect("opens");
    connection.busy_timeout(Duration::from_secs(30)).expect("set");
    if method == "PUT" {
        let key = path.rsplit('/').next().unwrap_or_default();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let write = "INSERT OR REPLACE INTO item VALUES (?1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?2)";
        connection
            .execute(write, (key, body["total"].as_i64()))
            .expect("written");
        return text("{}");
    }
    let (limit, after) = path.split_once("limit=").map_or(("0", ""), |(_, query)| {
        query.split_once("&after=").unwrap_or((query, ""))
    });
    let select =
        "SELECT json_object('key', key, 'at', at, 'total', total) FROM item WHERE key > ?1 ORDER BY key LIMIT ?2";
    let Ok(mut select) = connection.prepare(select) else {
        return reply(500, "", "");
    };
    let limit: usize = limit.parse().expect("a limit");
    let rows = select
        .query_map((after, limit + 1), |row| row.get::<_, String>(0))
        .expect("reads");
    let mut items: Vec<Value> = rows
        .map(|row| serde_json::from_str(&row.expect("a row")).expect("JSON"))
        .collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last["key"].clone());
    text(&json!({ "items": items, "next": next }).to_string())
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn text(body: &str) -> Option<String> {
    reply(200, "", body)
}

fn reply(status: u16, fields: &str, body: &str) -> Option<String> {
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status} x\r\n{fields}content-length: {length}\r\n\r\n{body}"
    ))
}
