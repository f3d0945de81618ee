//! The live stream, and who is signed in to the console.

use crate::http;
use crate::system::{System, until};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

const HELLO: (&str, &str) = ("hello", "scale: { min: 1, max: 3 }");

/// One stream of server-sent events.
pub struct Live {
    lines: std::io::Lines<BufReader<TcpStream>>,
    /// Of the last event that had one.
    id: String,
}

/// An event's name and data.
pub type Told = (String, Value);

impl Live {
    /// HTTP/1.0, so that the body comes as it is, without chunks.
    pub fn open(system: &System, query: &str, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(&system.console).expect("connected");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a timeout");
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let (console, token) = (&system.console, system.token());
        write!(
            stream,
            "GET /v1/live?{query} HTTP/1.0\r\nhost: {console}\r\nauthorization: Bearer {token}\r\n{last}\r\n"
        )
        .expect("asked");
        let mut lines = BufReader::new(stream).lines();
        let head: Vec<_> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        assert!(head[0].contains(" 200 "), "{head:?}");
        Self {
            lines,
            id: String::new(),
        }
    }

    pub fn next(&mut self) -> Told {
        let mut name = String::new();
        loop {
            let line = self.lines.next().expect("more").expect("a line");
            match line.split_once(": ") {
                Some(("id", id)) => self.id = id.to_owned(),
                Some(("event", event)) => name = event.to_owned(),
                Some(("data", data)) => return (name, serde_json::from_str(data).expect("JSON")),
                _ => {}
            }
        }
    }

    /// Reads on until an event is the one that is looked for.
    pub fn until(&mut self, mut wanted: impl FnMut(&Told) -> bool) -> Value {
        loop {
            let told = self.next();
            if wanted(&told) {
                return told.1;
            }
        }
    }
}

fn ready(count: u64) -> impl FnMut(&Told) -> bool {
    move |(name, frame)| name == "services" && frame["put"]["hello"]["ready"] == count
}

#[test]
fn the_live_stream_begins_with_snapshots_tells_differences_and_goes_on_where_it_broke_off() {
    let system = System::new("", &[HELLO]).up();
    let mut live = Live::open(&system, "topics=system,services", None);
    let (name, first) = live.next();
    assert_eq!((name.as_str(), &first["snapshot"]), ("system", &Value::Bool(true)));
    let services = live.until(ready(1));
    system.ondol(&["scale", "hello", "2"]).good();
    let two = live.until(ready(2));
    assert!(
        two["snapshot"].is_null() && two["n"].as_u64() > services["n"].as_u64(),
        "{two}"
    );

    let last = live.id.clone();
    drop(live);
    system.ondol(&["scale", "hello", "1"]).good();
    until("one is left", || (system.service("hello")["ready"] == 1).then_some(()));
    let mut again = Live::open(&system, "topics=services", Some(&last));
    let mut gap = two["n"].as_u64().expect("a number");
    let one = again.until(|told| {
        assert!(told.1["snapshot"].is_null(), "it goes on");
        gap += 1;
        assert_eq!(told.1["n"], gap, "nothing is missing");
        ready(1)(told)
    });
    assert!(one["n"].as_u64() > two["n"].as_u64());

    let (_, anew) = Live::open(&system, "topics=services", Some("ffffffff-1")).next();
    assert_eq!(anew["snapshot"], true, "of another controller's life");
    system.admin("GET", "/v1/live?topics=nothing", "").expect(400);
}

#[test]
fn the_live_stream_has_lines_of_one_service_and_changes() {
    let system = System::new("", &[HELLO]).up();
    let mut live = Live::open(&system, "topics=changes&logs=hello", None);
    let has = |(name, frame): &Told, topic: &str, wanted: &dyn Fn(&Value) -> bool| {
        name == topic && frame["items"].as_array().is_some_and(|items| items.iter().any(wanted))
    };
    live.until(|told| has(told, "changes", &|change| change["kind"] == "started"));
    system.signal("hello.1", Signal::KILL);
    // They come in any order.
    let (mut line, mut change) = (false, false);
    live.until(|told| {
        line |= has(told, "logs", &|line| {
            line["source"] == "hello.1" && line["stream"] == "sup"
        });
        change |= has(told, "changes", &|change| change["kind"] == "restart");
        line && change
    });
}

#[test]
fn a_reader_of_lines_that_comes_back_goes_on_after_the_last_one_it_has() {
    let system = System::new("", &[HELLO]).up();
    let lines = |(name, frame): &Told| match frame["items"].as_array() {
        Some(items) if name == "logs" => items.clone(),
        _ => Vec::new(),
    };
    let mut live = Live::open(&system, "logs=hello", None);
    let mut seen = Vec::new();
    live.until(|told| {
        seen.extend(lines(told));
        seen.len() > 1
    });
    drop(live);
    system.signal("hello.1", Signal::KILL);
    let before_last = seen[seen.len() - 2]["seq"].as_u64().expect("a number");
    let mut again = Live::open(&system, &format!("logs=hello&after={before_last}"), None);
    let mut went_on = Vec::new();
    again.until(|told| {
        went_on.extend(lines(told));
        went_on.iter().any(|line| line["stream"] == "sup")
    });
    assert_eq!(
        went_on[0],
        seen[seen.len() - 1],
        "nothing is left out, nothing comes twice"
    );
}

#[test]
fn requests_are_followed_like_lines_also_after_a_break() {
    let system = System::new("", &[("hello", "routes: [ { match: { prefix: /echo } } ]")]).up();
    // Requests to these paths, in order, and the number of the last.
    let requests = |live: &mut Live, wanted: &[&str]| {
        let (mut paths, mut seq) = (Vec::new(), 0);
        live.until(|(name, frame)| {
            for line in frame["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|_| name == "logs")
            {
                assert_eq!(
                    (&line["source"], &line["stream"]),
                    (&"hello.1".into(), &"access".into())
                );
                let said: Value = serde_json::from_str(line["text"].as_str().expect("text")).expect("JSON");
                paths.push(said["path"].as_str().expect("a path").to_owned());
                seq = line["seq"].as_u64().expect("a number");
            }
            paths.len() >= wanted.len()
        });
        assert_eq!(paths, wanted);
        seq
    };
    let mut live = Live::open(&system, "logs=access/hello", None);
    system.get("/echo/one");
    let last = requests(&mut live, &["/echo/one"]);
    drop(live);
    system.get("/echo/two");
    let mut again = Live::open(&system, &format!("logs=access/hello&after={}", last - 1), None);
    requests(&mut again, &["/echo/one", "/echo/two"]);
    system.get("/echo/three");
    requests(&mut again, &["/echo/three"]);
}

#[test]
fn a_link_signs_in_once_and_its_cookie_writes_only_with_its_token() {
    let system = System::new("", &[HELLO]).up();
    let ask = |method: &str, path: &str, fields: http::Fields| {
        http::ask(&system.console, method, path, fields, b"").expect("an answer")
    };
    ask("GET", "/", &[]).expect(200);
    ask("GET", "/sagas/some", &[]).expect(200);
    ask("GET", "/v1/services", &[]).expect(401);

    let link = system.json(&["console"])["url"].as_str().expect("a link").to_owned();
    let (_, path) = link.split_once(&system.console).expect("its own address");
    let in_ = ask("GET", path, &[]).expect(303);
    let set = in_.field("set-cookie").expect("a cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict"), "{set}");
    let cookie = ("cookie", set.split(';').next().expect("a pair"));
    assert!(ask("GET", path, &[]).expect(303).field("set-cookie").is_none(), "once");

    ask("GET", "/v1/services", &[cookie]).expect(200);
    ask("GET", "/v1/services", &[cookie, ("sec-fetch-site", "same-site")]).expect(403);
    ask("POST", "/v1/services/hello/restart", &[cookie]).expect(403);
    let session = ask("GET", "/v1/console", &[cookie]).expect(200).json();
    let token = session["csrf"].as_str().expect("a token").to_owned();
    ask("POST", "/v1/services/hello/restart", &[cookie, ("ondol-csrf", &token)]).expect(200);
    ask("POST", "/v1/services/hello/restart", &[cookie, ("ondol-csrf", "x")]).expect(403);
    ask(
        "POST",
        "/v1/services/hello/restart",
        &[cookie, ("ondol-csrf", &token), ("origin", "http://elsewhere")],
    )
    .expect(403);

    system.signal("controller", Signal::KILL);
    until("the cookie outlives the controller", || {
        let answer = http::ask(&system.console, "GET", "/v1/services", &[cookie], b"");
        answer.ok().filter(|answer| answer.status() == 200)
    });
}
