//! Real-time scheduling and locked memory, asked for politely: what is refused is reported, and the node goes on.
//!
//! Not for: the JACK host, whose server raises its clients itself.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::Uid;
use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// SCHED_FIFO priority of a thread that calls the renderer [1 to 99]: above the kernel's interrupt threads (50), for a
/// packet may wait for a block, but a block not for a packet.
pub const AUDIO_PRIORITY: i32 = 70;

/// SCHED_FIFO priority of the thread that receives: below the interrupts that bring it its packets, above all that can
/// wait.
pub const NETWORK_PRIORITY: i32 = 40;

/// Whether a thread runs with real-time scheduling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Grant {
    /// Not asked, or somebody else's affair (JACK's).
    #[default]
    Unasked = 0,
    /// SCHED_FIFO.
    Granted = 1,
    /// The kernel refused: rtprio in limits.conf or LimitRTPRIO= would allow it.
    Refused = 2,
}

impl Grant {
    pub(crate) fn from_u8(code: u8) -> Grant {
        match code {
            1 => Grant::Granted,
            2 => Grant::Refused,
            _ => Grant::Unasked,
        }
    }
}

/// Puts the calling thread on SCHED_FIFO at this priority [1 to 99].
///
/// Makes system calls: once per thread, before its first block.
///
/// Never on a device that is not paced: such a thread never sleeps, and starves the machine.
pub fn raise_this_thread(priority: i32) -> Grant {
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let wanted = u8::try_from(priority.clamp(1, 99)).ok().and_then(|value| value.try_into().ok());
    let Some(value) = wanted else { return Grant::Refused };
    match set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), fifo) {
        Ok(()) => Grant::Granted,
        Err(_) => Grant::Refused,
    }
}

/// Lets the calling thread have what processor time no other wants, and a little of the rest: for long work that nobody's
/// sound waits for. Returns whether the kernel agreed.
pub fn lower_this_thread() -> bool {
    let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, batch).is_ok()
}

/// Locks the process's memory as it is used, now and later, so that the audio thread never waits for a page that was
/// taken away. What is never touched takes no memory.
///
/// # Errors
/// Why not, for the user: with a limit on locked memory nothing is locked, for past the limit every later allocation
/// would fail.
pub fn lock_memory() -> Result<(), String> {
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|error| error.to_string())?;
    if limit != RLIM_INFINITY && !Uid::effective().is_root() {
        return Err(format!(
            "locked memory is limited to {} KiB: allow it with memlock in limits.conf or LimitMEMLOCK=infinity",
            limit / 1024
        ));
    }
    let once_touched = MlockAllFlags::from_bits_retain(nix::libc::MCL_ONFAULT);
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | once_touched;
    mlockall(flags).map_err(|error| error.to_string())
}
