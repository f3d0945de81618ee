//! No line within the quota is lost, and no child waits for a reader.

use crate::bed::{Bed, PROGRAM, behaving, shell, spec, wait};
use ondol_core::wire::supervision::LogLine;
use ondol_core::wire::supervision_client::LogQuery;

fn query(source: &str, tail: u32) -> LogQuery {
    LogQuery {
        sources: vec![source.into()],
        tail,
        ..LogQuery::default()
    }
}

fn read(bed: &Bed, query: LogQuery) -> Vec<LogLine> {
    bed.client
        .logs(query)
        .expect("logs")
        .map(|line| line.expect("line"))
        .collect()
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn a_hundred_thousand_lines_are_all_kept_in_order() {
    const LINES: u32 = 100_000;
    let bed = Bed::new(&[]);
    bed.start(shell(
        "a.1",
        &format!("{PROGRAM} spam {LINES}; exec sleep 1000"),
        &format!("line {}$", LINES - 1),
    ));
    bed.ready("a.1");
    let lines = read(&bed, query("a", LINES));
    assert_eq!(lines.len(), LINES as usize);
    assert!(
        lines
            .iter()
            .enumerate()
            .all(|(at, line)| line.text == format!("line {at}"))
    );
    assert!(lines.windows(2).all(|pair| pair[0].seq < pair[1].seq));
}

#[test]
fn past_the_quota_the_oldest_go_and_are_counted() {
    const LINES: u64 = 60_000;
    let bed = Bed::new(&["quota=2097152"]);
    bed.start(shell(
        "a.1",
        &format!("{PROGRAM} spam {LINES}; exec sleep 1000"),
        &format!("line {}$", LINES - 1),
    ));
    bed.ready("a.1");
    let lines = read(&bed, query("a.1", 100_000));
    let marker = &lines[0];
    assert_eq!(marker.stream, "sup");
    let dropped: u64 = marker.text.split(' ').next().expect("count").parse().expect("count");
    let kept = lines.iter().filter(|line| line.stream == "out").count() as u64;
    assert!(dropped > 0 && dropped + kept == LINES, "{dropped} dropped, {kept} kept");
    assert_eq!(lines.last().expect("line").text, format!("line {}", LINES - 1));
    let stored: u64 = std::fs::read_dir(bed.folder.path().join(".ondol/logs/a.1"))
        .expect("folder")
        .map(|file| file.expect("file").metadata().expect("size").len())
        .sum();
    assert!(stored < 2_097_152, "{stored} bytes");
}

#[test]
fn both_streams_long_lines_and_bad_bytes_are_kept() {
    let bed = Bed::new(&[]);
    let script =
        "printf 'bad \\377 byte\\n'; echo err >&2; head -c 70000 /dev/zero | tr '\\0' x; echo; printf unfinished";
    bed.start(shell("a.1", script, "never"));
    bed.line("a.1", "unfinished");
    let lines = bed.lines("a.1");
    let of = |stream: &str| lines.iter().filter(|line| line.stream == stream).collect::<Vec<_>>();
    assert_eq!(of("err")[0].text, "err");
    let out = of("out");
    assert_eq!(out[0].text, "bad \u{fffd} byte");
    assert_eq!((out[1].text.len(), out[1].continued), (65_536, true));
    assert_eq!((out[2].text.len(), out[2].continued), (70_000 - 65_536, false));
}

#[test]
fn levels_and_trace_ids_are_read() {
    let bed = Bed::new(&[]);
    let id = "0af7651916cd43dd8448eb211c80319c";
    bed.start(shell(
        "a.1",
        &format!("echo '{{\"level\":\"WARN\",\"trace_id\":\"{id}\"}}'; exec sleep 1000"),
        "WARN",
    ));
    bed.ready("a.1");
    let line = &bed.lines("a.1")[0];
    assert_eq!(
        (line.level.as_deref(), line.trace_id.as_deref()),
        (Some("warn"), Some(id))
    );
}

#[test]
fn tail_after_and_follow_meet_without_a_gap() {
    let bed = Bed::new(&[]);
    let fifo = bed.folder.path().join("go");
    let go = fifo.display();
    bed.start(shell(
        "a.1",
        &format!("{PROGRAM} spam 50; mkfifo {go}; echo made; read x < {go}; {PROGRAM} spam 50 more; exec sleep 1000"),
        "more 49",
    ));
    bed.line("a.1", "made");
    let tail = read(&bed, query("a.1", 3));
    assert_eq!(texts(&tail), ["line 48", "line 49", "made"]);
    assert_eq!(texts(&read(&bed, query("a.1", 0))), Vec::<&str>::new());
    let after = LogQuery {
        after: Some(tail[1].seq),
        ..query("a.1", 100)
    };
    assert_eq!(texts(&read(&bed, after)), ["made"]);
    let mut follow = bed
        .client
        .logs(LogQuery {
            follow: true,
            ..query("a.1", 2)
        })
        .expect("logs");
    let mut next = || follow.next().expect("more").expect("line").text;
    assert_eq!([next(), next()], ["line 49", "made"]);
    std::fs::write(&fifo, "x\n").expect("go");
    for number in 0..50 {
        assert_eq!(next(), format!("more {number}"));
    }
}

#[test]
fn a_service_s_name_takes_all_its_instances_and_no_other() {
    let bed = Bed::new(&[]);
    for id in ["a.1", "a.2", "ab.1"] {
        bed.start(shell(id, &format!("echo from {id}; exec sleep 1000"), "from"));
        bed.ready(id);
    }
    assert_eq!(texts(&read(&bed, query("a", 10))), ["from a.1", "from a.2"]);
}

#[test]
fn a_follower_that_does_not_read_holds_up_nobody_and_misses_nothing() {
    const LINES: u32 = 50_000;
    let bed = Bed::new(&[]);
    let follow = bed
        .client
        .logs(LogQuery {
            follow: true,
            ..query("a.1", 0)
        })
        .expect("logs");
    bed.start(shell(
        "a.1",
        &format!("{PROGRAM} spam {LINES}; exec sleep 1000"),
        &format!("line {}$", LINES - 1),
    ));
    bed.ready("a.1");
    let lines = follow.take(LINES as usize).map(|line| line.expect("line").text);
    assert!(lines.enumerate().all(|(at, text)| text == format!("line {at}")));
}

#[test]
fn lines_outlive_the_supervisor_and_numbers_go_on() {
    let mut bed = Bed::new(&[]);
    bed.start(behaving("a.1", "nap", "^nap"));
    bed.ready("a.1");
    let before = bed.lines("a.1");
    bed.kill();
    // A line that a crash cut is not one.
    let folder = bed.folder.path().join(".ondol/logs/a.1");
    let file = std::fs::read_dir(&folder)
        .expect("folder")
        .flatten()
        .find(|file| file.path().extension().is_some())
        .expect("file");
    let mut text = std::fs::read(file.path()).expect("read");
    text.extend_from_slice(b"{\"seq\":99999,\"at\":");
    std::fs::write(file.path(), text).expect("write");
    bed.again(&[]);
    assert_eq!(bed.lines("a.1"), before);
    bed.start(behaving("a.1", "nap", "^nap"));
    let lines = wait("a second line", || {
        Some(bed.lines("a.1")).filter(|lines| lines.len() == 2)
    });
    assert!(lines[1].seq > lines[0].seq && lines[1].seq < 99_999);
}

#[test]
fn an_early_failure_is_kept() {
    let bed = Bed::new(&[]);
    bed.start(spec("a.1", &["sh", "-c", "echo first words >&2; exit 1"], "never"));
    bed.line("a.1", "first words");
}
