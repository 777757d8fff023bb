//! NOR flash that loses power at a chosen operation.

use core::ops::Range;
use std::rc::Rc;

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// Flash in memory: words of `WRITE` bytes, sectors of `ERASE`.
///
/// It refuses to write a word twice between two erasures, whatever the word holds. Where power goes, the word is left with some
/// of the bits that were to be cleared, or the sector with some of the bytes that were to be set.
#[derive(Clone)]
pub(crate) struct Flash<const WRITE: usize, const ERASE: usize> {
    /// Copied when they change: tests start from the same flash again and again.
    sectors: Vec<Rc<Sector>>,
    /// Operations until power goes.
    fuse: Option<usize>,
    /// Words written and sectors erased so far.
    pub(crate) operations: usize,
    /// What a cut leaves.
    pub(crate) tear: Tear,
    /// Bits that no erasure sets, as in a sector that is worn.
    pub(crate) stuck: Option<(usize, u8)>,
    /// Sectors that cannot be read for a while.
    pub(crate) hidden: Range<usize>,
    /// Reads until one fails, once.
    pub(crate) glitch: Option<usize>,
}

#[derive(Clone)]
struct Sector {
    bytes: Vec<u8>,
    /// Since the sector was erased.
    words: Vec<Word>,
}

/// What is left of a word or sector whose writing or erasure is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Tear {
    /// What was there before.
    Nothing,
    /// Everything, but whoever waited for it never learned so.
    Everything,
    /// The first half.
    Half,
    /// Any bits, by this number.
    Bits(u64),
    /// Any bits, and error correction reports them.
    Unreadable(u64),
}

impl Tear {
    pub(crate) const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Everything,
        Self::Half,
        Self::Bits(0x9e37_79b9_7f4a_7c15),
        Self::Bits(0xd1b5_4a32_d192_ed03),
        Self::Unreadable(0x94d0_49bb_1331_11eb),
    ];
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Erased,
    Written,
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The driver's own checks.
    Arguments(NorFlashErrorKind),
    /// The word was written since its sector was erased.
    NotErased,
    /// Error correction cannot mend a word.
    Unreadable,
    /// Power is gone.
    PowerCut,
}

impl NorFlashError for Refusal {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const WRITE: usize, const ERASE: usize> Flash<WRITE, ERASE> {
    /// Sectors as they leave the factory.
    pub(crate) fn new(sectors: usize) -> Self {
        let erased = Sector { bytes: vec![0xff; ERASE], words: vec![Word::Erased; ERASE / WRITE] };
        Self {
            sectors: (0..sectors).map(|_| Rc::new(erased.clone())).collect(),
            fuse: None,
            operations: 0,
            tear: Tear::Nothing,
            stuck: None,
            hidden: 0..0,
            glitch: None,
        }
    }

    /// Power goes during the operation after so many more.
    pub(crate) fn cut_after(mut self, operations: usize, tear: Tear) -> Self {
        (self.fuse, self.tear) = (Some(operations), tear);
        self
    }

    /// The same flash, with power again.
    pub(crate) fn restored(mut self) -> Self {
        (self.fuse, self.hidden, self.glitch) = (None, 0..0, None);
        self
    }

    /// What is stored, as a mapped memory would show it.
    pub(crate) fn mapped(&self, range: Range<usize>) -> Vec<u8> {
        range.map(|at| self.sectors[at / ERASE].bytes[at % ERASE]).collect()
    }

    /// Whether power goes now; an error if it is gone.
    fn goes(&mut self) -> Result<bool, Refusal> {
        match &mut self.fuse {
            Some(usize::MAX) => return Err(Refusal::PowerCut),
            Some(0) => self.fuse = Some(usize::MAX),
            Some(left) => *left -= 1,
            None => {}
        }
        self.operations += 1;
        Ok(self.fuse == Some(usize::MAX))
    }

    /// Which bits of byte `i` of `len` change before power goes.
    fn changed(&self, i: usize, len: usize) -> u8 {
        match self.tear {
            Tear::Nothing => 0,
            Tear::Everything => 0xff,
            Tear::Half => {
                if 2 * i < len {
                    0xff
                } else {
                    0
                }
            }
            Tear::Bits(seed) | Tear::Unreadable(seed) => {
                // splitmix64, one number for each byte.
                let x = seed.wrapping_add((i + self.operations) as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (x >> 40) as u8
            }
        }
    }

    fn torn(&self) -> Word {
        if let Tear::Unreadable(_) = self.tear { Word::Unreadable } else { Word::Written }
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for Flash<WRITE, ERASE> {
    type Error = Refusal;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for Flash<WRITE, ERASE> {
    const READ_SIZE: usize = if WRITE < 4 { 1 } else { 4 };

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Refusal> {
        check_read(self, offset, bytes.len()).map_err(Refusal::Arguments)?;
        if self.fuse == Some(usize::MAX) {
            return Err(Refusal::PowerCut);
        }
        let left = self.glitch;
        self.glitch = left.and_then(|left| left.checked_sub(1));
        if left == Some(0) || self.hidden.contains(&(offset as usize / ERASE)) {
            return Err(Refusal::Unreadable);
        }
        for (at, byte) in (offset as usize..).zip(bytes) {
            let sector = &self.sectors[at / ERASE];
            if sector.words[at % ERASE / WRITE] == Word::Unreadable {
                return Err(Refusal::Unreadable);
            }
            *byte = sector.bytes[at % ERASE];
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.sectors.len() * ERASE
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for Flash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Refusal> {
        check_erase(self, from, to).map_err(Refusal::Arguments)?;
        for start in (from as usize..to as usize).step_by(ERASE) {
            let goes = self.goes()?;
            let torn = self.torn();
            let changed: Vec<u8> =
                (0..ERASE).map(|i| if goes { self.changed(i, ERASE) } else { 0xff }).collect();
            let sector = Rc::make_mut(&mut self.sectors[start / ERASE]);
            sector.bytes.iter_mut().zip(changed).for_each(|(byte, changed)| *byte |= changed);
            if let Some((at, bits)) = self.stuck.filter(|(at, _)| at / ERASE == start / ERASE) {
                sector.bytes[at % ERASE] &= !bits;
            }
            if !goes {
                sector.words.fill(Word::Erased);
            } else if self.tear != Tear::Nothing {
                sector.words.fill(torn);
            }
            if goes {
                return Err(Refusal::PowerCut);
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Refusal> {
        check_write(self, offset, bytes.len()).map_err(Refusal::Arguments)?;
        for (start, word) in (offset as usize..).step_by(WRITE).zip(bytes.chunks(WRITE)) {
            if self.sectors[start / ERASE].words[start % ERASE / WRITE] != Word::Erased {
                return Err(Refusal::NotErased);
            }
            let goes = self.goes()?;
            let torn = self.torn();
            for (at, byte) in (start..).zip(word) {
                let changed = if goes { self.changed(at - start, WRITE) } else { 0xff };
                Rc::make_mut(&mut self.sectors[at / ERASE]).bytes[at % ERASE] &= byte | !changed;
            }
            let sector = Rc::make_mut(&mut self.sectors[start / ERASE]);
            sector.words[start % ERASE / WRITE] = if goes { torn } else { Word::Written };
            if goes {
                return Err(Refusal::PowerCut);
            }
        }
        Ok(())
    }
}
