//! The widest instructions the machine has, found out once.
//!
//! Code is compiled for each kind of machine and handed to [`dispatch`]. What the compiler does not find by itself has a
//! trait of its own, of which [`Portable`] is the plain form. Not for: arithmetic, which must give the same bits in every form.

use crate::places::BLOCK;
use pulp::{Arch, WithSimd};
use std::sync::LazyLock;

static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Looks at the machine, on the first call. Call it before the audio thread needs it.
pub(crate) fn prepare() {
    LazyLock::force(&ARCH);
}

/// Runs what was compiled for this machine. `RT:` yes, after [`prepare`].
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    ARCH.dispatch(op)
}

/// AVX2, if it is there. `RT:` yes, after [`prepare`].
#[cfg(target_arch = "x86_64")]
pub(crate) fn wide() -> Option<pulp::x86::V3> {
    match *ARCH {
        Arch::V3(simd) => Some(simd),
        _ => None,
    }
}

/// Numbers handled side by side, to be summed in the same order on every machine.
pub(crate) const LANES: usize = 8;

/// What moves numbers from lane to lane.
pub(crate) trait Shuffle: Copy {
    /// Four neighbouring frames from each of these rising places on: all first ones, all second ones, and so on.
    fn four(self, window: &[f32], indices: &[u32; BLOCK]) -> [[f32; BLOCK]; 4];

    /// The sum of each row of lanes: of neighbours, of neighbouring sums, and of the two halves.
    fn sums(self, rows: &[[f32; LANES]; BLOCK]) -> [f32; BLOCK];
}

/// One frame after the other.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Shuffle for Portable {
    #[inline(always)]
    fn four(self, window: &[f32], indices: &[u32; BLOCK]) -> [[f32; BLOCK]; 4] {
        let mut frames = [[0.0; BLOCK]; 4];
        for i in 0..BLOCK {
            let neighbours = &window[indices[i] as usize..][..4];
            for k in 0..4 {
                frames[k][i] = neighbours[k];
            }
        }
        frames
    }

    #[inline(always)]
    fn sums(self, rows: &[[f32; LANES]; BLOCK]) -> [f32; BLOCK] {
        let mut sums = [0.0; BLOCK];
        for i in 0..BLOCK {
            let [a, b, c, d, e, f, g, h] = rows[i];
            sums[i] = ((a + b) + (c + d)) + ((e + f) + (g + h));
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
impl Shuffle for pulp::x86::V3 {
    /// Below natural speed eight places in a row lie within eight frames: one load and one permutation fetch them all.
    #[inline(always)]
    fn four(self, window: &[f32], indices: &[u32; BLOCK]) -> [[f32; BLOCK]; 4] {
        const SPAN: usize = LANES + 3;
        let mut frames = [[0.0; BLOCK]; 4];
        for group in 0..BLOCK / LANES {
            let from = group * LANES;
            // No further back than that all of the span lies in the window.
            let first = indices[from].min(window.len().saturating_sub(SPAN) as u32);
            if indices[from + LANES - 1] - first >= LANES as u32 || window.len() < SPAN {
                return Portable.four(window, indices);
            }
            let span = &window[first as usize..][..SPAN];
            let mut offsets = [0; LANES];
            for i in 0..LANES {
                offsets[i] = indices[from + i] - first;
            }
            let offsets = pulp::cast(offsets);
            for k in 0..4 {
                let mut lanes = [0.0; LANES];
                lanes.copy_from_slice(&span[k..k + LANES]);
                let picked = self.avx2._mm256_permutevar8x32_ps(pulp::cast(lanes), offsets);
                let picked: [f32; LANES] = pulp::cast(picked);
                frames[k][from..from + LANES].copy_from_slice(&picked);
            }
        }
        frames
    }

    /// Eight sums are as many horizontal additions as one would be.
    #[inline(always)]
    fn sums(self, rows: &[[f32; LANES]; BLOCK]) -> [f32; BLOCK] {
        let avx = self.avx;
        let mut sums = [0.0; BLOCK];
        for group in 0..BLOCK / LANES {
            let from = group * LANES;
            let pairs =
                |i: usize| avx._mm256_hadd_ps(pulp::cast(rows[from + i]), pulp::cast(rows[from + i + 1]));
            let fours = |i: usize| avx._mm256_hadd_ps(pairs(i), pairs(i + 2));
            let (first, last) = (fours(0), fours(4));
            let halves = [
                avx._mm256_permute2f128_ps::<0x20>(first, last),
                avx._mm256_permute2f128_ps::<0x31>(first, last),
            ];
            let both: [f32; LANES] = pulp::cast(avx._mm256_add_ps(halves[0], halves[1]));
            sums[from..from + LANES].copy_from_slice(&both);
        }
        sums
    }
}
