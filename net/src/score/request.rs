//! [`Request`]: what a message asks of the node itself rather than of the engine.

use super::book::Ask;
use super::keys::{self, mismatch};
use super::methods::end;
use super::refusal::Reason;
use crate::osc::{Args, Message};
use crate::time_reply::TimeForm;
use std::path::{Component, Path};

/// Names of samples longer than this serve nobody (bytes).
const MAX_NAME: usize = 128;

/// Something for the hub to do or to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Load a file below the samples folder under a name.
    Load {
        /// The sample's name.
        name: String,
        /// The file, relative to the samples folder.
        file: String,
    },
    /// Forget a sample.
    Free {
        /// The sample's name.
        name: String,
    },
    /// Tell the names of all samples.
    List,
    /// Begin or end to tell the sender what happens.
    Notify(bool),
    /// Tell how the node is.
    Status,
    /// Tell how its clock is.
    SyncStatus,
    /// Tell how those of its senders are.
    Senders,
    /// Tell the ensemble time.
    Time {
        /// In which form.
        form: TimeForm,
        /// The message that asked, whose arguments are echoed.
        asked: Vec<u8>,
    },
}

impl Request {
    /// The request in a message whose address says that it is one.
    pub(super) fn read<'p>(ask: Ask, message: Message<'p>) -> Result<Request, Reason<'p>> {
        let mut args = message.args();
        let request = match ask {
            Ask::Load => {
                let name = name(&mut args)?;
                let file = match args.next_tag() {
                    Some(_) => path(&mut args)?,
                    None => format!("{name}.wav"),
                };
                Request::Load { name, file }
            }
            Ask::Free => Request::Free { name: name(&mut args)? },
            Ask::List => Request::List,
            Ask::Notify => Request::Notify(keys::switch("the value", &mut args)?),
            Ask::Status => Request::Status,
            Ask::SyncStatus => Request::SyncStatus,
            Ask::Senders => Request::Senders,
            Ask::Time(form) => return Ok(Request::Time { form, asked: message.bytes().to_vec() }),
        };
        end(&args)?;
        Ok(request)
    }
}

fn name<'p>(args: &mut Args<'p>) -> Result<String, Reason<'p>> {
    let bytes = text("the name", args)?;
    let name = std::str::from_utf8(bytes).map_err(|_| Reason::Name(bytes))?;
    if name.is_empty() || name.starts_with('/') {
        return Err(Reason::Name(bytes));
    }
    if name.len() > MAX_NAME {
        return Err(Reason::TooLong { what: "the name", most: MAX_NAME, got: name.len() });
    }
    // It may become a file's name, and then must not lead out of the folder.
    stays_below(name).map(str::to_owned).ok_or(Reason::Path(bytes))
}

fn path<'p>(args: &mut Args<'p>) -> Result<String, Reason<'p>> {
    let bytes = text("the file", args)?;
    let path = std::str::from_utf8(bytes).ok().and_then(stays_below);
    path.map(str::to_owned).ok_or(Reason::Path(bytes))
}

/// A relative path that goes down only. Links are the loader's to check.
fn stays_below(path: &str) -> Option<&str> {
    let normal = |component| matches!(component, Component::Normal(_));
    (!path.is_empty() && Path::new(path).components().all(normal)).then_some(path)
}

fn text<'p>(what: &'static str, args: &mut Args<'p>) -> Result<&'p [u8], Reason<'p>> {
    args.take_text().ok_or_else(|| mismatch(what, "a string", args.next_tag()))
}
