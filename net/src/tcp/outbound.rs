//! [`Outbound`]: what waits to be written to one connection, in whole packets.
//!
//! Small packets are copied one behind the other, so that one write takes many; a large one is shared by all who get it.
//! Buffers come from a [`Pool`] and go back as soon as they are empty, so that whoever is sent nothing costs nothing. Pure:
//! it is given something to write to. Not for: sockets, nor what a packet looks like on a stream (`frames`).

use super::frames::Frame;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// A buffer that is longer gets no more packets (bytes).
const CHUNK: usize = 16 << 10;
/// What the pool keeps, at most (bytes).
const POOL: usize = 8 << 20;
/// Buffers written at once, at most.
const SLICES: usize = 32;

/// Buffers that wait to be used again.
#[derive(Default)]
pub(super) struct Pool {
    spare: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        let buffer = self.spare.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn put(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && self.bytes + buffer.capacity() <= POOL {
            self.bytes += buffer.capacity();
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Outbound {
    /// What is to be written first.
    full: VecDeque<Chunk>,
    /// What is written after that, and gets the next packet.
    last: Vec<u8>,
    /// Packets in `last`.
    packets: u32,
    /// How much of the first buffer is on its way.
    written: usize,
    waiting: usize,
}

struct Chunk {
    bytes: Bytes,
    packets: u32,
}

enum Bytes {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl Outbound {
    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Adds one framed packet.
    pub(super) fn push(&mut self, frame: Frame<'_>, pool: &mut Pool) {
        match frame {
            Frame::Small(bytes) => {
                if self.last.capacity() == 0 {
                    self.last = pool.take();
                } else if self.last.len() + bytes.len() > CHUNK {
                    self.put_by(pool.take());
                }
                self.last.extend_from_slice(bytes);
                self.packets += 1;
                self.waiting += bytes.len();
            }
            Frame::Shared(bytes) => {
                self.put_by(Vec::new());
                self.waiting += bytes.len();
                self.full.push_back(Chunk { bytes: Bytes::Shared(Arc::clone(bytes)), packets: 1 });
            }
        }
    }

    /// Makes `next` the last buffer.
    fn put_by(&mut self, next: Vec<u8>) {
        let bytes = std::mem::replace(&mut self.last, next);
        let packets = std::mem::take(&mut self.packets);
        if !bytes.is_empty() {
            self.full.push_back(Chunk { bytes: Bytes::Own(bytes), packets });
        }
    }

    /// Drops what has waited longest, a buffer of packets at a time, until no more than `enough` bytes wait. What is half
    /// written stays, for the other side could make nothing of the rest. Returns how many packets went.
    pub(super) fn drop_oldest(&mut self, enough: usize, pool: &mut Pool) -> u64 {
        let mut dropped = 0;
        self.put_by(Vec::new());
        let begun = usize::from(self.written > 0);
        while self.waiting > enough
            && let Some(chunk) = self.full.remove(begun)
        {
            self.waiting -= chunk.bytes.as_slice().len();
            dropped += u64::from(chunk.packets);
            recycle(chunk, pool);
        }
        dropped
    }

    /// Writes until nothing waits, or `write` takes no more.
    ///
    /// # Errors
    /// What `write` says, [`io::ErrorKind::WouldBlock`] too.
    pub(super) fn flush(
        &mut self,
        pool: &mut Pool,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while self.waiting > 0 {
            let length = if self.full.is_empty() {
                write(&[IoSlice::new(&self.last[self.written..])])
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let buffers = self.full.iter().map(|chunk| chunk.bytes.as_slice()).chain([&self.last[..]]);
                let count =
                    slices.iter_mut().zip(buffers).map(|(slice, bytes)| *slice = IoSlice::new(bytes)).count();
                slices[0].advance(self.written);
                write(&slices[..count])
            };
            match length {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => self.advance(length, pool),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(&mut self, length: usize, pool: &mut Pool) {
        self.waiting -= length;
        self.written += length;
        while let Some(first) = self.full.front() {
            let whole = first.bytes.as_slice().len();
            if self.written < whole {
                return;
            }
            self.written -= whole;
            self.full.pop_front().into_iter().for_each(|chunk| recycle(chunk, pool));
        }
        if self.written == self.last.len() {
            pool.put(std::mem::take(&mut self.last));
            self.packets = 0;
            self.written = 0;
        }
    }
}

fn recycle(chunk: Chunk, pool: &mut Pool) {
    if let Bytes::Own(bytes) = chunk.bytes {
        pool.put(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write_all(out: &mut Outbound, pool: &mut Pool) -> Vec<u8> {
        let mut stream = Vec::new();
        out.flush(pool, |slices| {
            slices.iter().for_each(|slice| stream.extend_from_slice(slice));
            Ok(slices.iter().map(|slice| slice.len()).sum())
        })
        .unwrap();
        stream
    }

    /// Takes so many bytes, then no more.
    fn write_some(out: &mut Outbound, pool: &mut Pool, some: usize) -> Vec<u8> {
        let mut stream = Vec::new();
        let end = out.flush(pool, |slices| {
            let all = slices.concat_bytes();
            let length = all.len().min(some - stream.len());
            if length == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            stream.extend_from_slice(&all[..length]);
            Ok(length)
        });
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        stream
    }

    trait Concat {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl Concat for [IoSlice<'_>] {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|slice| slice.iter().copied()).collect()
        }
    }

    #[test]
    fn many_small_packets_are_one_write() {
        let (mut out, mut pool) = (Outbound::default(), Pool::default());
        for _ in 0..300 {
            out.push(Frame::Small(b"\0\0\0\x04/a.."), &mut pool);
        }
        let mut writes = 0;
        out.flush(&mut pool, |slices| {
            writes += 1;
            Ok(slices.iter().map(|slice| slice.len()).sum())
        })
        .unwrap();
        assert_eq!((writes, out.waiting()), (1, 0));
    }

    #[test]
    fn whoever_waits_for_nothing_holds_no_buffer_and_buffers_are_used_again() {
        let (mut out, mut pool) = (Outbound::default(), Pool::default());
        out.push(Frame::Small(&[7; 1_000]), &mut pool);
        let buffer = out.last.as_ptr();
        write_all(&mut out, &mut pool);
        assert_eq!((out.last.capacity(), pool.spare.len()), (0, 1));
        let mut other = Outbound::default();
        other.push(Frame::Small(&[8; 1_000]), &mut pool);
        assert_eq!(other.last.as_ptr(), buffer);
        assert_eq!(pool.bytes, 0);
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut pool = Pool::default();
        (0..3).for_each(|_| pool.put(Vec::with_capacity(POOL / 2)));
        assert_eq!((pool.spare.len(), pool.bytes), (2, POOL));
    }

    #[test]
    fn a_large_packet_is_not_copied() {
        let (mut out, mut pool) = (Outbound::default(), Pool::default());
        let large = Arc::new(vec![1; 100_000]);
        out.push(Frame::Small(b"before"), &mut pool);
        out.push(Frame::Shared(&large), &mut pool);
        out.push(Frame::Small(b"behind"), &mut pool);
        out.flush(&mut pool, |slices| {
            assert_eq!(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>(), [6, 100_000, 6]);
            assert_eq!(slices[1].as_ptr(), large.as_ptr());
            Ok(100_012)
        })
        .unwrap();
        assert_eq!(Arc::strong_count(&large), 1);
    }

    #[test]
    fn what_is_half_written_is_finished_whatever_is_dropped() {
        let (mut out, mut pool) = (Outbound::default(), Pool::default());
        let [large, larger] = [1, 2].map(|byte| Arc::new(vec![byte; 50_000]));
        out.push(Frame::Shared(&large), &mut pool);
        out.push(Frame::Shared(&larger), &mut pool);
        (0..4).for_each(|_| out.push(Frame::Small(&[3; 10_000]), &mut pool));
        assert_eq!(write_some(&mut out, &mut pool, 20_000), [1; 20_000]);
        // 30,000 that have begun, then 50,000, then 40,000 of which the oldest buffers have one packet each.
        assert_eq!(out.drop_oldest(60_000, &mut pool), 2);
        let rest = write_all(&mut out, &mut pool);
        assert_eq!(rest, [[1; 30_000].as_slice(), &[3; 30_000]].concat());
        assert_eq!(out.drop_oldest(0, &mut pool), 0);
    }

    #[test]
    fn a_last_buffer_that_has_begun_is_not_dropped() {
        let (mut out, mut pool) = (Outbound::default(), Pool::default());
        out.push(Frame::Small(b"abcd"), &mut pool);
        assert_eq!(write_some(&mut out, &mut pool, 1), b"a");
        assert_eq!(out.drop_oldest(0, &mut pool), 0);
        assert_eq!(write_all(&mut out, &mut pool), b"bcd");
    }

    proptest! {
        #[test]
        fn every_byte_is_written_once_and_in_order(
            packets in prop::collection::vec((1usize..9_000, any::<bool>(), 0usize..30_000), 1..60),
        ) {
            let (mut out, mut pool) = (Outbound::default(), Pool::default());
            let (mut given, mut taken) = (Vec::new(), Vec::new());
            for (number, (length, shared, some)) in packets.into_iter().enumerate() {
                let packet = vec![number as u8; length];
                given.extend_from_slice(&packet);
                if shared {
                    out.push(Frame::Shared(&Arc::new(packet)), &mut pool);
                } else {
                    out.push(Frame::Small(&packet), &mut pool);
                }
                taken.extend(write_some(&mut out, &mut pool, some));
                prop_assert_eq!(out.waiting(), given.len() - taken.len());
            }
            taken.extend(write_all(&mut out, &mut pool));
            prop_assert!(given == taken);
            prop_assert_eq!((out.waiting(), out.full.len(), out.last.capacity()), (0, 0, 0));
        }
    }
}
