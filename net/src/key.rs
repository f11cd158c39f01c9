//! [`Key`]: the secret an ensemble shares, or a router keeps, and the seals made with it.
//!
//! A seal is HMAC-SHA-256 (RFC 2104) cut to 16 bytes. It is compared in constant time, and the key is never printed. Not for:
//! hiding anything; neither time nor music is a secret.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// See the module.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Bytes of a seal.
    pub const SEAL: usize = 16;
    /// A shorter key can be guessed (bytes).
    pub const SHORTEST: usize = 16;

    /// A key of these bytes, as they are; `None` if they are fewer than [`Key::SHORTEST`].
    pub fn new(bytes: &[u8]) -> Option<Key> {
        (bytes.len() >= Key::SHORTEST).then(|| Hmac::new_from_slice(bytes).ok().map(Key)).flatten()
    }

    /// The seal of these bytes.
    pub fn seal(&self, bytes: &[u8]) -> [u8; Key::SEAL] {
        let whole = self.0.clone().chain_update(bytes).finalize().into_bytes();
        std::array::from_fn(|n| whole[n])
    }

    /// Seals a message whose last argument is a blob of [`Key::SEAL`] bytes: all bytes before those, into those.
    pub(crate) fn close(&self, message: &mut [u8]) {
        if let Some((signed, seal)) = message.split_last_chunk_mut() {
            *seal = self.seal(signed);
        }
    }

    /// Whether a message was sealed so. The bytes begin with its address, so that a seal is good for no other kind of message.
    pub(crate) fn closes(&self, message: &[u8]) -> bool {
        let Some((signed, seal)) = message.split_last_chunk::<{ Key::SEAL }>() else { return false };
        signed.ends_with(&(Key::SEAL as u32).to_be_bytes()) && self.is_seal(signed, seal)
    }

    /// Whether it is the seal of these bytes.
    pub fn is_seal(&self, bytes: &[u8], seal: &[u8]) -> bool {
        seal.len() == Key::SEAL && self.0.clone().chain_update(bytes).verify_truncated_left(seal).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_that_of_rfc_4231() {
        // Test case 3, cut: a key of 20 times 0xaa, 50 times 0xdd.
        let key = Key::new(&[0xaa; 20]).expect("it is long enough");
        let seal =
            [0x77, 0x3e, 0xa9, 0x1e, 0x36, 0x80, 0x0e, 0x46, 0x85, 0x4d, 0xb8, 0xeb, 0xd0, 0x91, 0x81, 0xa7];
        assert_eq!(key.seal(&[0xdd; 50]), seal);
        assert!(key.is_seal(&[0xdd; 50], &seal));
        assert!(!key.is_seal(&[0xdd; 49], &seal) && !key.is_seal(&[0xdd; 50], &seal[..15]));
    }

    #[test]
    fn a_short_key_is_none_and_no_key_is_printed() {
        assert!(Key::new(&[1; 15]).is_none());
        assert_eq!(format!("{:?}", Key::new(&[1; 16])), "Some(Key(..))");
    }
}
