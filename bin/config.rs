//! The settings file: a TOML table per command, whose keys are the names of its flags. Flags win.
//!
//! ```toml
//! [node]
//! port = 9000
//! samples = "samples/audio"
//! trim-ms = -3.5
//! ```
//!
//! The file is turned into flags and parsed with the ones typed, so it knows exactly the same names, values and errors.
//! Not for: what the settings mean (`args`).

use crate::args::Cli;
use anyhow::{Context, anyhow, bail};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What was typed, completed from the file named by `--config`. Leaves the program with help or with wrong usage (2).
pub(crate) fn cli() -> Cli {
    let mut line: Vec<OsString> = std::env::args_os().collect();
    match flags_from_file(&line) {
        Ok(flags) => {
            // Whatever follows a `--` is no flag.
            let end = line.iter().position(|word| word == "--").unwrap_or(line.len());
            line.splice(end..end, flags);
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::exit(2);
        }
    }
    let matches = Cli::command().get_matches_from(line);
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The flags of the file for the command on this line, less those that are typed.
fn flags_from_file(line: &[OsString]) -> anyhow::Result<Vec<OsString>> {
    // A first look may fail for want of what the file holds; the second one, by `cli`, is the strict one.
    let Ok(typed) = Cli::command().ignore_errors(true).try_get_matches_from(line) else {
        return Ok(Vec::new());
    };
    let Some(((name, typed), path)) = typed.subcommand().zip(typed.get_one::<PathBuf>("config")) else {
        return Ok(Vec::new());
    };
    let file = read(path).with_context(|| format!("cannot use the settings in {}", path.display()))?;
    match file.get(name) {
        Some(Value::Table(settings)) => {
            let command = Cli::command();
            let command = command.find_subcommand(name).context("every command on the line exists")?;
            flags(command, settings, typed).with_context(|| format!("{}, [{name}]", path.display()))
        }
        Some(_) => bail!("{}: write the settings of {name} in a table, [{name}]", path.display()),
        None => Ok(Vec::new()),
    }
}

/// The file, once every table in it is named after a command.
fn read(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path)?;
    let file: Table = text.parse().map_err(|error: toml::de::Error| anyhow!("{error}"))?;
    let command = Cli::command();
    match file.keys().find(|key| command.find_subcommand(key).is_none()) {
        Some(key) => bail!("[{key}] is not the name of a command; settings stand below one, as in [node]"),
        None => Ok(file),
    }
}

/// A command's settings as the flags a user would have typed.
fn flags(command: &clap::Command, settings: &Table, typed: &ArgMatches) -> anyhow::Result<Vec<OsString>> {
    let mut flags = Vec::new();
    for (key, value) in settings {
        let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(key)) else {
            let mut known: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
            known.sort_unstable();
            bail!("there is no setting \"{key}\"; there are: {}", known.join(", "));
        };
        if typed.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
            continue;
        }
        match (value, arg.get_action()) {
            (Value::Boolean(true), ArgAction::SetTrue) => flags.push(format!("--{key}").into()),
            (Value::Boolean(false), ArgAction::SetTrue) => {}
            (_, ArgAction::SetTrue) => bail!("{key} is either true or false"),
            (Value::Array(values), ArgAction::Append) => {
                for value in values {
                    flags.push(flag(key, value)?);
                }
            }
            _ => flags.push(flag(key, value)?),
        }
    }
    Ok(flags)
}

fn flag(key: &str, value: &Value) -> anyhow::Result<OsString> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Boolean(_) | Value::Array(_) | Value::Table(_) => {
            bail!("{key} wants one value, a number or a text in quotes")
        }
    };
    Ok(format!("--{key}={text}").into())
}
