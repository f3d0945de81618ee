//! Live traffic is no drift: orders go through while runs look on, and not one is ever suspected.

use crate::system::{SETTLE, System, orders};
use ondol_core::entropy::{Entropy, SeededEntropy};
use ondol_core::task::{Kind, Tasks};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// From an order's first sight to its end, at most: less than [`SETTLE`].
const LONGEST: Duration = Duration::from_secs(25);
const ORDERS: u64 = 400;

/// An order over two services, as a saga drives it: each step when it comes, in between anything may look.
async fn order(system: System, dice: Arc<SeededEntropy>, key: String) {
    let pause = || tokio::time::sleep(dice.jitter(LONGEST / 2));
    let step = |status: &str| json!({ "status": status, "total": 500 });
    system.put("orders", &key, step("pending"));
    pause().await;
    // The rule says that a charge belongs to a confirmed order: for as long as this takes it does not hold.
    system.put("charges", &key, json!({ "amount": 500 }));
    pause().await;
    if dice.below(4) == 0 {
        system.delete("charges", &key);
        system.put("orders", &key, step("cancelled"));
    } else {
        system.put("orders", &key, step("confirmed"));
    }
}

#[tokio::test(start_paused = true)]
async fn orders_under_way_are_never_suspected() {
    for seed in 0..5 {
        let (system, tasks) = (System::new(), Tasks::new());
        let dice = Arc::new(SeededEntropy::new(seed));
        let mut config = orders();
        config.every = Duration::from_secs(1);
        let life = system.life(vec![config]).await;
        for number in 0..ORDERS {
            // Keys come in no order of time.
            let key = format!("{:08x}-{number}", dice.next_u64() >> 32);
            tasks.spawn(Kind::Other, order(system.clone(), dice.clone(), key));
            tokio::time::sleep(Duration::from_millis(250)).await;
            let view = life.view().await;
            assert_eq!((view.suspected, view.reported), (0, 0), "seed {seed}, order {number}");
        }
        tokio::time::sleep(LONGEST + SETTLE).await;
        let view = life.run().await;
        assert_eq!((view.keys, view.moving, view.suspected), (ORDERS, 0, 0));
        tasks.stop();
    }
}
