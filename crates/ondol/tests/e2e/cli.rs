//! The command line itself, without a system.

use std::process::{Command, Stdio};

#[test]
fn a_command_ends_quietly_when_nobody_reads_its_output_any_more() {
    for args in [&["schema", "service"][..], &["--help"], &["completion", "bash"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_ondol"));
        let command = command.args(args).stdout(writer).stderr(Stdio::piped());
        let ended = command.spawn().expect("started").wait_with_output().expect("ended");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{args:?}");
        assert_ne!(ended.status.code(), Some(101), "{args:?}");
    }
}
