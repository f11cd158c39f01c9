//! [`Recorder`]: a JACK client that hears the engines on a server and keeps every click with its frame.
//!
//! Not for: what a frame's time is (`line`).

use downbeat_sync::{Clock, LocalTime};
use jack::{
    AudioIn, Client, ClientOptions, Control, NotificationHandler, Port, PortFlags, ProcessHandler,
    ProcessScope,
};
use std::sync::{Arc, Mutex, PoisonError};

/// Impulses above this are clicks.
pub(crate) const THRESHOLD: f32 = 0.2;
/// Room for the cycles of ten minutes at 64 frames, and for clicks; the callback must not allocate.
const CYCLES: usize = 600 * 750;
const CLICKS: usize = 100_000;

/// One cycle of the server as this client woke to it.
#[derive(Clone, Copy)]
pub(crate) struct Cycle {
    pub(crate) frame: u64,
    pub(crate) woke: LocalTime,
}

/// One click: which input, and the frame by the server's count.
#[derive(Clone, Copy)]
pub(crate) struct Click {
    pub(crate) input: usize,
    pub(crate) frame: u64,
}

/// What was heard.
pub(crate) struct Take {
    pub(crate) cycles: Vec<Cycle>,
    pub(crate) clicks: Vec<Click>,
    /// Frames about which the server told everybody that a block was lost, by itself or by one of its clients.
    pub(crate) lost_blocks: Vec<u64>,
}

pub(crate) struct Recorder {
    client: jack::AsyncClient<Alarm, Ears>,
    inputs: usize,
    lost_blocks: Arc<Mutex<Vec<u64>>>,
}

/// Notes what the server tells of lost blocks, on a thread that may wait.
struct Alarm(Arc<Mutex<Vec<u64>>>);

impl NotificationHandler for Alarm {
    fn xrun(&mut self, client: &Client) -> Control {
        let mut lost_blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lost_blocks.len() < CLICKS {
            lost_blocks.push(u64::from(client.frame_time()));
        }
        Control::Continue
    }
}

struct Ears {
    ports: Vec<Port<AudioIn>>,
    clock: Clock,
    frame: u64,
    take: Take,
}

impl ProcessHandler for Ears {
    fn process(&mut self, _: &Client, scope: &ProcessScope) -> Control {
        let woke = self.clock.now();
        // The server's count wraps after a day; only its steps are used.
        self.frame += u64::from(scope.last_frame_time().wrapping_sub(self.frame as u32));
        if self.take.cycles.len() < CYCLES {
            self.take.cycles.push(Cycle { frame: self.frame, woke });
        }
        for (input, port) in self.ports.iter().enumerate() {
            for (n, sample) in port.as_slice(scope).iter().enumerate() {
                if sample.abs() > THRESHOLD && self.take.clicks.len() < CLICKS {
                    self.take.clicks.push(Click { input, frame: self.frame + n as u64 });
                }
            }
        }
        Control::Continue
    }
}

impl Recorder {
    /// Starts a client with so many inputs on the server that the environment names.
    pub(crate) fn start(inputs: usize) -> Recorder {
        let options = ClientOptions::NO_START_SERVER;
        let (client, _) = Client::new("onset", options).expect("the server is running");
        let port = |n| client.register_port(&format!("in{n}"), AudioIn::default()).expect("names differ");
        let ears = Ears {
            ports: (0..inputs).map(port).collect(),
            clock: Clock::new(),
            frame: 0,
            take: Take {
                cycles: Vec::with_capacity(CYCLES),
                clicks: Vec::with_capacity(CLICKS),
                lost_blocks: Vec::new(),
            },
        };
        let lost_blocks = Arc::default();
        let alarm = Alarm(Arc::clone(&lost_blocks));
        let client = client.activate_async(alarm, ears).expect("the server is running");
        Recorder { client, inputs, lost_blocks }
    }

    /// Output ports of the other clients, one for each that is there.
    pub(crate) fn outputs(&self) -> Vec<String> {
        let ports = self.client.as_client().ports(None, Some("audio"), PortFlags::IS_OUTPUT);
        let mut firsts: Vec<String> = Vec::new();
        for port in ports.into_iter().filter(|port| !port.starts_with("system:")) {
            let client = |port: &str| port.split(':').next().map(str::to_string);
            if firsts.iter().all(|first| client(first) != client(&port)) {
                firsts.push(port);
            }
        }
        firsts
    }

    /// Listens to an output on the input of this number.
    pub(crate) fn connect(&self, output: &str, input: usize) {
        assert!(input < self.inputs, "there are {} inputs", self.inputs);
        let name = format!("{}:in{input}", self.client.as_client().name());
        self.client.as_client().connect_ports_by_name(output, &name).expect("both ports are there");
    }

    /// Ends and gives what was heard.
    pub(crate) fn stop(self) -> Take {
        let (_, _, ears) = self.client.deactivate().expect("the server is running");
        let lost_blocks =
            std::mem::take(&mut *self.lost_blocks.lock().unwrap_or_else(PoisonError::into_inner));
        Take { lost_blocks, ..ears.take }
    }
}
