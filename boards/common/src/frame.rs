//! Frames: numbered pieces of bytes over a serial line, of which those that noise has changed are recognised.
//!
//! A frame is a number of 16 bits, a payload, and the CRC-32 of both, little-endian. It travels in COBS, which has no zero,
//! between two zeros. Whatever the line loses, adds or changes, the next zero starts anew. Frames say nothing of each other:
//! the receiver names the number of each that arrives, and the sender repeats the others.
//!
//! # Source
//! Cheshire and Baker 1999, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2).

use core::fmt;

use cobs::{CobsEncoder, DecodeResult, DecoderState};
use pocketgan_format::crc32;

/// What arrived intact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its place among the others.
    pub number: u16,
    /// What it carries.
    pub payload: &'a [u8],
}

/// Something arrived, but no intact frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Takes frames out of a stream of bytes.
#[derive(Debug)]
pub struct Receiver<'a> {
    buffer: &'a mut [u8],
    len: usize,
    too_long: bool,
    state: DecoderState,
}

impl<'a> Receiver<'a> {
    /// A receiver of frames of up to the buffer's length less [`OVERHEAD_BYTES`].
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0, too_long: false, state: DecoderState::Idle }
    }

    /// Takes the next byte of the line; says what a zero has ended, if there was anything.
    pub fn push(&mut self, byte: u8) -> Option<Result<Frame<'_>, Damaged>> {
        match self.state.feed(byte) {
            Ok(DecodeResult::NoData) => None,
            Ok(DecodeResult::DataStart) => {
                (self.len, self.too_long) = (0, false);
                None
            }
            Ok(DecodeResult::DataContinue(byte)) => {
                match self.buffer.get_mut(self.len) {
                    Some(place) => {
                        *place = byte;
                        self.len += 1;
                    }
                    None => self.too_long = true,
                }
                None
            }
            Ok(DecodeResult::DataComplete) => Some(self.take().ok_or(Damaged)),
            // Zeros in a row have nothing between them.
            Err(cobs::DecodeError::EmptyFrame) => None,
            Err(_) => Some(Err(Damaged)),
        }
    }

    /// What the buffer holds, if it is whole.
    fn take(&self) -> Option<Frame<'_>> {
        let (bytes, crc) = self.buffer.get(..self.len)?.split_last_chunk()?;
        let (number, payload) = bytes.split_first_chunk()?;
        let intact = !self.too_long && u32::from_le_bytes(*crc) == crc32([bytes]);
        intact.then_some(Frame { number: u16::from_le_bytes(*number), payload })
    }
}

/// Writes a frame with its zeros to the start of `out`; returns its length, or `None` where `out` is shorter than
/// [`encoded_bytes`].
pub fn encode(frame: Frame<'_>, out: &mut [u8]) -> Option<usize> {
    let out = out.get_mut(..encoded_bytes(frame.payload.len()))?;
    let number = frame.number.to_le_bytes();
    let crc = crc32([&number, frame.payload]).to_le_bytes();
    let mut encoder = CobsEncoder::new(out.get_mut(1..)?);
    for bytes in [&number, frame.payload, &crc] {
        encoder.push(bytes).ok()?;
    }
    let end = 1 + encoder.finalize();
    out[0] = 0;
    *out.get_mut(end)? = 0;
    Some(end + 1)
}

/// What [`encode`] needs at most for a payload of this length.
pub fn encoded_bytes(payload_bytes: usize) -> usize {
    let bytes = payload_bytes + OVERHEAD_BYTES;
    2 + cobs::max_encoding_length(bytes)
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("damaged")
    }
}

impl core::error::Error for Damaged {}

/// Number and checksum.
pub const OVERHEAD_BYTES: usize = 6;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;
    use std::{println, vec};

    use super::*;

    /// All that a receiver takes out of a stream, and how often it found something damaged.
    fn receive(stream: &[u8], buffer_len: usize) -> (Vec<(u16, Vec<u8>)>, usize) {
        let mut buffer = vec![0; buffer_len];
        let mut receiver = Receiver::new(&mut buffer);
        let (mut taken, mut damaged) = (Vec::new(), 0);
        for &byte in stream {
            match receiver.push(byte) {
                Some(Ok(frame)) => taken.push((frame.number, frame.payload.to_vec())),
                Some(Err(Damaged)) => damaged += 1,
                None => {}
            }
        }
        (taken, damaged)
    }

    fn encoded(number: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![0xaa; encoded_bytes(payload.len())];
        let len = encode(Frame { number, payload }, &mut out).expect("there is room");
        out.truncate(len);
        out
    }

    /// splitmix64
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, below: usize) -> usize {
            (self.next() % below as u64) as usize
        }
    }

    #[test]
    fn frames_arrive_whatever_they_hold() {
        for len in [0, 1, 3, 247, 248, 249, 250, 253, 254, 255, 508, 784] {
            for fill in [|_| 0, |_| 0xff, |i: usize| i as u8] {
                let payload: Vec<u8> = (0..len).map(fill).collect();
                let stream = encoded(7, &payload);
                assert_eq!(stream.iter().filter(|&&byte| byte == 0).count(), 2, "a zero on each side only");
                assert_eq!(receive(&stream, len + OVERHEAD_BYTES), (vec![(7, payload)], 0));
            }
        }
    }

    #[test]
    fn what_is_too_long_is_damaged_and_the_next_is_not() {
        let stream = [encoded(1, &[5; 40]), encoded(2, &[6; 8])].concat();
        assert_eq!(receive(&stream, 8 + OVERHEAD_BYTES), (vec![(2, vec![6; 8])], 1));
        let mut short = [0; 10];
        assert_eq!(encode(Frame { number: 0, payload: &[1; 8] }, &mut short), None);
    }

    /// Bytes are flipped, dropped and inserted. Every frame that still stands between zeros as it was sent is taken, in
    /// order, and nothing that was not sent.
    #[test]
    fn noise_costs_only_what_it_touches() {
        const SEED: u64 = 19_990_401;
        println!("seed {SEED}");
        let mut noise = Noise(SEED);
        let (mut touched, mut intact) = (0, 0);
        for _ in 0..400 {
            let sent: Vec<(u16, Vec<u8>)> = (0..8)
                .map(|number| {
                    let len = noise.below(600);
                    // Many zeros, as dark pictures have.
                    let mut byte = || if noise.below(2) == 0 { 0 } else { noise.next() as u8 };
                    (number, (0..len).map(|_| byte()).collect())
                })
                .collect();
            let bodies: Vec<Vec<u8>> =
                sent.iter().map(|(number, payload)| encoded(*number, payload)).collect();
            let mut stream = Vec::new();
            for byte in bodies.concat() {
                match noise.below(1500) {
                    0 => stream.push(byte ^ 1 << noise.below(8)),
                    1 => {}
                    2 => stream.extend([noise.next() as u8, byte]),
                    3 => stream.extend([0, byte]),
                    _ => stream.push(byte),
                }
            }
            let unharmed = |chunk: &[u8]| bodies.iter().position(|body| chunk == &body[1..body.len() - 1]);
            let chunks: Vec<_> = stream.split(|&byte| byte == 0).collect();
            // Only a zero ends a frame.
            let arrived = &chunks[..chunks.len() - 1];
            let expected: Vec<usize> = arrived.iter().filter_map(|chunk| unharmed(chunk)).collect();
            let (taken, _) = receive(&stream, 600 + OVERHEAD_BYTES);
            assert!(taken.iter().all(|frame| sent.contains(frame)), "something was taken that nobody sent");
            let mut rest = taken.iter();
            for &number in &expected {
                assert!(rest.any(|frame| frame == &sent[number]), "an intact frame was not taken");
            }
            intact += expected.len();
            touched += sent.len() - expected.len();
        }
        // Else the test would say nothing.
        assert!(touched > 500 && intact > 500, "{touched} touched, {intact} intact");
    }
}
