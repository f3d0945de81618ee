//! Connecting, what is asked of a server before it is trusted, the schema, and the epoch.

use crate::error::OpenError;
use ondol_core::task::{Kind, Tasks};
use std::time::Duration;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

const MIGRATIONS: &[&str] = &[include_str!("v1.sql"), include_str!("v2.sql"), include_str!("v3.sql")];
/// From version 2 to 3 where builds between the two wrote all that is version 3 now, and an index that nothing uses.
const FROM_FLOWS: &str = "DROP INDEX ondol.state_row_due";
const OLDEST: u32 = 140_000;
const CONNECT: Duration = Duration::from_secs(5);

/// Where the database is, and the family of tasks that drive its connections.
pub(super) struct Server {
    config: Config,
    tasks: Tasks,
}

impl Server {
    pub(super) fn parse(url: &str, tasks: Tasks) -> Result<Self, OpenError> {
        let bad = |_| OpenError::Address {
            rule: "after postgres: comes //user:password@host:port/database",
        };
        let mut config: Config = url.parse().map_err(bad)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.application_name("ondol");
        Ok(Self { config, tasks })
    }

    /// A new connection, driven by a task until it ends or its client is dropped.
    pub(super) async fn connect(&self) -> Result<Client, Error> {
        let (client, connection) = self.config.connect(NoTls).await?;
        self.tasks.spawn(Kind::Other, async move {
            if let Err(error) = connection.await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a connection to PostgreSQL ended"
                );
            }
        });
        Ok(client)
    }
}

/// The first value of the first row of a query without parameters.
async fn ask(client: &Client, query: &str) -> Result<String, Error> {
    let answer = client.simple_query(query).await?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.unwrap_or_default().to_owned())
}

/// Refuses a server whose acknowledgement is no promise, or that cannot hold every text. Asked on every connection that writes: a setting may change.
pub(super) async fn refuse_unsafe(client: &Client) -> Result<(), OpenError> {
    let version = ask(client, "SHOW server_version_num").await?;
    if version.parse().unwrap_or(0) < OLDEST {
        return Err(OpenError::Unsafe(format!(
            "its version is {version}, and the oldest that serves is {OLDEST}"
        )));
    }
    for setting in ["synchronous_commit", "fsync"] {
        if ask(client, &format!("SHOW {setting}")).await? == "off" {
            return Err(OpenError::Unsafe(format!("{setting} is off")));
        }
    }
    let encoding = ask(client, "SHOW server_encoding").await?;
    if encoding != "UTF8" {
        return Err(OpenError::Unsafe(format!("server_encoding is {encoding}, not UTF8")));
    }
    if ask(client, "SELECT pg_is_in_recovery()").await? == "t" {
        return Err(OpenError::Unsafe("it is a standby".into()));
    }
    Ok(())
}

/// Brings the schema to its present version, alone: a lock keeps a second opening waiting.
pub(super) async fn migrate(client: &Client) -> Result<(), OpenError> {
    client
        .batch_execute("BEGIN; SELECT pg_advisory_xact_lock(hashtext('ondol.migrate'))")
        .await?;
    let outcome = migrate_locked(client).await;
    client
        .batch_execute(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })
        .await?;
    outcome
}

async fn migrate_locked(client: &Client) -> Result<(), OpenError> {
    let known = MIGRATIONS.len() as i64;
    let schema = ask(client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'ondol'").await? == "1";
    let meta = "SELECT to_regclass('ondol.meta') IS NOT NULL AND to_regclass('ondol.state_row') IS NOT NULL";
    if schema && ask(client, meta).await? != "t" {
        return Err(OpenError::Foreign("the database's schema `ondol`".into()));
    }
    let found = if schema {
        ask(client, "SELECT version FROM ondol.meta")
            .await?
            .parse()
            .unwrap_or(i64::MAX)
    } else {
        0
    };
    if !(0..=known).contains(&found) {
        return Err(OpenError::Newer { found, known });
    }
    for (version, sql) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        let has_flows = version == 2 && ask(client, "SELECT to_regclass('ondol.kind') IS NOT NULL").await? == "t";
        client.batch_execute(if has_flows { FROM_FLOWS } else { sql }).await?;
        client
            .batch_execute(&format!("UPDATE ondol.meta SET version = {}", version + 1))
            .await?;
    }
    Ok(())
}

/// Takes the store over: commits a higher epoch before anything is read. Waits for a transaction of the former owner.
pub(super) async fn raise_epoch(client: &Client) -> Result<u64, OpenError> {
    let row = client
        .query_one("UPDATE ondol.meta SET epoch = epoch + 1 RETURNING epoch", &[])
        .await?;
    Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
}
