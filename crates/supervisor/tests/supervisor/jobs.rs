//! Run-to-end processes.

use crate::bed::{Bed, PROGRAM, alive, gone, job, wait};
use ondol_core::wire::supervision::{Exit, JobSpec};
use ondol_core::wire::supervision_client::JobEvent;

#[test]
fn every_line_comes_before_the_end() {
    const LINES: usize = 20_000;
    let bed = Bed::new(&[]);
    let mut lines = Vec::new();
    let script = format!("{PROGRAM} spam {LINES}; echo last >&2; exit 7");
    let exit = bed
        .client
        .run_job(job("build/a", &["sh", "-c", &script]), |line| lines.push(line.text))
        .expect("job");
    assert_eq!(exit, Exit::Code(7));
    assert_eq!(lines.len(), LINES + 1);
    assert!(lines.contains(&"last".to_owned()));
    let mut again = 0;
    bed.client
        .run_job(job("build/a", &["echo", "again"]), |_| again += 1)
        .expect("job");
    assert_eq!(again, 1, "lines of this run only");
}

fn first_pid(events: &mut impl Iterator<Item = ondol_core::wire::supervision_client::Result<JobEvent>>) -> u32 {
    let Some(Ok(JobEvent::Line(line))) = events.next() else {
        panic!("a line")
    };
    line.text.strip_prefix("nap ").expect("nap").parse().expect("pid")
}

#[test]
fn a_client_that_goes_ends_the_job_and_its_tree() {
    let bed = Bed::new(&[]);
    let mut events = bed.client.job(job("build/a", &[PROGRAM, "fork"])).expect("job");
    let pids = [first_pid(&mut events), first_pid(&mut events), first_pid(&mut events)];
    assert_eq!(bed.facts().jobs, ["build/a"]);
    drop(events);
    pids.into_iter().for_each(gone);
    wait("no job", || bed.facts().jobs.is_empty().then_some(()));
}

#[test]
fn a_job_past_its_time_is_killed() {
    let bed = Bed::new(&[]);
    let spec = JobSpec {
        timeout_ms: 100,
        ..job("build/a", &[PROGRAM, "nap"])
    };
    assert_eq!(bed.client.run_job(spec, drop).expect("job"), Exit::NotReady);
}

#[test]
fn what_a_job_leaves_running_is_ended_with_it() {
    let bed = Bed::new(&[]);
    let mut lines = Vec::new();
    let go = bed.folder.path().join("go");
    let script = format!(
        "mkfifo {0}; {PROGRAM} leave > {0} & read said < {0}; echo $said",
        go.display()
    );
    let exit = bed
        .client
        .run_job(job("build/a", &["sh", "-c", &script]), |line| lines.push(line.text))
        .expect("job");
    assert_eq!(exit, Exit::Code(0));
    let pid = lines[0]
        .strip_prefix("nap ")
        .expect("what it left")
        .parse()
        .expect("pid");
    assert!(!alive(pid), "gone when the job has ended");
}

#[test]
fn two_jobs_of_one_name_and_a_missing_program_are_refused() {
    let bed = Bed::new(&[]);
    let mut events = bed.client.job(job("build/a", &[PROGRAM, "nap"])).expect("job");
    first_pid(&mut events);
    let code = |spec| bed.client.run_job(spec, drop).expect_err("refused").code().to_string();
    assert_eq!(code(job("build/a", &["true"])), "SV-018");
    assert_eq!(code(job("build/b", &["no-such-program"])), "SV-012");
    assert_eq!(code(job("", &["true"])), "SV-015");
}
