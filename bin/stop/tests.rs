//! A program whose end hangs, in a process of its own.

use super::*;
use std::process::Command;
use std::time::Instant;

#[test]
fn a_node_whose_end_hangs_is_ended_in_time() {
    let program = std::env::current_exe().expect("a test has a program");
    let name = "stop::tests::a_program_that_does_not_end";
    let mut child = Command::new(program)
        .args(["--exact", name, "--ignored", "--nocapture"])
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a test can be started");
    let out = child.stdout.take().expect("it is piped");
    let lines = std::io::BufRead::lines(std::io::BufReader::new(out));
    assert!(lines.map_while(Result::ok).any(|line| line.contains("it listens")));
    let began = Instant::now();
    let sent = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|sent| sent.success()));
    let output = child.wait_with_output().expect("it ends");
    let took = began.elapsed();
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("does not end by itself"));
}

#[test]
#[ignore = "run by the test above"]
fn a_program_that_does_not_end() {
    // What is asked to stop hangs, as a driver or a disk may.
    in_time(Clock::new(), || {
        loop {
            thread::park();
        }
    })
    .expect("signals can be caught");
    println!("it listens");
    thread::sleep(Duration::from_secs(30));
}
