//! The store by itself: order over sources, gaps, a disk that refuses.

use super::*;
use ondol_core::clock::SystemClock;

fn open(folder: &tempfile::TempDir, quota: u64) -> Logs {
    Logs::open(folder.path().to_path_buf(), quota, Arc::new(SystemClock)).expect("open")
}

fn write(logs: &Logs, source: &str, text: &str) {
    logs.append(
        source,
        "out",
        vec![Raw {
            text: text.into(),
            continued: false,
        }],
    );
}

fn read(logs: &Logs, sources: &[&str], tail: usize, after: Option<u64>) -> Vec<(String, String)> {
    let filter = Filter(sources.iter().map(|source| (*source).to_owned()).collect());
    let mut cursor = logs.start(&filter, tail, after);
    let mut lines = Vec::new();
    let mut sink = |line: &LogLine| {
        lines.push((line.source.clone(), line.text.clone()));
        Ok(())
    };
    logs.drain(&filter, &mut cursor, &mut sink).expect("drain");
    lines
}

fn texts(lines: &[(String, String)]) -> Vec<&str> {
    lines.iter().map(|line| line.1.as_str()).collect()
}

#[test]
fn lines_of_many_sources_come_in_one_order_from_memory_and_from_files() {
    let folder = tempfile::tempdir().expect("folder");
    let logs = open(&folder, 1 << 20);
    for number in 0..30 {
        write(&logs, ["a.1", "b.1", "build/rust"][number % 3], &number.to_string());
    }
    let expected: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(texts(&read(&logs, &[], 100, None)), expected);
    drop(logs);
    let again = open(&folder, 1 << 20);
    assert_eq!(texts(&read(&again, &[], 100, None)), expected);
    assert_eq!(texts(&read(&again, &["build/rust"], 2, None)), ["26", "29"]);
    assert_eq!(texts(&read(&again, &["a", "b"], 100, Some(25))), ["25", "27", "28"]);
    assert_eq!(again.next(), 31);
}

#[test]
fn what_the_ring_has_no_more_is_read_from_files_without_a_gap() {
    let folder = tempfile::tempdir().expect("folder");
    let logs = open(&folder, 64 << 20);
    let long = "x".repeat(10_000);
    for number in 0..200 {
        write(&logs, "a.1", &format!("{number} {long}"));
    }
    let lines = read(&logs, &[], 1_000, None);
    assert_eq!(lines.len(), 200);
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(number, line)| line.1.starts_with(&format!("{number} ")))
    );
}

#[test]
fn a_reader_that_fell_behind_the_quota_is_told_how_many_it_missed() {
    let folder = tempfile::tempdir().expect("folder");
    let logs = open(&folder, 2 << 20);
    let long = "x".repeat(10_000);
    let mut cursor = logs.start(&Filter(vec![]), 0, None);
    for _ in 0..500 {
        write(&logs, "a.1", &long);
    }
    let (mut missed, mut got) = (0, 0);
    let mut sink = |line: &LogLine| {
        if line.stream == "sup" {
            missed += line
                .text
                .split(' ')
                .next()
                .and_then(|count| count.parse::<u64>().ok())
                .expect("count");
        } else {
            got += 1;
        }
        Ok(())
    };
    logs.drain(&Filter(vec![]), &mut cursor, &mut sink).expect("drain");
    assert!(missed > 0 && missed + got == 500, "{missed} missed, {got} read");
}

#[test]
fn lines_that_the_disk_refused_are_counted_once_it_is_well_again() {
    let folder = tempfile::tempdir().expect("folder");
    let logs = open(&folder, 16);
    // Every line begins a file of its own here, and a folder in its place cannot be written.
    let blocked: Vec<_> = (2..=3)
        .map(|seq| folder.path().join(format!("a.1/{seq:020}.jsonl")))
        .collect();
    write(&logs, "a.1", "kept");
    blocked
        .iter()
        .for_each(|path| std::fs::create_dir(path).expect("block"));
    write(&logs, "a.1", "refused");
    write(&logs, "a.1", "refused too");
    write(&logs, "a.1", "kept again");
    let lines = read(&logs, &[], 100, None);
    assert_eq!(
        lines.last().expect("line").1,
        "2 lines could not be stored: the disk refused them"
    );
    assert!(texts(&lines).contains(&"refused"), "still in memory");
}
