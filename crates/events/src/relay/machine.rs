//! What the relay knows and decides: how far it is, and which rows wait for a person. Pure.
//!
//! Invariants
//! - While a key has a row that waits, no later row of that key is published.
//! - Nothing here changes before the caller has made it durable: [`Machine::sort`] only says what is to be done,
//!   [`Machine::advance`] takes it in.

use super::row::OutboxRow;
use crate::envelope::CloudEvent;
use ondol_core::clock::Timestamp;
use ondol_core::id::ServiceName;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Rows that wait for a person; then nothing more is read.
const MOST_HELD: usize = 10_000;
/// Their bytes.
const MOST_BYTES: usize = 32 << 20;

/// A row that waits.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Held {
    pub(crate) row: OutboxRow,
    /// Why it could not be published; `None`: it waits behind another of its key.
    pub(crate) error: Option<String>,
    pub(crate) since: Timestamp,
    pub(crate) attempts: u32,
    /// An operator's data in place of its own.
    pub(crate) edited: Option<Arc<str>>,
}

impl Held {
    /// The row as it is to be published.
    pub(crate) fn mended(&self) -> OutboxRow {
        match &self.edited {
            Some(data) => OutboxRow {
                data: data.to_string(),
                // The data were what was too large; what was kept of the headers may be no JSON, and is then refused.
                cut: None,
                ..self.row.clone()
            },
            None => self.row.clone(),
        }
    }
}

/// A batch, looked through.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// To be published, in order.
    pub(crate) rows: Vec<OutboxRow>,
    /// Their events.
    pub(crate) events: Vec<CloudEvent>,
    /// To wait.
    pub(crate) held: Vec<Held>,
}

impl Sorted {
    /// The events at these places cannot be published: they and what follows of their keys wait.
    pub(crate) fn refuse(&mut self, mut refused: HashMap<usize, String>, now: Timestamp) {
        let (rows, events) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.events));
        let mut parked: HashSet<Arc<str>> = HashSet::new();
        for (at, (row, event)) in rows.into_iter().zip(events).enumerate() {
            let (lane, why) = (row.lane(), refused.remove(&at));
            if parked.contains(&lane) {
                self.held.push(held(row, None, now));
            } else if why.is_some() {
                parked.insert(lane);
                self.held.push(held(row, why, now));
            } else {
                self.rows.push(row);
                self.events.push(event);
            }
        }
        self.held.sort_by_key(|held| held.row.seq);
    }
}

fn held(row: OutboxRow, error: Option<String>, since: Timestamp) -> Held {
    let (attempts, edited) = (u32::from(error.is_some()), None);
    Held {
        row,
        error,
        since,
        attempts,
        edited,
    }
}

/// An outbox as the relay sees it.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// Every row up to here is published or waits in a lane.
    pub(crate) cursor: u64,
    /// Which file the cursor is of.
    pub(crate) file: Option<String>,
    lanes: BTreeMap<Arc<str>, VecDeque<Held>>,
    held: usize,
    bytes: usize,
    /// Keys that an operator lets go on, and no row before this moment.
    driving: VecDeque<Arc<str>>,
    next: Timestamp,
    interval: Duration,
}

impl Machine {
    /// Whether the database is another than the one the cursor is of, or an older state of it. Then everything in it is
    /// read from the start: what was published before is known by its id.
    pub(crate) fn is_replaced(&self, file: &str, sequence: u64) -> bool {
        sequence < self.cursor || self.file.as_deref().is_some_and(|known| known != file)
    }

    /// Says what becomes of rows that were read.
    pub(crate) fn sort(&self, service: &ServiceName, rows: Vec<OutboxRow>, now: Timestamp) -> Sorted {
        let mut sorted = Sorted::default();
        let mut parked: HashSet<Arc<str>> = HashSet::new();
        for row in rows {
            let lane = row.lane();
            if self.waits(&lane, &row) {
                continue;
            }
            if parked.contains(&lane) || self.lanes.contains_key(&lane) {
                sorted.held.push(held(row, None, now));
                continue;
            }
            match row.event(service) {
                Ok(event) => {
                    sorted.events.push(event);
                    sorted.rows.push(row);
                }
                Err(why) => {
                    parked.insert(lane);
                    sorted.held.push(held(row, Some(why), now));
                }
            }
        }
        sorted
    }

    /// Everything up to `cursor` is published, or among these.
    pub(crate) fn advance(&mut self, cursor: u64, held: Vec<Held>) {
        self.cursor = cursor;
        for held in held {
            self.hold(held);
        }
    }

    /// Whether this very row waits already: it was read again.
    fn waits(&self, lane: &str, row: &OutboxRow) -> bool {
        let lane = self.lanes.get(lane);
        lane.is_some_and(|lane| {
            lane.iter()
                .any(|held| (held.row.seq, &held.row.id) == (row.seq, &row.id))
        })
    }

    /// Takes in a row that waits, behind those of its key.
    pub(crate) fn hold(&mut self, held: Held) {
        let lane = self.lanes.entry(held.row.lane()).or_default();
        self.held += 1;
        self.bytes += held.row.weight();
        lane.push_back(held);
    }

    /// So many rows wait that no more are read.
    pub(crate) fn is_full(&self) -> bool {
        self.held >= MOST_HELD || self.bytes >= MOST_BYTES
    }

    /// Rows that wait.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Rows that wait and are kept only in part: their originals must stay where they are.
    pub(crate) fn cut(&self) -> impl Iterator<Item = u64> {
        let rows = self.lanes.values().flatten().map(|held| &held.row);
        rows.filter(|row| row.cut.is_some()).map(|row| row.seq)
    }

    /// Keys with rows that wait, by name after `after`.
    pub(crate) fn lanes(&self, after: Option<&str>) -> impl Iterator<Item = (&Arc<str>, &VecDeque<Held>)> {
        let lanes = self.lanes.iter();
        lanes.skip_while(move |(key, _)| after.is_some_and(|after| key.as_ref() <= after))
    }

    pub(crate) fn lane(&self, key: &str) -> Option<&VecDeque<Held>> {
        self.lanes.get(key)
    }

    pub(crate) fn is_driving(&self, key: &str) -> bool {
        self.driving.iter().any(|known| &**known == key)
    }

    /// Lets keys go on, one row each `1 / rate` seconds. Keys that have nothing waiting are passed over.
    pub(crate) fn redrive(&mut self, keys: Vec<Arc<str>>, rate: f64, now: Timestamp) {
        let keys = keys
            .into_iter()
            .filter(|key| self.lanes.contains_key(key) && !self.is_driving(key));
        let keys: Vec<_> = keys.collect();
        self.driving.extend(keys);
        self.interval = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX);
        self.next = now;
    }

    /// The row that is due to be tried again.
    pub(crate) fn due(&self, now: Timestamp) -> Option<&Held> {
        let key = self.driving.front().filter(|_| self.next <= now)?;
        self.lanes.get(key)?.front()
    }

    /// How long until a row is due.
    pub(crate) fn until_due(&self, now: Timestamp) -> Option<Duration> {
        self.driving.front().map(|_| self.next.since(now))
    }

    /// A row that was due could not be published: its key is parked again.
    pub(crate) fn failed(&mut self, why: String, now: Timestamp) -> Option<&Held> {
        let key = self.driving.pop_front()?;
        let first = self.lanes.get_mut(&key)?.front_mut()?;
        first.attempts += 1;
        first.error = Some(why);
        self.next = now.plus(self.interval);
        Some(first)
    }

    /// A row that was due is published.
    pub(crate) fn published(&mut self, now: Timestamp) {
        let due = self
            .driving
            .front()
            .and_then(|key| Some((key.clone(), self.lanes.get(key)?.front()?.row.seq)));
        self.next = now.plus(self.interval);
        match due {
            Some((key, seq)) => drop(self.remove(&key, seq)),
            None => drop(self.driving.pop_front()),
        }
    }

    /// Takes a row out of its lane; a lane without rows is gone, and its key goes on.
    pub(crate) fn remove(&mut self, key: &str, seq: u64) -> Option<Held> {
        let lane = self.lanes.get_mut(key)?;
        let at = lane.iter().position(|held| held.row.seq == seq)?;
        let held = lane.remove(at)?;
        self.held -= 1;
        self.bytes = self.bytes.saturating_sub(held.row.weight());
        if lane.is_empty() {
            self.lanes.remove(key);
            self.driving.retain(|known| &**known != key);
        }
        Some(held)
    }

    /// Puts an operator's data in place of a row's.
    pub(crate) fn edit(&mut self, key: &str, seq: u64, data: Arc<str>) -> Option<&Held> {
        let held = self.lanes.get_mut(key)?.iter_mut().find(|held| held.row.seq == seq)?;
        held.edited = Some(data);
        Some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq: u64, key: &str, data: &str) -> OutboxRow {
        OutboxRow {
            seq,
            id: format!("e-{seq}"),
            kind: "a.v1".into(),
            key: (!key.is_empty()).then(|| key.into()),
            data: data.into(),
            headers: "{}".into(),
            ..OutboxRow::default()
        }
    }

    fn sort(machine: &Machine, rows: Vec<OutboxRow>) -> Sorted {
        machine.sort(&"one".parse().expect("a name"), rows, Timestamp(1))
    }

    fn seqs<'a>(rows: impl IntoIterator<Item = &'a OutboxRow>) -> Vec<u64> {
        rows.into_iter().map(|row| row.seq).collect()
    }

    #[test]
    fn a_bad_row_holds_its_key_and_nothing_else() {
        let mut machine = Machine::default();
        let rows = vec![
            row(1, "a", "1"),
            row(2, "b", "{"),
            row(3, "b", "3"),
            row(4, "", "{"),
            row(5, "", "5"),
            row(6, "a", "6"),
        ];
        let sorted = sort(&machine, rows);
        assert_eq!(seqs(&sorted.rows), [1, 5, 6]);
        let held: Vec<_> = sorted
            .held
            .iter()
            .map(|held| (held.row.seq, held.error.is_some()))
            .collect();
        assert_eq!(held, [(2, true), (3, false), (4, true)]);
        machine.advance(6, sorted.held);
        assert_eq!(
            seqs(&sort(&machine, vec![row(7, "b", "7"), row(8, "a", "8")]).rows),
            [8]
        );
    }

    #[test]
    fn a_refused_event_takes_the_later_ones_of_its_key_along() {
        let machine = Machine::default();
        let rows = vec![
            row(1, "a", "1"),
            row(2, "b", "2"),
            row(3, "a", "3"),
            row(4, "b", "4"),
            row(5, "a", "5"),
        ];
        let mut sorted = sort(&machine, rows);
        let why = |at: usize| (at, format!("unknown type at {at}"));
        sorted.refuse(HashMap::from([why(2), why(3), why(4)]), Timestamp(2));
        assert_eq!((seqs(&sorted.rows), sorted.events.len()), (vec![1, 2], 2));
        let held: Vec<_> = sorted
            .held
            .iter()
            .map(|held| (held.row.seq, held.error.as_deref()))
            .collect();
        assert_eq!(
            held,
            [
                (3, Some("unknown type at 2")),
                (4, Some("unknown type at 3")),
                (5, None)
            ]
        );
    }

    #[test]
    fn a_redriven_key_goes_on_row_by_row_at_its_rate_until_it_is_empty_or_fails() {
        let mut machine = Machine::default();
        let sorted = sort(&machine, vec![row(1, "a", "{"), row(2, "a", "2"), row(3, "b", "{")]);
        machine.advance(3, sorted.held);
        assert!(machine.due(Timestamp(9)).is_none(), "nobody has asked for it");
        machine.redrive(vec!["a".into(), "none".into()], 10.0, Timestamp(1_000));
        let due = |machine: &Machine, at| machine.due(Timestamp(at)).map(|held| held.row.seq);
        assert_eq!(due(&machine, 1_000), Some(1));
        machine.published(Timestamp(1_000));
        assert_eq!((due(&machine, 1_099), due(&machine, 1_100)), (None, Some(2)));
        let parked = machine
            .failed("again".into(), Timestamp(1_100))
            .cloned()
            .expect("is there");
        assert_eq!((parked.row.seq, parked.error.as_deref()), (2, Some("again")));
        assert_eq!((due(&machine, 9_999), machine.held()), (None, 2));
        machine.redrive(vec!["a".into()], 10.0, Timestamp(2_000));
        machine.published(Timestamp(2_000));
        assert_eq!(
            (machine.lane("a"), machine.held(), machine.until_due(Timestamp(2_000))),
            (None, 1, None)
        );
        assert_eq!(
            seqs(&sort(&machine, vec![row(4, "a", "4")]).rows),
            [4],
            "the key flows again"
        );
    }

    #[test]
    fn another_database_or_an_older_state_of_it_is_noticed() {
        let mut machine = Machine {
            cursor: 10,
            file: Some("f".into()),
            ..Machine::default()
        };
        assert!(!machine.is_replaced("f", 10) && !machine.is_replaced("f", 99));
        assert!(machine.is_replaced("f", 9) && machine.is_replaced("g", 99));
        machine.file = None;
        assert!(!machine.is_replaced("g", 10));
    }

    #[test]
    fn it_is_full_at_its_bound_and_not_for_ever() {
        let mut machine = Machine::default();
        for batch in 0..10 {
            assert!(!machine.is_full());
            let rows = (1..=1_000).map(|n| row(batch * 1_000 + n, "", "{")).collect();
            let sorted = sort(&machine, rows);
            machine.advance((batch + 1) * 1_000, sorted.held);
        }
        assert!(machine.is_full());
        assert!(machine.remove("#7", 7).is_some() && !machine.is_full());
    }
}
