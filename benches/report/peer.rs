//! The programs measured beside ours: where they are, and how to get those that are missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where a program is, by the search path; if it is nowhere, says what would install it.
pub(crate) fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        println!("{name} is not installed, its rows are missing: sudo apt install {package}");
    }
    found
}

/// Compiles a peer in C from `benches/peers`, beside our own program; if that fails, says what would help.
pub(crate) fn compiled(source: &str, libraries: &[&str], package: &str) -> Option<PathBuf> {
    let source = folder().join(source);
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(source.file_stem()?);
    let done = Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(&source).args(libraries).output();
    match done {
        Ok(output) if output.status.success() => Some(program),
        _ => {
            println!(
                "{} cannot be built, its rows are missing: sudo apt install gcc {package}",
                source.display()
            );
            None
        }
    }
}

/// A Python that has python-osc: the one `make` sets up, else the system's.
pub(crate) fn python_osc() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/python-osc-1.10.2/bin/python");
    let found = [own, "python3".into()].into_iter().find(|python| {
        let mut import = Command::new(python);
        import.args(["-c", "import pythonosc"]).stdout(Stdio::null()).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    });
    if found.is_none() {
        println!("python-osc is not installed, its rows are missing: make setup");
    }
    found
}

/// Where the peers' sources are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers")
}

/// A place for a benchmark's files.
pub(crate) fn scratch(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file)
}
