//! Flash in a file, for boards that an emulator runs: emulators have no flash controller, and a file outlives them.

use core::fmt;

use embedded_io::{ErrorKind, Read, ReadExactError, Seek, SeekFrom, Write};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// NOR flash with sectors of `ERASE` bytes and words of four, in a file.
#[derive(Debug)]
pub struct FileFlash<S, const ERASE: usize> {
    file: S,
    capacity: usize,
}

/// Why the flash refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlashError {
    /// The range is not in the flash, or not one of whole words or sectors.
    Range(NorFlashErrorKind),
    /// The file failed.
    File(ErrorKind),
    /// The file ended early.
    Short,
    /// A word is written that was not erased.
    NotErased,
}

impl<S: Read + Write + Seek, const ERASE: usize> FileFlash<S, ERASE> {
    /// `sectors` sectors in `file`; what the file lacks is erased.
    ///
    /// # Errors
    /// When the file fails.
    pub fn open(mut file: S, sectors: usize) -> Result<Self, FlashError> {
        let capacity = sectors * ERASE;
        let len = file.seek(SeekFrom::End(0)).map_err(failed)? as usize;
        for start in (len..capacity).step_by(BLOCK) {
            file.write_all(&[0xff; BLOCK][..BLOCK.min(capacity - start)]).map_err(failed)?;
        }
        Ok(Self { file, capacity })
    }

    fn seek(&mut self, offset: u32) -> Result<(), FlashError> {
        self.file.seek(SeekFrom::Start(offset.into())).map(drop).map_err(failed)
    }
}

impl<S, const ERASE: usize> ErrorType for FileFlash<S, ERASE> {
    type Error = FlashError;
}

impl<S: Read + Write + Seek, const ERASE: usize> ReadNorFlash for FileFlash<S, ERASE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len()).map_err(FlashError::Range)?;
        self.seek(offset)?;
        self.file.read_exact(bytes).map_err(|error| match error {
            ReadExactError::UnexpectedEof => FlashError::Short,
            ReadExactError::Other(error) => failed(error),
        })
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

impl<S: Read + Write + Seek, const ERASE: usize> NorFlash for FileFlash<S, ERASE> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to).map_err(FlashError::Range)?;
        self.seek(from)?;
        for start in (from..to).step_by(BLOCK) {
            self.file.write_all(&[0xff; BLOCK][..BLOCK.min((to - start) as usize)]).map_err(failed)?;
        }
        self.file.flush().map_err(failed)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len()).map_err(FlashError::Range)?;
        let mut before = [0; BLOCK];
        for (start, bytes) in (offset..).step_by(BLOCK).zip(bytes.chunks(BLOCK)) {
            let before = &mut before[..bytes.len()];
            self.read(start, before)?;
            if before.iter().any(|&byte| byte != 0xff) {
                return Err(FlashError::NotErased);
            }
            self.seek(start)?;
            self.file.write_all(bytes).map_err(failed)?;
        }
        self.file.flush().map_err(failed)
    }
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match *self {
            Self::Range(kind) => kind,
            _ => NorFlashErrorKind::Other,
        }
    }
}

impl fmt::Display for FlashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(kind) => write!(f, "{kind}"),
            Self::File(kind) => write!(f, "the file behind it failed: {kind:?}"),
            Self::Short => f.write_str("the file behind it ends early"),
            Self::NotErased => f.write_str("a word is written that was not erased"),
        }
    }
}

impl core::error::Error for FlashError {}

fn failed(error: impl embedded_io::Error) -> FlashError {
    FlashError::File(error.kind())
}

/// Bytes that are read or written at once.
const BLOCK: usize = 256;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use core::convert::Infallible;

    use super::*;

    /// A file in memory.
    #[derive(Default)]
    struct Memory {
        bytes: Vec<u8>,
        at: usize,
    }

    impl embedded_io::ErrorType for Memory {
        type Error = Infallible;
    }

    impl Read for Memory {
        fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
            let rest = &self.bytes[self.at.min(self.bytes.len())..];
            let len = rest.len().min(bytes.len());
            bytes[..len].copy_from_slice(&rest[..len]);
            self.at += len;
            Ok(len)
        }
    }

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            let end = self.at + bytes.len();
            self.bytes.resize(end.max(self.bytes.len()), 0);
            self.bytes[self.at..end].copy_from_slice(bytes);
            self.at = end;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    impl Seek for Memory {
        fn seek(&mut self, to: SeekFrom) -> Result<u64, Infallible> {
            self.at = match to {
                SeekFrom::Start(at) => at as usize,
                SeekFrom::End(offset) => self.bytes.len().saturating_add_signed(offset as isize),
                SeekFrom::Current(offset) => self.at.saturating_add_signed(offset as isize),
            };
            Ok(self.at as u64)
        }
    }

    #[test]
    fn a_short_file_is_erased_flash_and_keeps_what_it_has() {
        let file = Memory { bytes: [3; 5].to_vec(), at: 0 };
        let mut flash = FileFlash::<_, 512>::open(file, 2).expect("memory does not fail");
        assert_eq!(flash.capacity(), 1024);
        let mut bytes = [0; 1024];
        flash.read(0, &mut bytes).expect("the range is in the flash");
        assert_eq!((&bytes[..5], &bytes[5..]), (&[3; 5][..], &[0xff; 1019][..]));
    }

    #[test]
    fn words_are_written_once_between_erasures() {
        let mut flash = FileFlash::<_, 512>::open(Memory::default(), 2).expect("memory does not fail");
        let bytes: Vec<u8> = (0..600_u32).map(|i| i as u8).collect();
        flash.write(8, &bytes).expect("it is erased");
        assert_eq!(flash.write(604, &[0; 4]), Err(FlashError::NotErased));
        let mut back = [0; 600];
        flash.read(8, &mut back).expect("the range is in the flash");
        assert_eq!(back[..], bytes);
        flash.erase(0, 512).expect("a whole sector");
        flash.write(8, &[1; 4]).expect("it is erased again");
        flash.read(512, &mut back[..4]).expect("the range is in the flash");
        assert_eq!(back[..4], bytes[504..508], "the other sector is as it was");
    }

    #[test]
    fn odd_ranges_are_refused() {
        let mut flash = FileFlash::<_, 512>::open(Memory::default(), 2).expect("memory does not fail");
        assert!(flash.write(2, &[0; 4]).is_err() && flash.write(0, &[0; 3]).is_err());
        assert!(flash.erase(0, 100).is_err() && flash.erase(512, 2048).is_err());
        assert!(flash.read(1020, &mut [0; 8]).is_err());
    }
}
