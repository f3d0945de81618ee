//! Random writes, compared with the model.

use crate::support::model::Model;
use crate::support::{Bench, event, record, row, stream, together};
use ondol_core::engine::{Append, Expected, Guard, Order, RowFilter, RowOp, SharedEngine, Table, Wanted, Write};
use ondol_core::entropy::{Entropy, SeededEntropy};

/// Writes with few keys, ids and streams, so that they meet; submitted together, so that they share batches.
pub async fn random_writes_do_what_the_model_does(bench: Bench) {
    let engine = bench.open().await;
    let (dice, mut model) = (SeededEntropy::new(20_261_121), Model::default());
    for _ in 0..60 {
        let writes: Vec<Write> = (0..dice.below(12) + 1).map(|_| random_write(&dice)).collect();
        let claims: Vec<_> = writes
            .iter()
            .map(|write| format!("{:?}", model.commit(write)))
            .collect();
        let outcomes = together(&engine, writes.clone()).await;
        for ((write, outcome), claim) in writes.iter().zip(outcomes).zip(claims) {
            assert_eq!(format!("{outcome:?}"), claim, "{write:?}");
        }
    }
    assert_same(&engine, &model).await;
}

fn random_write(dice: &SeededEntropy) -> Write {
    let key = || format!("k{}", dice.below(6));
    let mut write = Write::default();
    if dice.below(3) == 0 {
        write.guards.push(Guard::Absent(Table::Saga, key()));
    }
    if dice.below(4) == 0 {
        write.guards.push(Guard::NewIds);
    }
    for _ in 0..dice.below(3) {
        write.records.push(record(&key(), &dice.below(100).to_string()));
    }
    for _ in 0..dice.below(3) {
        write.rows.push(match dice.below(3) {
            0 => RowOp::Delete(Table::Saga, key()),
            _ => RowOp::Put(
                Table::Saga,
                row(&key(), "s", Some(dice.below(9) as i64), &dice.below(100).to_string()),
            ),
        });
    }
    let mut ids: Vec<String> = (0..40).map(|n| format!("e{n}")).collect();
    for _ in 0..dice.below(3) {
        let expected = match dice.below(4) {
            0 => Expected::Any,
            1 => Expected::NoStream,
            2 => Expected::Exists,
            _ => Expected::Revision(dice.below(8)),
        };
        let events = (0..dice.below(3) + 1).map(|_| event(&ids.swap_remove(dice.below(ids.len() as u64) as usize)));
        let events = events.collect();
        write.appends.push(Append {
            stream: stream(&format!("s-{}", dice.below(3))),
            expected,
            events,
        });
    }
    write
}

async fn assert_same(engine: &SharedEngine, model: &Model) {
    let rows = engine
        .rows(Table::Saga, RowFilter::default(), Order::Ascending, None, 100)
        .await
        .expect("reads");
    assert_eq!(rows, model.rows.values().cloned().collect::<Vec<_>>());
    assert_eq!(engine.size().await.expect("reads").rows[0], rows.len() as u64);
    assert_eq!(
        engine
            .events(Wanted::All, 0, Order::Ascending, 10_000)
            .await
            .expect("reads"),
        model.events
    );
    let mut records = Vec::new();
    for n in 0..6 {
        records.extend(engine.records(format!("k{n}"), 0, 10_000).await.expect("reads"));
    }
    records.sort_by_key(|stored| stored.position);
    assert_eq!(records, model.records);
}
