//! Any bytes as an OSC packet: no panic, nothing beyond the packet, and rosc reads the same.
#![no_main]

#[path = "../../net/tests/oracle/mod.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|packet: &[u8]| {
    oracle::check(packet);
});
