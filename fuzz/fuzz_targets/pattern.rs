//! Any bytes as an address pattern, and as an address after the first NUL: no panic, and what must hold of
//! every match.
#![no_main]

use downbeat_net::osc::{MAX_PATTERN, Pattern};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let (pattern, address) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
    let Ok(parsed) = Pattern::new(pattern) else { return };
    let matches = parsed.matches(address);
    if parsed.is_literal() {
        assert_eq!(matches, pattern == address);
        return;
    }
    if !matches || address.len() > MAX_PATTERN {
        return;
    }
    // A wildcard in the first place can only add matches, and so does one in the last.
    let with = |before: &[u8], after: &[u8]| [before, pattern, after].concat();
    for wider in [with(b"*", b""), with(b"", b"*"), with(b"{}", b""), with(b"", b"{x,}")] {
        if let Ok(wider) = Pattern::new(&wider) {
            assert!(wider.matches(address));
        }
    }
    // Only `//` crosses levels: without it, there are as many slashes on both sides.
    if !pattern.windows(2).any(|pair| pair == b"//") && !pattern.contains(&b'[') {
        let slashes = |text: &[u8]| text.iter().filter(|&&byte| byte == b'/').count();
        assert_eq!(slashes(pattern), slashes(address));
    }
});
