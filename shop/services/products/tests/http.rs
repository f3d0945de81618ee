//! products over HTTP: a real router on a real socket with a real SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use shop_kit::Database;
use shop_kit::testing::{Said, Service};
use shop_products::{catalogue, service};
use tempfile::TempDir;

async fn open(folder: &TempDir) -> Database {
    let url = format!("sqlite://{}/products.db", folder.path().display());
    Database::open(&url, &catalogue::MIGRATIONS).await.unwrap()
}

async fn fresh() -> (Service, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(service(open(&folder).await).await.unwrap()).await;
    (service, folder)
}

fn ids(said: &Said) -> Vec<&str> {
    said.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

fn names(said: &Said) -> Vec<&str> {
    said.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

/// Follows `next` from the first page to the last.
async fn all_pages(service: &Service, query: &str, limit: usize) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = service
            .get("", &format!("/api/products?{query}&limit={limit}&after={after}"))
            .await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(ids(&page).len() <= limit);
        found.extend(ids(&page).into_iter().map(str::to_owned));
        match page.body["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return found,
        }
    }
}

#[tokio::test]
async fn pages_hold_every_product_once_in_order() {
    let (service, _folder) = fresh().await;
    let expected: Vec<String> = (1..=50).map(|number| format!("p{number:02}")).collect();
    for limit in [7, 25, 50, 100] {
        assert_eq!(all_pages(&service, "q=", limit).await, expected, "{limit} a page");
    }
}

#[tokio::test]
async fn a_product_is_answered_with_its_price_and_where_its_picture_is() {
    let (service, _folder) = fresh().await;
    let one = service.get("", "/api/products/p01").await;
    assert_eq!(
        (one.body["name"].as_str(), one.body["price"].as_i64()),
        (Some("Celadon teapot"), Some(5400))
    );
    assert_eq!(one.body["currency"], "EUR");
    assert_eq!(one.body["image_url"], "/api/media/product-p01.svg");
    assert_eq!(service.get("", "/api/products/p51").await.status, 404);
}

#[tokio::test]
async fn search_finds_by_the_beginning_of_words_the_name_first() {
    let (service, _folder) = fresh().await;
    let check = async |query: &str, expected: &[&str]| {
        let found = service.get("", &format!("/api/products?q={query}")).await;
        assert_eq!(names(&found), expected, "{query}");
    };
    check("teap", &["Celadon teapot"]).await;
    check("CELADON%20teapots", &["Celadon teapot"]).await;
    check("lamp", &["Bedside lamp", "Paper floor lamp"]).await;
    check("teapot%20hammer", &[]).await;
    check("%22%29%20OR%20%2A", &[]).await;
    let oil = service.get("", "/api/products?q=oil").await;
    assert!(
        names(&oil)[..2].iter().all(|name| name.contains("oil")),
        "{:?}",
        names(&oil)
    );
    assert!(names(&oil).contains(&"Walnut tray"), "its description says oiled");
}

#[tokio::test]
async fn pages_of_a_search_hold_every_hit_once_in_one_order() {
    let (service, _folder) = fresh().await;
    let whole = all_pages(&service, "q=a", 100).await;
    assert!(whole.len() > 20, "a common beginning of words: {}", whole.len());
    assert_eq!(all_pages(&service, "q=a", 3).await, whole);
}

#[tokio::test]
async fn a_query_that_does_not_fit_is_refused() {
    let (service, _folder) = fresh().await;
    let long = "x".repeat(201);
    for bad in ["limit=0", "limit=101", "limit=many", &format!("q={long}")] {
        let said = service.get("", &format!("/api/products?{bad}")).await;
        assert_eq!((said.status, &said.body["reason"]), (400, &json!("bad_query")), "{bad}");
    }
    assert_eq!(service.get("", "/internal/products").await.status, 400);
}

#[tokio::test]
async fn an_answer_that_has_not_changed_is_not_sent_again() {
    let (service, _folder) = fresh().await;
    for path in ["/api/products?limit=2", "/api/products/p01"] {
        let first = service.get("", path).await;
        assert_eq!(first.headers["cache-control"], "public, max-age=60", "{path}");
        let tag = first.headers["etag"].to_str().unwrap();
        let again = service.ask("GET", path, &[("if-none-match", tag)], Value::Null).await;
        assert_eq!((again.status, again.body), (304, Value::Null), "{path}");
        assert_eq!(again.headers["etag"], tag, "{path}");
    }
}

#[tokio::test]
async fn a_changed_price_changes_the_tag_and_the_index_follows_a_changed_name() {
    let (service, folder) = fresh().await;
    let before = service.get("", "/api/products/p01").await;
    let mut tx = open(&folder).await.write().await.unwrap();
    sqlx::query("UPDATE products SET price = 1, name = 'Zither' WHERE id = 'p01'")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let tag = before.headers["etag"].to_str().unwrap();
    let after = service
        .ask("GET", "/api/products/p01", &[("if-none-match", tag)], Value::Null)
        .await;
    assert_eq!((after.status, after.body["price"].as_i64()), (200, Some(1)));
    assert_eq!(ids(&service.get("", "/api/products?q=zither").await), ["p01"]);
    assert_eq!(
        ids(&service.get("", "/api/products?q=celadon").await),
        Vec::<&str>::new()
    );
}

#[tokio::test]
async fn orders_are_told_prices_of_what_exists_and_nothing_of_the_rest() {
    let (service, _folder) = fresh().await;
    let said = service.get("", "/internal/products?ids=p02,nothing,p01,p02").await;
    let expected = json!({"items": [
        {"id": "p01", "name": "Celadon teapot", "price": 5400, "currency": "EUR"},
        {"id": "p02", "name": "Moon jar vase", "price": 8900, "currency": "EUR"},
    ]});
    assert_eq!((said.status, said.body), (200, expected));
    let many = vec!["p01"; 101].join(",");
    assert_eq!(
        service.get("", &format!("/internal/products?ids={many}")).await.status,
        400
    );
}

#[tokio::test]
async fn a_restart_seeds_nothing_anew() {
    let (_, folder) = fresh().await;
    let database = open(&folder).await;
    let mut tx = database.write().await.unwrap();
    sqlx::query("DELETE FROM products WHERE id = 'p01'")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let service = Service::start(service(database).await.unwrap()).await;
    assert_eq!(
        service.get("", "/api/products/p01").await.status,
        404,
        "the database is the truth"
    );
}
