//! The statements of barrier, outbox and inbox on one connection: nearly the same SQL on SQLite and PostgreSQL, so one
//! macro serves every driver.

use std::future::Future;

use crate::barrier::Row;

/// Whose SQL it is, where the two differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A database connection that barrier, outbox and inbox can use: sqlx's SQLite, PostgreSQL and run-time (`Any`) connections, each
/// behind the feature of its name. Pass `&mut *tx`: a barrier outside a transaction protects nothing.
pub trait Connection {
    /// Runs a statement that gives no rows.
    #[doc(hidden)]
    fn run(&mut self, sql: &'static str) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Whose SQL it takes.
    #[doc(hidden)]
    fn dialect(&self) -> Dialect;

    /// Runs a statement with these texts; how many rows it has changed.
    #[doc(hidden)]
    fn change(
        &mut self,
        sql: &'static str,
        values: &[Option<String>],
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Inserts the row of `(saga, step, op)`. `false`: it was there.
    #[doc(hidden)]
    fn claim(
        &mut self,
        id: [&str; 3],
        by_op: &'static str,
        attempt: String,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;

    /// Reads it.
    #[doc(hidden)]
    fn read(&mut self, id: [&str; 3]) -> impl Future<Output = Result<Option<Row>, sqlx::Error>> + Send;

    /// Keeps the answer in it. `false`: there is no such row.
    #[doc(hidden)]
    fn keep(
        &mut self,
        id: [&str; 3],
        status: i64,
        answer: String,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;
}

macro_rules! connection {
    ($feature:literal, $type:ty, $dialect:expr) => {
        #[cfg(feature = $feature)]
        impl Connection for $type {
            async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
                sqlx::raw_sql(sql).execute(self).await.map(drop)
            }

            fn dialect(&self) -> Dialect {
                let dialect: fn(&$type) -> Dialect = $dialect;
                dialect(self)
            }

            async fn change(&mut self, sql: &'static str, values: &[Option<String>]) -> Result<u64, sqlx::Error> {
                let query = values
                    .iter()
                    .fold(sqlx::query(sql), |query, value| query.bind(value.clone()));
                Ok(query.execute(self).await?.rows_affected())
            }

            async fn claim(
                &mut self,
                [saga, step, op]: [&str; 3],
                by_op: &'static str,
                attempt: String,
            ) -> Result<bool, sqlx::Error> {
                let insert = "INSERT INTO ondol_barrier (saga, step, op, by_op, attempt) VALUES ($1, $2, $3, $4, $5) \
                              ON CONFLICT DO NOTHING";
                let query = sqlx::query(insert)
                    .bind(saga.to_owned())
                    .bind(step.to_owned())
                    .bind(op.to_owned());
                Ok(query
                    .bind(by_op)
                    .bind(attempt)
                    .execute(self)
                    .await?
                    .rows_affected()
                    == 1)
            }

            async fn read(&mut self, [saga, step, op]: [&str; 3]) -> Result<Option<Row>, sqlx::Error> {
                let select =
                    "SELECT by_op, status, answer FROM ondol_barrier WHERE saga = $1 AND step = $2 AND op = $3";
                let query = sqlx::query_as::<_, (String, Option<i64>, Option<String>)>(select);
                let row = query
                    .bind(saga.to_owned())
                    .bind(step.to_owned())
                    .bind(op.to_owned());
                let row = row.fetch_optional(self).await?;
                Ok(row.map(|(by_op, status, answer)| Row {
                    by_op,
                    answer: status.zip(answer),
                }))
            }

            async fn keep(
                &mut self,
                [saga, step, op]: [&str; 3],
                status: i64,
                answer: String,
            ) -> Result<bool, sqlx::Error> {
                let update =
                    "UPDATE ondol_barrier SET status = $4, answer = $5 WHERE saga = $1 AND step = $2 AND op = $3";
                let query = sqlx::query(update)
                    .bind(saga.to_owned())
                    .bind(step.to_owned())
                    .bind(op.to_owned());
                Ok(query
                    .bind(status)
                    .bind(answer)
                    .execute(self)
                    .await?
                    .rows_affected()
                    == 1)
            }
        }
    };
}

connection!("sqlite", sqlx::SqliteConnection, |_| Dialect::Sqlite);
connection!("postgres", sqlx::PgConnection, |_| Dialect::Postgres);
connection!(
    "any",
    sqlx::AnyConnection,
    |connection| match connection.backend_name() {
        "PostgreSQL" => Dialect::Postgres,
        _ => Dialect::Sqlite,
    }
);
