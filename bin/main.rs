//! The `downbeat` program: what the user types.

fn main() {}
