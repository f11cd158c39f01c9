//! [`Book`]: which address means what, and which name is which clip.
//!
//! Not for: arguments (`keys`) or what is done (`super`).

use super::names::Names;
use crate::osc::Pattern;
use crate::time_reply::TimeForm;
use downbeat_engine::ClipId;

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `/play`
    Play,
    /// A sample's own address.
    Sample(ClipId),
    /// `/click`
    Click,
    /// `/tone`
    Tone,
    /// An address a program registered an instrument at.
    Instrument(u8),
    /// `/set`
    Set,
    /// `/stop`
    Stop,
    /// `/panic`
    Panic,
    /// `/cancel`
    Cancel,
    /// `/master/gain`
    MasterGain,
    /// `/master/mute`
    MasterMute,
    /// What the node itself does or answers.
    Ask(Ask),
    /// `/sealed` and `/sealed/time` where they may not be: in a bundle, or sealed themselves.
    Sealed,
    /// An answer of another node that came here: two nodes that answer each other's answers would never stop.
    Answer,
}

/// What a message asks of the node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `/sample/load`
    Load,
    /// `/sample/free`
    Free,
    /// `/sample/list`
    List,
    /// `/notify`
    Notify,
    /// `/status`
    Status,
    /// `/sync/status`
    SyncStatus,
    /// `/sync/senders`
    Senders,
    /// `/sync/time` and its other forms.
    Time(TimeForm),
}

const BUILT_IN: [(&str, Method); 19] = [
    ("/cancel", Method::Cancel),
    ("/click", Method::Click),
    ("/master/gain", Method::MasterGain),
    ("/master/mute", Method::MasterMute),
    ("/notify", Method::Ask(Ask::Notify)),
    ("/panic", Method::Panic),
    ("/play", Method::Play),
    ("/sample/free", Method::Ask(Ask::Free)),
    ("/sample/list", Method::Ask(Ask::List)),
    ("/sample/load", Method::Ask(Ask::Load)),
    ("/set", Method::Set),
    ("/status", Method::Ask(Ask::Status)),
    ("/stop", Method::Stop),
    ("/sync/senders", Method::Ask(Ask::Senders)),
    ("/sync/status", Method::Ask(Ask::SyncStatus)),
    ("/sync/time", Method::Ask(Ask::Time(TimeForm::Timetag))),
    ("/sync/time/ii", Method::Ask(Ask::Time(TimeForm::Ints))),
    ("/sync/time/s", Method::Ask(Ask::Time(TimeForm::Text))),
    ("/tone", Method::Tone),
];

/// What nodes answer and announce; see [`Method::Answer`].
const ANSWERS: [&str; 15] = [
    "/cancel/reply",
    "/done",
    "/error",
    "/late",
    "/sample/list/reply",
    "/sealed/time/reply",
    "/status/reply",
    "/sync/jump",
    "/sync/jump/announced",
    "/sync/peer/reply",
    "/sync/senders/reply",
    "/sync/status/reply",
    "/sync/time/ii/reply",
    "/sync/time/reply",
    "/sync/time/s/reply",
];

/// Bytes that mean something else in an address than themselves (OSC 1.0), and what is no printable character.
const RESERVED: &[u8] = b" #*,?[]{}";

impl Method {
    /// Whether it only asks, so that anybody may. Whoever subscribes changes whom a node sends to.
    pub(super) fn changes_nothing(self) -> bool {
        use Ask::{List, Senders, Status, SyncStatus, Time};
        matches!(self, Method::Ask(List | Senders | Status | SyncStatus | Time(_)) | Method::Answer)
    }

    /// How its message is written.
    pub fn usage(self) -> &'static str {
        match self {
            Method::Play => "/play sample [gain [pan [rate]]] [key value]...",
            Method::Sample(_) => "/<sample> [gain]",
            Method::Click => "/click [gain]",
            Method::Tone => "/tone freq [key value]...",
            Method::Instrument(_) => "/<instrument> [number]... [key value]..., of at most 8 numbers",
            Method::Set => "/set id key value [seconds]",
            Method::Stop => "/stop [id or sample]",
            Method::Panic => "/panic",
            Method::Cancel => "/cancel [id]",
            Method::MasterGain => "/master/gain value [seconds]",
            Method::MasterMute => "/master/mute value [seconds]",
            Method::Ask(Ask::Load) => "/sample/load name [file]",
            Method::Ask(Ask::Free) => "/sample/free name",
            Method::Ask(Ask::List) => "/sample/list",
            Method::Ask(Ask::Notify) => "/notify 0 or 1",
            Method::Ask(Ask::Status) => "/status",
            Method::Ask(Ask::Senders) => "/sync/senders",
            Method::Ask(Ask::SyncStatus) => "/sync/status",
            Method::Ask(Ask::Time(TimeForm::Timetag)) => "/sync/time [anything]...",
            Method::Ask(Ask::Time(TimeForm::Ints)) => "/sync/time/ii [anything]...",
            Method::Ask(Ask::Time(TimeForm::Text)) => "/sync/time/s [anything]...",
            Method::Sealed => "/sealed sender session age packet seal",
            Method::Answer => "an answer",
        }
    }
}

/// Addresses and names, each by one hash lookup.
#[derive(Debug)]
pub(super) struct Book {
    methods: Names<Method>,
    /// What patterns can reach, by address, so that they reach it in the same order on every node.
    sorted: Vec<(Box<[u8]>, Method)>,
    clips: Names<ClipId>,
    /// The names of the clips, sorted.
    listed: Vec<Box<[u8]>>,
}

impl Book {
    /// The built-in addresses.
    pub(super) fn new() -> Book {
        let mut book =
            Book { methods: Names::new(), sorted: Vec::new(), clips: Names::new(), listed: Vec::new() };
        for (address, method) in BUILT_IN {
            book.enter(address.as_bytes(), method);
        }
        for address in ANSWERS {
            book.methods.insert(address.as_bytes(), Method::Answer);
        }
        for address in ["/sealed", "/sealed/time"] {
            book.methods.insert(address.as_bytes(), Method::Sealed);
        }
        book
    }

    /// What has exactly this address.
    #[inline]
    pub(super) fn method(&self, address: &[u8]) -> Option<Method> {
        self.methods.get(address)
    }

    /// What a pattern reaches, in the order of addresses.
    pub(super) fn matching(&self, pattern: Pattern<'_>) -> impl Iterator<Item = Method> {
        self.sorted.iter().filter(move |(address, _)| pattern.matches(address)).map(|(_, method)| *method)
    }

    /// How many addresses a pattern is held against.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The clip of a name.
    #[inline]
    pub(super) fn clip(&self, name: &[u8]) -> Option<ClipId> {
        self.clips.get(name)
    }

    /// The names of all samples, sorted.
    pub(super) fn samples(&self) -> Vec<&[u8]> {
        self.listed.iter().map(|name| &name[..]).collect()
    }

    /// How many samples there are.
    pub(super) fn sample_count(&self) -> usize {
        self.listed.len()
    }

    /// Gives a clip a name, and an address if that is free and can be one. Tells which clip had the name before.
    pub(super) fn add_sample(&mut self, name: &str, clip: ClipId) -> Option<ClipId> {
        let before = self.remove_sample(name.as_bytes());
        self.clips.insert(name.as_bytes(), clip);
        let place = self.listed.partition_point(|other| other[..] < *name.as_bytes());
        self.listed.insert(place, name.as_bytes().into());
        let address = [b"/", name.as_bytes()].concat();
        if self.method(&address).is_none() && is_plain(&address) {
            self.enter(&address, Method::Sample(clip));
        }
        before
    }

    /// Forgets a name and its address. Tells which clip had it.
    pub(super) fn remove_sample(&mut self, name: &[u8]) -> Option<ClipId> {
        let clip = self.clips.remove(name)?;
        self.listed.retain(|other| other[..] != *name);
        let address = [b"/", name].concat();
        if self.method(&address) == Some(Method::Sample(clip)) {
            self.methods.remove(&address[..]);
            self.sorted.retain(|(other, _)| other[..] != address[..]);
        }
        Some(clip)
    }

    /// Gives an instrument an address; one that a sample had is the instrument's from now on.
    ///
    /// # Errors
    /// A sentence, if this cannot be an address or is a built-in one.
    pub(super) fn add_instrument(&mut self, address: &str, bank: u8) -> Result<(), String> {
        if !address.starts_with('/') || address.len() < 2 || !is_plain(address.as_bytes()) {
            return Err(format!(
                "{address:?} cannot be an address: it must start with / and hold no wildcard"
            ));
        }
        match self.method(address.as_bytes()) {
            None => {}
            Some(Method::Sample(_) | Method::Instrument(_)) => {
                self.sorted.retain(|(other, _)| other[..] != *address.as_bytes());
            }
            Some(_) => return Err(format!("{address} is built in")),
        }
        self.enter(address.as_bytes(), Method::Instrument(bank));
        Ok(())
    }

    fn enter(&mut self, address: &[u8], method: Method) {
        self.methods.insert(address, method);
        let place = self.sorted.partition_point(|(other, _)| other[..] < *address);
        self.sorted.insert(place, (address.into(), method));
    }
}

/// Whether an address means itself.
fn is_plain(address: &[u8]) -> bool {
    address.iter().all(|byte| byte.is_ascii_graphic() && !RESERVED.contains(byte))
        && !address.windows(2).any(|pair| pair == b"//")
}
