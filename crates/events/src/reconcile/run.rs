//! One run: the sources read side by side, page by page, every key judged once.

use super::config::Reconciliation;
use super::machine::Report;
use super::merge::Merge;
use super::rule::Plan;
use super::service::Ports;
use super::source;
use futures_util::future::try_join_all;
use ondol_core::clock::Timestamp;
use std::sync::Arc;

/// Pages of one run: ten million items. A source that never ends makes the run *unknown*.
const PAGES: usize = 10_000;

/// Runs once. Waits for its turn first: few runs go on at once, whatever is declared.
///
/// # Errors
/// Which source cannot be compared, and why.
pub(super) async fn run(
    ports: Arc<Ports>,
    config: Arc<Reconciliation>,
    plan: Arc<Plan>,
    mut report: Report,
) -> (Timestamp, Result<Report, String>) {
    let turn = ports.turns.acquire().await;
    let began = ports.clock.wall();
    if turn.is_err() {
        return (began, Err("the controller is ending".to_owned()));
    }
    let settle = i64::try_from(config.settle.as_millis()).unwrap_or(i64::MAX);
    let rest = Timestamp(began.0.saturating_sub(settle));
    let outcome = compare(&ports, &config, &plan, rest, &mut report).await;
    (began, outcome.map(|()| report))
}

async fn compare(
    ports: &Ports,
    config: &Reconciliation,
    plan: &Plan,
    rest: Timestamp,
    report: &mut Report,
) -> Result<(), String> {
    let sources: &Vec<_> = &config.sources.values().collect();
    let mut merge = Merge::new(sources.len());
    let mut pages = 0;
    loop {
        while let Some(row) = merge.next() {
            let verdict = plan.judge(&row, rest);
            report.add(row.key, verdict);
        }
        let lacks = merge.lacks();
        if lacks.is_empty() {
            return Ok(());
        }
        pages += lacks.len();
        if pages > PAGES {
            return Err(format!("more than {PAGES} pages"));
        }
        let asked = lacks.into_iter().map(|(number, after)| async move {
            let (name, fields) = (&plan.names()[number], plan.fields(number));
            let page = source::page(ports, sources[number], fields, after).await;
            page.map(|page| (number, page))
                .map_err(|why| format!("source {name}: {why}"))
        });
        for (number, page) in try_join_all(asked).await? {
            merge.give(number, page);
        }
    }
}
