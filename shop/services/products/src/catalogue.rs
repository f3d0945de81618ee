//! The catalogue in SQLite: a table of products, and beside it a full-text index that is made for one question.
//!
//! Invariant: the index is what the table is; triggers change both in one transaction.
//!
//! The fifty products of `seed/products.json` are put into an empty database once; after that the database is the truth.
//!
//! Tests: below for the query text; the rest in `tests/http.rs`.

use serde::{Deserialize, Serialize};
use shop_kit::{CURRENCY, Database, Problem};
use sqlx::any::AnyRow;
use sqlx::{Error, Row};

/// The tables, in the order in which they came to be.
pub const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE products (
    number      INTEGER PRIMARY KEY, -- the index's row; stays when the file is vacuumed
    id          TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    price       BIGINT NOT NULL CHECK (price > 0) -- minor units
);
CREATE VIRTUAL TABLE product_search USING fts5(
    name, description, content = 'products', content_rowid = 'number',
    tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER product_added AFTER INSERT ON products BEGIN
    INSERT INTO product_search (rowid, name, description) VALUES (new.number, new.name, new.description);
END;
CREATE TRIGGER product_removed AFTER DELETE ON products BEGIN
    INSERT INTO product_search (product_search, rowid, name, description)
    VALUES ('delete', old.number, old.name, old.description);
END;
CREATE TRIGGER product_changed AFTER UPDATE ON products BEGIN
    INSERT INTO product_search (product_search, rowid, name, description)
    VALUES ('delete', old.number, old.name, old.description);
    INSERT INTO product_search (rowid, name, description) VALUES (new.number, new.name, new.description);
END;
",
    // Nothing ever read it.
    "ALTER TABLE products DROP COLUMN kind",
];

/// What an empty shop sells.
const SEED: &str = include_str!("../seed/products.json");
/// Words of a search that count; the rest is left out.
const MOST_WORDS: usize = 10;

/// A product as the public sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Product {
    /// Such as `p01`.
    pub id: String,
    /// To be shown.
    pub name: String,
    /// A sentence or two.
    pub description: String,
    /// Of one piece, in minor units.
    pub price: i64,
    /// ISO 4217.
    pub currency: &'static str,
    /// A path at the gateway.
    pub image_url: String,
}

/// What an order needs to know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Price {
    /// Which product.
    pub id: String,
    /// As it is called now.
    pub name: String,
    /// Of one piece, in minor units, now.
    pub price: i64,
    /// ISO 4217.
    pub currency: &'static str,
}

/// Why the catalogue could not be seeded.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The database.
    #[error("the database")]
    Database(#[from] Error),
    /// No write could be begun.
    #[error("the database takes no write: {}", .0.reason())]
    Write(Problem),
    /// The file that is built in.
    #[error("seed/products.json")]
    File(#[from] serde_json::Error),
}

/// One line of the seed.
#[derive(Deserialize)]
struct Seed {
    id: String,
    name: String,
    description: String,
    price: i64,
}

/// The catalogue.
#[derive(Clone, Debug)]
pub struct Catalogue {
    database: Database,
}

impl Catalogue {
    /// Over an open SQLite database that has [`MIGRATIONS`].
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Puts the first products into an empty catalogue.
    ///
    /// # Errors
    /// [`SeedError`]; nothing is half seeded.
    pub async fn seed(&self) -> Result<(), SeedError> {
        let seed: Vec<Seed> = serde_json::from_str(SEED)?;
        let mut tx = self.database.write().await.map_err(SeedError::Write)?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM products")
            .fetch_one(&mut *tx)
            .await?;
        if count > 0 {
            return Ok(());
        }
        for product in seed {
            let insert = "INSERT INTO products (id, name, description, price) VALUES ($1, $2, $3, $4)";
            sqlx::query(insert)
                .bind(product.id)
                .bind(product.name)
                .bind(product.description)
                .bind(product.price)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Products by id after `after`, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, after: &str, limit: u32) -> Result<Vec<Product>, Error> {
        let select = "SELECT id, name, description, price FROM products WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = sqlx::query(select).bind(after.to_owned()).bind(i64::from(limit));
        rows.fetch_all(self.database.read())
            .await?
            .iter()
            .map(product)
            .collect()
    }

    /// Products that hold every word of `text`, the best match first; a hit in the name weighs eight times one in the
    /// description. After the product `after` in that order (empty: from the first), at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn search(&self, text: &str, after: &str, limit: u32) -> Result<Vec<Product>, Error> {
        let Some(words) = words(text) else {
            return Ok(Vec::new());
        };
        let select = "
            WITH hits AS MATERIALIZED (
                SELECT rowid AS number, bm25(product_search, 8.0, 1.0) AS score
                FROM product_search WHERE product_search MATCH $1
            ), found AS (
                SELECT id, name, description, price, score FROM hits JOIN products USING (number)
            )
            SELECT id, name, description, price FROM found
            WHERE $2 = '' OR (score, id) > (SELECT score, id FROM found WHERE id = $2)
            ORDER BY score, id LIMIT $3";
        let rows = sqlx::query(select)
            .bind(words)
            .bind(after.to_owned())
            .bind(i64::from(limit));
        rows.fetch_all(self.database.read())
            .await?
            .iter()
            .map(product)
            .collect()
    }

    /// One product.
    ///
    /// # Errors
    /// The database's.
    pub async fn one(&self, id: &str) -> Result<Option<Product>, Error> {
        let select = "SELECT id, name, description, price FROM products WHERE id = $1";
        let row = sqlx::query(select)
            .bind(id.to_owned())
            .fetch_optional(self.database.read())
            .await?;
        row.as_ref().map(product).transpose()
    }

    /// Names and prices of those of `ids` that exist.
    ///
    /// # Errors
    /// The database's.
    pub async fn prices(&self, ids: &[&str]) -> Result<Vec<Price>, Error> {
        let select = "SELECT id, name, price FROM products WHERE id IN (SELECT value FROM json_each($1)) ORDER BY id";
        let rows = sqlx::query(select).bind(serde_json::json!(ids).to_string());
        let price = |row: &AnyRow| {
            Ok(Price {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                price: row.try_get("price")?,
                currency: CURRENCY,
            })
        };
        rows.fetch_all(self.database.read()).await?.iter().map(price).collect()
    }
}

fn product(row: &AnyRow) -> Result<Product, Error> {
    let id: String = row.try_get("id")?;
    Ok(Product {
        // The media service keeps the pictures; a page does without while that is away.
        image_url: format!("/api/media/product-{id}.svg"),
        id,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        price: row.try_get("price")?,
        currency: CURRENCY,
    })
}

/// What a person typed as a query of FTS5: each word in quotes, so that none of it is an operator, each as the beginning
/// of a word, all of them needed. `None` when there is no word in it.
fn words(text: &str) -> Option<String> {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let words: Vec<String> = words.take(MOST_WORDS).map(|word| format!("\"{word}\"*")).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_typed_is_an_operator() {
        assert_eq!(words("tea pot").as_deref(), Some(r#""tea"* "pot"*"#));
        assert_eq!(
            words(r#"name:"tea" OR NOT (*)"#).as_deref(),
            Some(r#""name"* "tea"* "OR"* "NOT"*"#)
        );
        assert_eq!(words("모시 천").as_deref(), Some(r#""모시"* "천"*"#));
        assert_eq!(words(" \"*- "), None);
    }

    #[test]
    fn the_seed_has_fifty_products_that_a_shop_could_sell() {
        let seed: Vec<Seed> = serde_json::from_str(SEED).unwrap();
        let ids: Vec<String> = (1..=50).map(|number| format!("p{number:02}")).collect();
        assert_eq!(seed.iter().map(|product| product.id.clone()).collect::<Vec<_>>(), ids);
        for product in &seed {
            assert!(
                (100..=20_000).contains(&product.price) && product.description.len() > 20,
                "{}",
                product.id
            );
        }
    }
}
