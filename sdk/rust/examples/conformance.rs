//! The driver of `conformance/sdk`: does by this crate's public functions what it is told, line by line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use ondol_sdk::barrier::{self, BarrierError, Entry, Undo};
use ondol_sdk::outbox::{self, OutboxError};
use ondol_sdk::publish::{Mode, PublishError, publish_as};
use ondol_sdk::subscribe::{self, Back, BadRequest, Failure, Leased, Page};
use ondol_sdk::{Answer, Context, Event, KeyError, Platform, PlatformError, SagaKey, inbox, publish};
use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, Connection as _, Executor as _};
use std::cell::RefCell;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Duration;
use tokio::sync::watch;

type Outcome = Result<Value, Box<dyn Error + Send + Sync>>;

/// One connection and one platform, as `open` names them.
struct Driver {
    connection: AnyConnection,
    is_sqlite: bool,
    platform: Platform,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    sqlx::any::install_default_drivers();
    let mut driver = None;
    for line in std::io::stdin().lock().lines() {
        let line: Value = serde_json::from_str(&line?)?;
        let outcome = match (&mut driver, line["do"].as_str()) {
            (_, Some("open")) => Driver::open(&line).await.map(|opened| {
                driver = Some(opened);
                json!({})
            }),
            (Some(driver), Some(what)) => driver.answer(what, &line).await,
            _ => Err("nothing is open".into()),
        };
        let answer = match outcome {
            Ok(answer) => json!({ "id": line["id"], "ok": answer }),
            Err(error) => json!({ "id": line["id"], "error": told(&*error) }),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

impl Driver {
    async fn open(line: &Value) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let database = text(line, "database");
        let is_sqlite = database.starts_with("sqlite:");
        let url = if is_sqlite {
            format!("{database}?mode=rwc")
        } else {
            database.to_owned()
        };
        let mut connection = AnyConnection::connect(&url).await?;
        if is_sqlite {
            connection.execute("PRAGMA busy_timeout = 30000").await?;
        }
        Ok(Self {
            connection,
            is_sqlite,
            platform: Platform::new(
                text(line, "ondol_url"),
                text(line, "ondol_token"),
                text(line, "service"),
            )?,
        })
    }

    async fn answer(&mut self, what: &str, line: &Value) -> Outcome {
        match what.split_once('.') {
            Some(("barrier", verb)) => self.barrier(verb, line).await,
            Some(("subscribe", verb)) => self.subscribe(verb, line).await,
            _ => self.table(what, line).await,
        }
    }

    async fn table(&mut self, what: &str, line: &Value) -> Outcome {
        let connection = &mut self.connection;
        match what {
            "create" => {
                barrier::create(connection).await?;
                outbox::create(connection).await?;
                inbox::create(connection).await?;
            }
            "begin" if self.is_sqlite => run(connection, "BEGIN IMMEDIATE").await?,
            "begin" | "commit" | "rollback" => run(connection, what).await?,
            "sql" => run(connection, text(line, "sql")).await?,
            "outbox.enqueue" => {
                let event = event(&line["event"])?.caused_by(&headers(&line["request"])?);
                outbox::enqueue(connection, &event).await?;
                return Ok(json!({ "id": event.event_id() }));
            }
            "outbox.relayed" => return Ok(json!({ "relayed": outbox::relayed(&self.platform).await? })),
            "outbox.trim" => {
                let relayed = line["relayed"].as_u64().unwrap_or_default();
                return Ok(json!({ "deleted": outbox::trim(connection, relayed).await? }));
            }
            "inbox.once" => {
                let first = inbox::once(connection, text(line, "subscription"), text(line, "event")).await?;
                return Ok(json!({ "first": first }));
            }
            "publish" => return self.publish(line).await,
            other => return Err(format!("{other} is not known").into()),
        }
        Ok(json!({}))
    }

    async fn barrier(&mut self, verb: &str, line: &Value) -> Outcome {
        let key = SagaKey::from_headers(&headers(&line["headers"])?)?;
        let connection = &mut self.connection;
        Ok(match verb {
            "key" => json!({ "saga": key.saga(), "step": key.step(), "operation": key.operation().as_str(),
                "attempt": key.attempt().to_string() }),
            "action" => match barrier::action(connection, &key).await? {
                Entry::First => json!({ "entry": "first" }),
                Entry::Duplicate(answer) => json!({ "entry": "duplicate", "answer": answered(&answer) }),
                Entry::Late => json!({ "entry": "late", "answer": answered(&Answer::late()) }),
            },
            "compensation" => match barrier::compensation(connection, &key).await? {
                Undo::Needed => json!({ "undo": "needed" }),
                Undo::NotNeeded => json!({ "undo": "not-needed" }),
                Undo::Duplicate(answer) => json!({ "undo": "duplicate", "answer": answered(&answer) }),
            },
            "store" => {
                let answer = Answer {
                    status: u16::try_from(line["answer"]["status"].as_u64().unwrap_or_default())?,
                    body: line["answer"]["body"].clone(),
                };
                barrier::store(connection, &key, &answer).await?;
                json!({})
            }
            other => return Err(format!("barrier.{other} is not known").into()),
        })
    }

    async fn publish(&self, line: &Value) -> Outcome {
        let mut platform = self.platform.clone();
        if let Some(attempts) = line["attempts"].as_u64() {
            platform = platform.attempts(u32::try_from(attempts)?);
        }
        if let Some(deadline) = line["deadline"].as_f64() {
            platform = platform.deadline(Duration::from_secs_f64(deadline));
        }
        let mut events = Vec::new();
        for one in line["events"].as_array().into_iter().flatten() {
            let copies = line["copies"].as_u64().unwrap_or(1);
            let event = event(one)?;
            events.extend((0..copies).map(|_| event.clone()));
        }
        let mode = match text(line, "mode") {
            "binary" => Mode::Binary,
            "structured" => Mode::Structured,
            _ => Mode::Batch,
        };
        let context = Context::from_headers(&headers(&line["request"])?);
        let published = publish_as(mode, &platform, &events, &context).await?;
        let published = published
            .into_iter()
            .map(|one| json!({ "id": one.id, "position": one.position, "duplicate": one.duplicate }));
        Ok(json!({ "events": published.collect::<Vec<_>>() }))
    }

    async fn subscribe(&mut self, verb: &str, line: &Value) -> Outcome {
        let (platform, name) = (&self.platform, text(line, "name"));
        let leases: Vec<&str> = line["leases"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        match verb {
            "read" => {
                let push = subscribe::read(
                    &headers(&line["headers"])?,
                    text(line, "body").as_bytes(),
                    line["subscription"].as_str(),
                )?;
                let deadline = push.deadline.map(|deadline| deadline.as_millis() as u64);
                return Ok(
                    json!({ "event": push.event.to_json(), "subscription": push.subscription,
                    "attempt": push.attempt.to_string(), "deadline_ms": deadline }),
                );
            }
            "pull" => {
                let events = subscribe::pull(platform, name, page(line)).await?;
                let events = events
                    .iter()
                    .map(|one| json!({ "lease": one.lease, "event": one.event.to_json() }));
                return Ok(json!({ "events": events.collect::<Vec<_>>() }));
            }
            "ack" => subscribe::ack(platform, name, &leases).await?,
            "nack" => {
                let back = match (line["reject"].as_bool(), line["delay"].as_f64()) {
                    (Some(true), _) => Back::Reject,
                    (_, Some(delay)) => Back::After(Duration::from_secs_f64(delay)),
                    _ => Back::Again,
                };
                subscribe::nack(platform, name, &leases, back, text(line, "reason")).await?;
            }
            "run" => return self.run(line).await,
            other => return Err(format!("subscribe.{other} is not known").into()),
        }
        Ok(json!({}))
    }

    async fn run(&self, line: &Value) -> Outcome {
        let (handled, (stop, mut stopped)) = (RefCell::new(Vec::new()), watch::channel(false));
        let most = line["stop_after"].as_u64().unwrap_or_default() as usize;
        let handler = async |leased: &Leased| {
            handled.borrow_mut().push(leased.event.id.clone());
            if handled.borrow().len() >= most {
                stop.send_replace(true);
            }
            let how = &line["handle"][&leased.event.id];
            match text(how, "then") {
                "fail" => Err(Failure::Again(text(how, "reason").into())),
                "reject" => Err(Failure::Reject(text(how, "reason").to_owned())),
                "publish" => {
                    publish(&self.platform, &[event(&how["event"])?], &leased.context()).await?;
                    Ok(())
                }
                _ => Ok(()),
            }
        };
        let ended = async { drop(stopped.wait_for(|stopped| *stopped).await) };
        subscribe::run(&self.platform, text(line, "name"), page(line), ended, handler).await?;
        Ok(json!({ "handled": handled.into_inner() }))
    }
}

async fn run(connection: &mut AnyConnection, sql: &str) -> Result<(), sqlx::Error> {
    connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await?;
    Ok(())
}

fn page(line: &Value) -> Page {
    let seconds = |name: &str| Duration::from_secs_f64(line[name].as_f64().unwrap_or_default());
    Page {
        limit: line["limit"].as_u64().unwrap_or_default() as u32,
        wait: seconds("wait"),
        lease: seconds("lease"),
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn headers(value: &Value) -> Result<HeaderMap, Box<dyn Error + Send + Sync>> {
    let mut headers = HeaderMap::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    Ok(headers)
}

type Setter = fn(Event, String) -> Event;

fn event(value: &Value) -> Result<Event, Box<dyn Error + Send + Sync>> {
    let mut rest = value.as_object().cloned().unwrap_or_default();
    let mut take = |name: &str| rest.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    let (kind, content_type) = (take("type").unwrap_or_default(), take("datacontenttype"));
    let mut event = match take("data_base64") {
        Some(bytes) => Event::bytes(kind, content_type.unwrap_or_default(), STANDARD.decode(bytes)?),
        None => {
            let event = Event::new(kind, value["data"].clone());
            content_type.into_iter().fold(event, Event::content_type)
        }
    };
    let set: [(_, Setter); 4] = [
        ("id", Event::id),
        ("source", Event::source),
        ("subject", Event::subject),
        ("partitionkey", Event::key),
    ];
    for (name, set) in set {
        if let Some(text) = take(name) {
            event = set(event, text);
        }
    }
    rest.remove("data");
    Ok(rest
        .into_iter()
        .fold(event, |event, (name, value)| event.with(name, value)))
}

fn answered(answer: &Answer) -> Value {
    json!({ "status": answer.status, "body": answer.body })
}

/// An error by the words of the conformance suite.
fn told(error: &(dyn Error + Send + Sync + 'static)) -> Value {
    let mut words = Map::new();
    let kind = match kind_of(error) {
        Some((kind, more)) => {
            words.extend(more);
            kind
        }
        None => "internal",
    };
    words.insert("kind".into(), kind.into());
    words.insert("message".into(), error.to_string().into());
    Value::Object(words)
}

fn kind_of(error: &(dyn Error + Send + Sync + 'static)) -> Option<(&'static str, Map<String, Value>)> {
    let plain = |kind| Some((kind, Map::new()));
    let with = |kind, more: Value| Some((kind, more.as_object().cloned().unwrap_or_default()));
    if error.is::<KeyError>() {
        return with("bad-key", json!({ "status": 400 }));
    }
    if let Some(bad) = error.downcast_ref::<BadRequest>() {
        return with("bad-request", json!({ "status": bad.status() }));
    }
    match error.downcast_ref::<BarrierError>() {
        Some(BarrierError::WrongOperation(_)) => return plain("wrong-operation"),
        Some(BarrierError::NoAnswer(_)) => return plain("no-answer"),
        Some(BarrierError::NotEntered(_)) => return plain("not-entered"),
        _ => {}
    }
    if let Some(OutboxError::Event(_)) = error.downcast_ref() {
        return plain("bad-event");
    }
    let platform = match error.downcast_ref::<PublishError>() {
        Some(PublishError::Event(_)) => return plain("bad-event"),
        Some(PublishError::Platform(platform)) => Some(platform),
        None => error.downcast_ref(),
    };
    match platform? {
        PlatformError::Unavailable { .. } => plain("unavailable"),
        PlatformError::Refused { status, code, .. } => with("refused", json!({ "status": status, "code": code })),
        PlatformError::BadAnswer(_) => plain("bad-answer"),
    }
}
