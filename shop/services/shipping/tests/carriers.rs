//! Shipping beside the real carriers, the Go program of `shop/services/carriers`: asked, killed, stopped, come back with no memory.
//!
//! Without Go these are skipped with a line that says so. Through the mesh: `mesh_test.go` beside their program.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use shop_kit::Database;
use shop_kit::testing::Service;
use shop_shipping::carriers::Carriers;
use shop_shipping::courier::Courier;
use shop_shipping::deliveries::Deliveries;

/// Longest wait for a state; a busy machine may need much of it.
const PATIENCE: Duration = Duration::from_secs(90);

/// The program, built once; `None` without Go.
fn program() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if Command::new("go").arg("version").output().is_err() {
            eprintln!("SKIPPED: shipping beside the real carriers; install Go 1.26 or newer");
            return None;
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("carriers");
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&path).arg(".");
        build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../carriers"));
        assert!(build.status().unwrap().success(), "the carriers do not build");
        Some(path)
    });
    built.as_deref()
}

/// The running program.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// On this port; 0 for a free one. `day` is how long a day of a parcel's journey lasts.
    fn start(program: &Path, folder: &Path, port: u16, day: &str) -> Self {
        let mut command = Command::new(program);
        let variables = [("CARRIERS_LATENCY", "10ms"), ("CARRIERS_DAY", day)];
        command
            .envs(variables)
            .env("PORT", port.to_string())
            .env("ONDOL_DATA", folder);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        // Read to its end, so that the program never waits for a reader.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let first: Value = serde_json::from_str(&first).expect("it serves");
        let address = first["address"].as_str().unwrap().parse().unwrap();
        Self { child, address }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn kill(mut self) -> SocketAddr {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.address
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Shipping {
    service: Service,
    _folder: tempfile::TempDir,
}

impl Shipping {
    async fn start(carriers: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/shipping.db", folder.path().display());
        let database = Database::open(&url, shop_shipping::MIGRATIONS).await.unwrap();
        let carriers = Carriers::new(format!("http://{carriers}")).unwrap();
        tokio::spawn(Courier::new(Deliveries::new(database.clone()), carriers).run());
        Self {
            service: Service::start(shop_shipping::router(database)).await,
            _folder: folder,
        }
    }

    /// The saga's step: it succeeds whatever becomes of the carriers.
    async fn ship(&self, order: &str, quantity: i64) {
        let body = json!({ "customer": "alice", "items": [{ "product_id": "p01", "quantity": quantity }] });
        let path = format!("/internal/shipments/{order}");
        let said = self
            .service
            .step("PUT", &path, &format!("{order}.ship.action"), body)
            .await;
        assert_eq!(said.status, 201, "{said:?}");
    }

    async fn delivery(&self, order: &str) -> Value {
        let said = self.service.get("alice", &format!("/api/shipments/{order}")).await;
        assert_eq!(said.status, 200, "{said:?}");
        said.body["delivery"].clone()
    }

    async fn until(&self, order: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                last = self.delivery(order).await;
                if fits(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let found = found.await;
        assert!(found.is_ok(), "order {order}: {last}");
        last
    }
}

/// So slow that nothing moves while a test runs.
const STILL: &str = "1000h";

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_gets_its_date_and_is_followed_to_its_delivery() {
    let (Some(program), folder) = (program(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let carriers = Process::start(program, folder.path(), 0, "500ms");
    let shipping = Shipping::start(carriers.address).await;
    shipping.ship("s1", 2).await;
    let delivery = shipping.until("s1", |delivery| delivery["status"] == "delivered").await;
    assert_eq!(delivery["place"], "Front door");
    let day = |name: &str| delivery[name].as_str().unwrap().to_owned();
    assert!(
        day("earliest") <= day("latest") && day("as_of") < day("earliest"),
        "{delivery}"
    );
    let seen = shipping.service.get("", "/internal/shipments/s1").await;
    assert_eq!(seen.body["delivery"], delivery);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_carriers_are_dead_their_last_answers_stand_and_parcels_leave() {
    let (Some(program), folder) = (program(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let carriers = Process::start(program, folder.path(), 0, STILL);
    let shipping = Shipping::start(carriers.address).await;
    shipping.ship("s1", 1).await;
    let known = shipping.until("s1", |delivery| delivery["place"].is_string()).await;

    let address = carriers.kill();
    shipping.ship("s2", 1).await;
    assert_eq!(shipping.delivery("s1").await, known);
    assert_eq!(shipping.delivery("s2").await, Value::Null);

    let _carriers = Process::start(program, folder.path(), address.port(), STILL);
    shipping.until("s2", |delivery| delivery["status"] == "booked").await;
    assert_eq!(shipping.delivery("s1").await["earliest"], known["earliest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn carriers_that_hang_hold_nothing_up() {
    let (Some(program), folder) = (program(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let carriers = Process::start(program, folder.path(), 0, STILL);
    let shipping = Shipping::start(carriers.address).await;
    shipping.ship("s1", 1).await;
    let known = shipping.until("s1", |delivery| delivery["place"].is_string()).await;

    carriers.signal("-STOP");
    for order in 2..20 {
        shipping.ship(&format!("s{order}"), 1).await;
    }
    assert_eq!(shipping.delivery("s1").await, known);
    carriers.signal("-CONT");
    for order in 2..20 {
        shipping
            .until(&format!("s{order}"), |delivery| delivery["status"] == "booked")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn carriers_that_lost_their_books_are_told_again() {
    let (Some(program), folder) = (program(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let carriers = Process::start(program, folder.path(), 0, STILL);
    let shipping = Shipping::start(carriers.address).await;
    shipping.ship("s1", 1).await;
    shipping.until("s1", |delivery| delivery["place"].is_string()).await;

    let address = carriers.kill();
    let empty = tempfile::tempdir().unwrap();
    let _carriers = Process::start(program, empty.path(), address.port(), "500ms");
    shipping.until("s1", |delivery| delivery["status"] == "delivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_no_carrier_takes_holds_no_other_up() {
    let (Some(program), folder) = (program(), tempfile::tempdir().unwrap()) else {
        return;
    };
    let carriers = Process::start(program, folder.path(), 0, STILL);
    let shipping = Shipping::start(carriers.address).await;
    shipping.ship("huge", i64::MAX).await;
    shipping.ship("s1", 1).await;
    shipping.until("s1", |delivery| delivery["status"] == "booked").await;
    assert_eq!(shipping.delivery("huge").await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_instances_asks_and_another_takes_over_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/shipping.db", folder.path().display());
    let database = Database::open(&url, shop_shipping::MIGRATIONS).await.unwrap();
    let rows = Deliveries::new(database.clone());
    assert!(rows.lease("a").await.unwrap() && rows.lease("a").await.unwrap());
    assert!(!rows.lease("b").await.unwrap());
    let mut tx = database.write().await.unwrap();
    sqlx::query("UPDATE courier SET until_ms = until_ms - 60000")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(rows.lease("b").await.unwrap() && !rows.lease("a").await.unwrap());
}
