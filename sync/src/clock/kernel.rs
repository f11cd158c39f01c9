//! Whether the kernel says that its wall clock is right.
//!
//! The only unsafe code of the library: no safe wrapper of `adjtimex` is to be had. Not for: changing anything, for which the call would
//! want rights.
#![allow(unsafe_code)]

/// Whether something keeps the wall clock right: NTP and PTP daemons clear the kernel's flag for that, and it comes back when
/// they have been silent for hours.
#[cfg(target_os = "linux")]
pub(super) fn is_synchronised() -> bool {
    // SAFETY: `timex` is a C structure of integers, of which zero is a value.
    let mut state: nix::libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live structure of this type; with `modes` zero the call only writes to it.
    let answer = unsafe { nix::libc::adjtimex(&raw mut state) };
    answer >= 0 && answer != nix::libc::TIME_ERROR && state.status & nix::libc::STA_UNSYNC == 0
}

/// Nobody to ask.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_synchronised() -> bool {
    false
}
