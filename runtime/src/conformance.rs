//! What a file says that one seed draws: the proof that a device computes what every other computes.

use core::fmt;

use pocketgan_format::Role;

use crate::latent::Normal;
use crate::{Generator, Model};

/// The checksum of the picture that a seed draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conformance {
    /// Every input but labels and pictures holds the numbers that [`Latent::from_seed`](crate::Latent::from_seed) draws:
    /// input 0 those of this seed, each further one those of the seed before it plus 2^32. Pictures hold the same numbers,
    /// limited to the model's range, and labels 0.
    pub seed: u64,
    /// Of the picture, see [`Image::crc32`](crate::Image::crc32).
    pub crc32: u32,
}

/// What a device drew, beside what the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was drawn.
    pub drawn: Conformance,
    /// What the file says, if it does.
    pub stated: Option<Conformance>,
}

impl Conformance {
    /// Where it stands in the metadata, in the form of its `Display`: the seed, a space, and eight digits.
    pub const KEY: &'static str = "exact";

    fn parse(text: &str) -> Option<Self> {
        let (seed, crc32) = text.split_once(' ')?;
        let digits = crc32.len() == 8 && crc32.bytes().all(|digit| digit.is_ascii_hexdigit());
        let crc32 = u32::from_str_radix(crc32, 16).ok().filter(|_| digits)?;
        Some(Self { seed: seed.parse().ok()?, crc32 })
    }
}

impl Verdict {
    /// Whether the file says what was drawn.
    pub fn holds(&self) -> bool {
        self.stated == Some(self.drawn)
    }
}

impl Model<'_> {
    /// What a seed draws in exact arithmetic, if the file says so; of a delta it says nothing.
    pub fn conformance(&self) -> Option<Conformance> {
        let stated = self.file().get(Conformance::KEY).and_then(Conformance::parse);
        stated.filter(|_| self.delta().is_none())
    }
}

impl Generator<'_, '_> {
    /// Draws the picture of a seed for its checksum, which only the kernels of [`Generator::exact`] have in common.
    pub fn conformance(&mut self, seed: u64) -> Conformance {
        let model = *self.model();
        let [low, high] = model.range();
        for (index, input) in model.inputs().enumerate() {
            let mut normal = Normal::from_seed(seed.wrapping_add((index as u64) << 32));
            self.input(index).fill_with(|| match input.role {
                Role::Latent | Role::Values => normal.sample(),
                Role::Image => normal.sample().clamp(low, high),
                Role::Label => 0.0,
            });
        }
        Conformance { seed, crc32: self.run().crc32() }
    }

    /// Draws the picture of which the file speaks, or else that of seed 0.
    pub fn check(&mut self) -> Verdict {
        let stated = self.model().conformance();
        Verdict { drawn: self.conformance(stated.map_or(0, |stated| stated.seed)), stated }
    }
}

impl fmt::Display for Conformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:08x}", self.seed, self.crc32)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.drawn.crc32)?;
        match self.stated {
            Some(stated) if stated == self.drawn => f.write_str(" as the file says"),
            Some(stated) => write!(f, ", the file says {:08x}", stated.crc32),
            None => f.write_str(", of which the file says nothing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_and_back() {
        let some = Conformance { seed: u64::MAX, crc32: 0xbeef };
        assert_eq!(some.to_string(), "18446744073709551615 0000beef");
        assert_eq!(Conformance::parse(&some.to_string()), Some(some));
        for bad in
            ["", "0", "0 beef", "0 0000beef ", "x 0000beef", "0 +000beef", "-1 0000beef", "0 00000beef"]
        {
            assert_eq!(Conformance::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn verdicts_say_both_sides() {
        let drawn = Conformance { seed: 0, crc32: 1 };
        let verdict = |stated| Verdict { drawn, stated };
        assert_eq!(verdict(Some(drawn)).to_string(), "00000001 as the file says");
        let other = Conformance { seed: 0, crc32: 0xa };
        assert_eq!(verdict(Some(other)).to_string(), "00000001, the file says 0000000a");
        assert_eq!(verdict(None).to_string(), "00000001, of which the file says nothing");
        assert!(verdict(Some(drawn)).holds() && !verdict(Some(other)).holds() && !verdict(None).holds());
    }
}
