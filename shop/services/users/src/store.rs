//! The accounts in the database.
//!
//! Invariant: an email belongs to one account at most; the database's own constraint says so, not a query before it.
//!
//! Tests: `tests/http.rs`.

use serde_json::json;
use shop_kit::{Database, Event, Keys, OUTBOX, Tx, outbox};
use sqlx::any::AnyRow;
use sqlx::{Error, Row};

/// The tables, in the order in which they came to be.
pub const MIGRATIONS: [&str; 3] = [
    "CREATE TABLE accounts (
         id         TEXT PRIMARY KEY,
         email      TEXT NOT NULL UNIQUE, -- trimmed, lower case
         name       TEXT NOT NULL,
         password   TEXT NOT NULL,        -- Argon2id, as a PHC string
         roles      TEXT NOT NULL,        -- words separated by spaces
         created_at BIGINT NOT NULL       -- seconds since 1970
     )",
    Keys::SCHEMA,
    OUTBOX,
];

/// A person who can sign in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// A UUID; the `sub` of its tokens.
    pub id: String,
    /// Unique.
    pub email: String,
    /// To be shown.
    pub name: String,
    /// The password's hash.
    pub password: String,
    /// Such as `admin`.
    pub roles: Vec<String>,
}

/// Where the accounts are.
#[derive(Clone, Debug)]
pub struct Store {
    /// The database, for those who begin a write.
    pub database: Database,
}

impl Store {
    /// Over an open database that has [`MIGRATIONS`].
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// The account with this email.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_email(&self, email: &str) -> Result<Option<Account>, Error> {
        let query = sqlx::query("SELECT id, email, name, password, roles FROM accounts WHERE email = $1");
        let row = query
            .bind(email.to_owned())
            .fetch_optional(self.database.read())
            .await?;
        row.map(|row| account(&row)).transpose()
    }

    /// The account with this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_id(&self, id: &str) -> Result<Option<Account>, Error> {
        let query = sqlx::query("SELECT id, email, name, password, roles FROM accounts WHERE id = $1");
        let row = query.bind(id.to_owned()).fetch_optional(self.database.read()).await?;
        row.map(|row| account(&row)).transpose()
    }

    /// How many there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&self) -> Result<i64, Error> {
        sqlx::query_scalar("SELECT COUNT(*) FROM accounts")
            .fetch_one(self.database.read())
            .await
    }
}

/// Adds an account in `tx`, and says so to whoever wants to know. `false`: the email is taken, nothing was done.
///
/// # Errors
/// The database's.
pub async fn add(tx: &mut Tx, account: &Account, now: i64) -> Result<bool, Error> {
    let insert = sqlx::query(
        "INSERT INTO accounts (id, email, name, password, roles, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (email) DO NOTHING",
    );
    let insert = insert
        .bind(account.id.clone())
        .bind(account.email.clone())
        .bind(account.name.clone());
    let insert = insert
        .bind(account.password.clone())
        .bind(account.roles.join(" "))
        .bind(now);
    let added = insert.execute(&mut **tx).await?.rows_affected() == 1;
    if added {
        outbox::announce(tx, registered(account)).await?;
    }
    Ok(added)
}

/// The id alone: the log is kept for ever, and a person must be forgotten when they ask for it.
fn registered(account: &Account) -> Event {
    let data = json!({ "id": account.id });
    let event = Event::new("user.registered.v1", data).id(format!("user.registered:{}", account.id));
    event.subject(account.id.clone()).key(account.id.clone())
}

fn account(row: &AnyRow) -> Result<Account, Error> {
    let roles: String = row.try_get("roles")?;
    Ok(Account {
        id: row.try_get("id")?,
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        password: row.try_get("password")?,
        roles: roles.split_whitespace().map(str::to_owned).collect(),
    })
}
