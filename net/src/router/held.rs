//! [`Held`]: packets that came while a password was checked, in order, until there is an answer.
//!
//! The transport is told to read no more, so that this is what had been read by then. It lies in one piece, whatever the size
//! of its packets, and is wiped. Not for: who waits (`conn`), nor what is read (`tcp`).

use zeroize::Zeroizing;

/// Kept, at most (bytes): a read of 32 kB and a record of TLS, of the shortest packets there are, with their lengths.
const LIMIT: usize = 128 << 10;
/// Before each packet stands its length (bytes).
const LENGTH: usize = size_of::<u32>();

/// See the module.
#[derive(Default)]
pub(super) struct Held(Zeroizing<Vec<u8>>);

impl Held {
    /// Keeps a packet, if there is room.
    pub(super) fn hold(&mut self, packet: &[u8]) -> bool {
        let needed = self.0.len() + LENGTH + packet.len();
        if needed > LIMIT {
            return false;
        }
        if needed > self.0.capacity() {
            // A vector that grows by itself leaves what it held behind.
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()).min(LIMIT));
            larger.extend_from_slice(&self.0);
            self.0 = Zeroizing::new(larger);
        }
        self.0.extend_from_slice(&(packet.len() as u32).to_be_bytes());
        self.0.extend_from_slice(packet);
        true
    }

    /// What was kept.
    pub(super) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk()?;
            let (packet, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            rest = behind;
            Some(packet)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_in_order_and_take_bounded_room() {
        for length in [1, 100, 5_000] {
            let mut held = Held::default();
            let count = (0..).take_while(|n: &usize| held.hold(&vec![*n as u8; length])).count();
            assert_eq!(count, LIMIT / (LENGTH + length));
            assert!(held.0.capacity() <= LIMIT);
            assert_eq!(held.packets().count(), count);
            for (n, packet) in held.packets().enumerate() {
                assert_eq!(packet, vec![n as u8; length]);
            }
        }
    }
}
