//! [`Places`]: where in a window of frames an interpolator is to read.
//!
//! Not for: what it makes of the frames there (`interp`, `sinc`).

/// Places handled side by side.
pub(crate) const BLOCK: usize = 16;

/// Rising places in a window, one per output frame [frames * 2^32].
#[derive(Clone, Copy)]
pub(crate) enum Places<'a> {
    /// A first one, and others in equal distances.
    Even { first: u64, step: u64 },
    /// One by one.
    Listed(&'a [u64]),
}

/// Some places, taken apart.
pub(crate) struct Block {
    /// The frame at or before each.
    pub(crate) indices: [u32; BLOCK],
    /// How far behind it they lie [2^-32 frames].
    pub(crate) fractions: [u32; BLOCK],
}

impl Places<'_> {
    /// The places from one on: `len` of them, at least one, and the last of these over and over.
    #[expect(clippy::needless_range_loop, reason = "iterators are not compiled into wider instructions")]
    #[inline(always)]
    pub(crate) fn block(self, from: usize, len: usize) -> Block {
        let mut places = [0; BLOCK];
        match self {
            Places::Even { first, step } => {
                let first = first + from as u64 * step;
                for i in 0..BLOCK {
                    places[i] = first + i as u64 * step;
                }
            }
            Places::Listed(list) => places[..len].copy_from_slice(&list[from..from + len]),
        }
        for i in len..BLOCK {
            places[i] = places[len - 1];
        }
        let mut block = Block { indices: [0; BLOCK], fractions: [0; BLOCK] };
        for i in 0..BLOCK {
            block.indices[i] = (places[i] >> 32) as u32;
            block.fractions[i] = places[i] as u32;
        }
        block
    }
}
