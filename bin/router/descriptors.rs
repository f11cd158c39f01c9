//! Descriptors: as many as the router may need, if the system grants them. Many a shell allows 1,024, and each client takes one.
//!
//! Not for: how many clients there may be (`args`).

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Taken by what is no client: listeners, the log, the poll.
const BESIDE: rlim_t = 64;

/// Raises the limit as far as `connections` need and the system allows, and says so if that is not enough.
pub(super) fn raise(connections: u32) {
    // The system's own type: 32 bits wide on a 32-bit Raspberry Pi OS.
    let wanted = rlim_t::from(connections).saturating_add(BESIDE);
    let granted = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let granted = wanted.clamp(soft.min(hard), hard);
        setrlimit(Resource::RLIMIT_NOFILE, granted, hard).map(|()| granted)
    });
    match granted {
        Ok(granted) if granted >= wanted => {}
        Ok(granted) => tracing::warn!(
            "the system allows {granted} descriptors, too few for {connections} connections (ulimit -n, or LimitNOFILE= of a service)"
        ),
        Err(error) => tracing::warn!("cannot raise the limit of descriptors: {error}"),
    }
}
