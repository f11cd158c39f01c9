//! A global allocator that counts what one thread allocates and frees while it is being watched.
//!
//! The only unsafe code of the tests: `GlobalAlloc` cannot be implemented without it. It hands everything on to the
//! system's allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts on watched threads; otherwise the system's allocator.
pub(crate) struct Guard;

thread_local! {
    /// `None`: not watched. Const-initialised and without a destructor, so touching it never allocates.
    static COUNT: Cell<Option<u64>> = const { Cell::new(None) };
}

fn note() {
    COUNT.with(|count| count.set(count.get().map(|n| n + 1)));
}

// SAFETY: every method hands its arguments unchanged to `System`, which keeps GlobalAlloc's contract; `note` only
// touches a thread-local cell that needs no allocation.
unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps GlobalAlloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller keeps GlobalAlloc's contract, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// How often `work` allocates or frees on this thread.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    watch();
    work();
    unwatch()
}

/// Watches this thread from now on.
pub(crate) fn watch() {
    COUNT.with(|count| count.set(Some(0)));
}

/// Watches this thread no more. Returns how often it allocated or freed while it was watched; 0 if it was not.
pub(crate) fn unwatch() -> u64 {
    COUNT.with(|count| count.take()).unwrap_or(0)
}
