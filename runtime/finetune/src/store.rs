//! Keeps what a device learned in flash: two slots, of which a cut of power leaves one.
//!
//! In: the bytes of a delta, any bytes in fact. Out: the same bytes, in place where flash is mapped into memory. A slot is
//! valid by a record of 32 bytes at its end, which is written last; the valid slot with the later sequence number is the
//! active one, and only the other is ever erased to save. Nothing is planned to be recovered: whatever a cut leaves is
//! either valid or erased by the next save.
//!
//! It must never program a word twice between two erasures, because flash with error correction refuses that, and never
//! rely on what a word or sector holds whose programming or erasure was cut, further than two checksums say.

use core::fmt;
use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;
use pocketgan_format::crc32;

/// Two slots for a delta, in a range of flash.
///
/// Whoever uses the active delta in place takes up the new one after [`save`](Self::save), before the next, which erases
/// the old; and drops it before [`revert`](Self::revert) and [`factory`](Self::factory).
///
/// ```
/// use embedded_storage::nor_flash::NorFlash;
/// use pocketgan_finetune::store::Store;
/// use pocketgan_runtime::{Delta, Model};
///
/// /// The model with what it learned, from flash that is mapped into memory.
/// fn learned<'a>(flash: impl NorFlash, mapped: &'a [u8], model: Model<'a>) -> Model<'a> {
///     let mut store = Store::new(flash, 0x000c_0000..0x0010_0000);
///     let delta = store.active().and_then(|place| mapped.get(place.start as usize..place.end as usize));
///     let delta = delta.and_then(|bytes| Delta::parse(bytes).ok());
///     delta.and_then(|delta| model.with_delta(delta, 0.5).ok()).unwrap_or(model)
/// }
/// ```
#[derive(Debug)]
pub struct Store<F> {
    flash: F,
    /// Of the first slot; the second follows.
    start: u32,
    slot_bytes: u32,
}

/// Why a store does not do what it was asked to. After an error of [`Store::save`] what was active before still is, unless the
/// flash refuses to erase again what it refused to write or to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError<E> {
    /// The flash refused.
    Flash(E),
    /// The delta does not fit a slot. Lengths in bytes.
    TooLong {
        /// The delta's.
        need: usize,
        /// The slot's, see [`Store::capacity`].
        have: usize,
    },
    /// The caller's buffer is too short for what is active. Lengths in bytes.
    BufferTooSmall {
        /// The delta's.
        need: usize,
        /// The buffer's.
        have: usize,
    },
    /// The flash holds something else than was written to it.
    Worn,
}

/// A slot that is valid.
#[derive(Clone, Copy)]
struct Entry {
    slot: u32,
    sequence: u32,
    len: u32,
}

impl<F: NorFlash> Store<F> {
    /// A store in `range` of `flash`, in bytes from its start. It reads and writes nothing yet.
    ///
    /// # Panics
    /// When `range` is not two times some whole sectors within the flash, or the flash reads or writes words that 256 bytes
    /// are no multiple of.
    pub fn new(flash: F, range: Range<u32>) -> Self {
        let words = [F::READ_SIZE, F::WRITE_SIZE];
        assert!(
            words.iter().all(|&word| word > 0 && BLOCK.is_multiple_of(word)),
            "words that 256 is no multiple of"
        );
        assert!(
            F::ERASE_SIZE.is_multiple_of(Self::RECORD) && Self::RECORD.is_multiple_of(F::READ_SIZE),
            "odd sectors"
        );
        assert!(
            range.start < range.end && range.end as usize <= flash.capacity(),
            "the range is not in the flash"
        );
        let slot_bytes = (range.end - range.start) / 2;
        let sectors = [range.start, slot_bytes].map(|bytes| (bytes as usize).is_multiple_of(F::ERASE_SIZE));
        assert!(
            sectors == [true; 2] && range.len() == 2 * slot_bytes as usize,
            "not two times some whole sectors"
        );
        Self { flash, start: range.start, slot_bytes }
    }

    /// The longest delta that fits, in bytes.
    pub fn capacity(&self) -> usize {
        self.slot_bytes as usize - Self::RECORD
    }

    /// Where the active delta lies, in bytes from the start of the flash, at the beginning of a sector; `None` where the
    /// base's own picture is to be drawn.
    ///
    /// A slot that cannot be read is as good as erased: error correction reports what a cut left of a word. If all of the
    /// flash fails, [`save`](Self::save) says so.
    pub fn active(&mut self) -> Option<Range<u32>> {
        self.newest().map(|entry| self.place(entry))
    }

    /// Copies the active delta to the start of `buffer`, for flash that is not mapped into memory.
    ///
    /// # Errors
    /// When `buffer` is too short, or the flash refuses what it has just read.
    pub fn load<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, StoreError<F::Error>> {
        let Some(entry) = self.newest() else { return Ok(None) };
        let (need, have) = (entry.len as usize, buffer.len());
        let buffer = buffer.get_mut(..need).ok_or(StoreError::BufferTooSmall { need, have })?;
        let starts = self.place(entry).step_by(BLOCK);
        for (bytes, start) in buffer.chunks_mut(BLOCK).zip(starts) {
            let block = Block::read(&mut self.flash, start, bytes.len()).map_err(StoreError::Flash)?;
            bytes.copy_from_slice(block.as_ref());
        }
        Ok(Some(buffer))
    }

    /// Makes `delta` the active one; the one before stays for [`revert`](Self::revert). After a cut of power at any
    /// time either is active.
    ///
    /// # Errors
    /// When `delta` is longer than [`capacity`](Self::capacity), or the flash refuses or holds something else afterwards.
    pub fn save(&mut self, delta: &[u8]) -> Result<(), StoreError<F::Error>> {
        let (need, have) = (delta.len(), self.capacity());
        if need > have {
            return Err(StoreError::TooLong { need, have });
        }
        let read = self.read_slots();
        let unread = read.each_ref().map(Result::is_err);
        let unsure = unread.contains(&true);
        let (slot, sequence, starts) = match later(read) {
            Some(entry) => (1 - entry.slot, entry.sequence.wrapping_add(1), false),
            None => (unread[0].into(), 0, true),
        };
        // Numbers start again: what a cut left in the other slot must not be read as valid one day, with a later one. If it
        // could not be read, it may be what is active all the same, and goes last.
        if starts && !unsure {
            self.erase(1 - slot)?;
        }
        let entry = Entry { slot, sequence, len: delta.len() as u32 };
        let crc = crc32([delta]);
        self.erase(slot)?;
        self.write(self.slot_start(slot), delta)?;
        // Before the record, so that it is never written beside data that a worn sector has changed.
        if self.crc(entry).map_err(StoreError::Flash)? != crc {
            return Err(StoreError::Worn);
        }
        let record = Record { sequence, len: entry.len, crc }.encode();
        let written = self.write(self.record_start(slot), &record);
        match written.and_then(|()| self.entry(slot).map_err(StoreError::Flash)) {
            Ok(Some(saved)) if saved.sequence == sequence => {}
            Ok(_) => return Err(StoreError::Worn),
            Err(error) => {
                // The record may be whole all the same.
                self.erase(slot)?;
                return Err(error);
            }
        }
        if starts && unsure { self.erase(1 - slot) } else { Ok(()) }
    }

    /// Forgets the active delta and returns where the one before it lies; `None` where there is none, so that the base's own
    /// picture is drawn. Two slots remember one delta before the active one. After a cut of power at any time either is
    /// active.
    ///
    /// # Errors
    /// When the flash refuses.
    pub fn revert(&mut self) -> Result<Option<Range<u32>>, StoreError<F::Error>> {
        if let Some(entry) = self.newest() {
            self.erase(entry.slot)?;
        }
        Ok(self.active())
    }

    /// Forgets everything: nothing that was learned stays in flash. After a cut of power at any time the same delta is
    /// active as before, or none.
    ///
    /// # Errors
    /// When the flash refuses.
    pub fn factory(&mut self) -> Result<(), StoreError<F::Error>> {
        // The older one first, or a cut would bring it back.
        let last = self.newest().map_or(1, |entry| entry.slot);
        self.erase(1 - last)?;
        self.erase(last)
    }

    /// The flash.
    pub fn release(self) -> F {
        self.flash
    }

    /// The valid slot that was written last.
    fn newest(&mut self) -> Option<Entry> {
        later(self.read_slots())
    }

    /// What each slot holds, if it is valid. What fails once is read again: what a cut has left fails always.
    fn read_slots(&mut self) -> [Result<Option<Entry>, F::Error>; 2] {
        [0, 1].map(|slot| self.entry(slot).or_else(|_| self.entry(slot)))
    }

    /// What a slot holds, if it is valid.
    fn entry(&mut self, slot: u32) -> Result<Option<Entry>, F::Error> {
        let start = self.record_start(slot);
        let record = Block::read(&mut self.flash, start, RECORD_BYTES)?;
        let Some(Record { sequence, len, crc }) = Record::decode(record.as_ref()) else { return Ok(None) };
        let entry = Entry { slot, sequence, len };
        let valid = len as usize <= self.capacity() && self.crc(entry)? == crc;
        Ok(valid.then_some(entry))
    }

    /// The checksum of what a slot holds.
    fn crc(&mut self, entry: Entry) -> Result<u32, F::Error> {
        let range = self.place(entry);
        let mut refused = None;
        let blocks = range.clone().step_by(BLOCK).map_while(|start| {
            let len = BLOCK.min((range.end - start) as usize);
            Block::read(&mut self.flash, start, len).map_err(|error| refused = Some(error)).ok()
        });
        let crc = crc32(blocks);
        refused.map_or(Ok(crc), Err)
    }

    /// Writes whole words, the last filled up with ones, as erased flash has them.
    fn write(&mut self, start: u32, bytes: &[u8]) -> Result<(), StoreError<F::Error>> {
        for (start, bytes) in (start..).step_by(BLOCK).zip(bytes.chunks(BLOCK)) {
            let mut block = [0xff; BLOCK];
            block[..bytes.len()].copy_from_slice(bytes);
            let words = &block[..bytes.len().next_multiple_of(F::WRITE_SIZE)];
            self.flash.write(start, words).map_err(StoreError::Flash)?;
        }
        Ok(())
    }

    fn erase(&mut self, slot: u32) -> Result<(), StoreError<F::Error>> {
        let start = self.slot_start(slot);
        self.flash.erase(start, start + self.slot_bytes).map_err(StoreError::Flash)
    }

    fn slot_start(&self, slot: u32) -> u32 {
        self.start + slot * self.slot_bytes
    }

    fn record_start(&self, slot: u32) -> u32 {
        self.slot_start(slot) + self.capacity() as u32
    }

    fn place(&self, entry: Entry) -> Range<u32> {
        let start = self.slot_start(entry.slot);
        start..start + entry.len
    }

    /// The record's bytes, in whole words.
    const RECORD: usize = RECORD_BYTES.next_multiple_of(F::WRITE_SIZE);
}

/// That of two slots which was written last.
fn later<E>(slots: [Result<Option<Entry>, E>; 2]) -> Option<Entry> {
    let [a, b] = slots.map(|slot| slot.ok().flatten());
    match (a, b) {
        // Numbers wrap around, and those of two valid slots are one apart.
        (Some(a), Some(b)) if a.sequence.wrapping_sub(b.sequence) as i32 > 0 => Some(a),
        (a, b) => b.or(a),
    }
}

/// Some bytes of flash.
struct Block {
    bytes: [u8; BLOCK],
    len: usize,
}

impl Block {
    /// Reads whole words.
    fn read<F: NorFlash>(flash: &mut F, start: u32, len: usize) -> Result<Self, F::Error> {
        let mut bytes = [0; BLOCK];
        flash.read(start, &mut bytes[..len.next_multiple_of(F::READ_SIZE)])?;
        Ok(Self { bytes, len })
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What makes a slot valid: magic, sequence number, length, checksum of the data, checksum of these 16 bytes; little-endian,
/// filled up with ones.
struct Record {
    sequence: u32,
    len: u32,
    crc: u32,
}

impl Record {
    fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut record = [0xff; RECORD_BYTES];
        let words = [MAGIC, self.sequence, self.len, self.crc].map(u32::to_le_bytes);
        record[..16].copy_from_slice(words.as_flattened());
        record[16..20].copy_from_slice(&crc32(words).to_le_bytes());
        record
    }

    /// `None` for what is no whole record: erased, cut, or another's.
    fn decode(record: &[u8]) -> Option<Self> {
        let (words, _) = record.as_chunks();
        let &[magic, sequence, len, crc, check, ..] = words else { return None };
        let valid = u32::from_le_bytes(magic) == MAGIC
            && u32::from_le_bytes(check) == crc32([magic, sequence, len, crc]);
        let [sequence, len, crc] = [sequence, len, crc].map(u32::from_le_bytes);
        valid.then_some(Self { sequence, len, crc })
    }
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "the flash refused: {error:?}"),
            Self::TooLong { need, have } => {
                write!(
                    f,
                    "the delta has {need} bytes, a slot {have}: learn fewer tensors, or give the store more flash"
                )
            }
            Self::BufferTooSmall { need, have } => {
                write!(f, "the delta has {need} bytes, the buffer {have}")
            }
            Self::Worn => {
                f.write_str("the flash does not hold what was written: give the store other sectors")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}

/// Bytes that are read and written at once.
const BLOCK: usize = 256;
const RECORD_BYTES: usize = 32;
const MAGIC: u32 = u32::from_le_bytes(*b"PGST");
