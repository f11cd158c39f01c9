//! README.md keeps its word: every command in its `sh` blocks is run, in order, against the node it tells to start.
//!
//! A block below a comment that begins with "not tested here" is passed over. Commands that go on (`node`, `listen`) run
//! until the test ends; they get a free port and no sound card, and later commands are led to that port.

use crate::lab::{Lab, Process, repository};
use std::path::Path;
use std::process::Command;

/// The port README.md writes.
const WRITTEN: &str = "9000";

#[test]
fn every_command_works_as_written() {
    let lab = Lab::new();
    std::os::unix::fs::symlink(repository("samples"), lab.path("samples")).expect("the folder takes a link");
    let readme = std::fs::read_to_string(repository("README.md")).expect("it is there");
    let commands = commands(&readme);
    assert!(commands.len() >= 6, "{commands:?}");

    let mut running: Vec<Process> = Vec::new();
    for command in commands {
        if goes_on(&command) {
            let quiet = if command.starts_with("downbeat node") { "--host virtual" } else { "" };
            running.push(Process::start(shell(&lab, &format!("exec {command} --port 0 {quiet}"))));
        } else {
            let port = running.last().map_or(WRITTEN.to_owned(), |process| process.port.to_string());
            let output = Process::spawn(shell(&lab, &command.replace(WRITTEN, &port))).output();
            assert_eq!(output.code, Some(0), "{command}\n{}{}", output.stdout, output.stderr);
            assert!(!output.stdout.contains("/error"), "{command}\n{}", output.stdout);
        }
    }
    for mut process in running {
        assert!(process.interrupt().success());
    }
}

/// The lines of every `sh` block, without comments.
fn commands(readme: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut before = "";
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let block = lines.by_ref().take_while(|line| *line != "```");
            let block = block.map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned());
            let block: Vec<_> = block.filter(|line| !line.is_empty()).collect();
            if !before.starts_with("<!-- not tested here") {
                commands.extend(block);
            }
        }
        before = line;
    }
    commands
}

fn goes_on(command: &str) -> bool {
    command.starts_with("downbeat node") || command.starts_with("downbeat listen")
}

/// A command line in the lab's folder, with the program under test on the PATH.
fn shell(lab: &Lab, line: &str) -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_downbeat"));
    let mut path = program.parent().expect("it stands in a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.args(["-c", line]).env("PATH", path).env_remove("RUST_LOG").current_dir(lab.path("."));
    command
}
