//! A file of the computer that runs the emulator or the debugger.

use core::ffi::CStr;

use cortex_m_semihosting::nr::open::{R_BINARY, RW_BINARY, RW_TRUNC_BINARY};
use cortex_m_semihosting::syscall;
use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom, Write};

/// An open file.
///
/// # Source
/// ARM, "Semihosting for AArch32 and AArch64", 2024Q3.
#[derive(Debug)]
pub struct File {
    handle: usize,
    at: usize,
}

impl File {
    /// Opens a file to read.
    ///
    /// # Errors
    /// When there is none, or whoever runs this does not allow it.
    pub fn open_to_read(path: &CStr) -> Result<Self, ErrorKind> {
        // SAFETY: the block names a string that ends with a zero, and its length.
        let handle = unsafe { syscall!(OPEN, path.as_ptr(), R_BINARY, path.count_bytes()) };
        if handle == FAILED { Err(ErrorKind::NotFound) } else { Ok(Self { handle, at: 0 }) }
    }

    /// Opens a file to read and write, and creates it where there is none.
    ///
    /// # Errors
    /// When whoever runs this allows neither.
    pub fn open(path: &CStr) -> Result<Self, ErrorKind> {
        let len = path.count_bytes();
        let open = [RW_BINARY, RW_TRUNC_BINARY].map(|mode| {
            move || {
                // SAFETY: the block names a string that ends with a zero, and its length.
                unsafe { syscall!(OPEN, path.as_ptr(), mode, len) }
            }
        });
        let handle = open.into_iter().map(|open| open()).find(|&handle| handle != FAILED);
        handle.map(|handle| Self { handle, at: 0 }).ok_or(ErrorKind::NotFound)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the block names an open file, which nobody uses after this.
        unsafe { syscall!(CLOSE, self.handle) };
    }
}

impl ErrorType for File {
    type Error = ErrorKind;
}

impl Read for File {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, ErrorKind> {
        // SAFETY: the block names memory that may be written, and its length.
        let left = unsafe { syscall!(READ, self.handle, bytes.as_mut_ptr(), bytes.len()) };
        let read = bytes.len().checked_sub(left).ok_or(ErrorKind::Other)?;
        self.at += read;
        Ok(read)
    }
}

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        // SAFETY: the block names memory that may be read, and its length.
        let left = unsafe { syscall!(WRITE, self.handle, bytes.as_ptr(), bytes.len()) };
        match bytes.len().checked_sub(left) {
            None | Some(0) if !bytes.is_empty() => Err(ErrorKind::WriteZero),
            written => {
                let written = written.unwrap_or(0);
                self.at += written;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        let place = match to {
            SeekFrom::Start(at) => i64::try_from(at).map_err(|_| ErrorKind::InvalidInput)?,
            SeekFrom::Current(offset) => self.at as i64 + offset,
            SeekFrom::End(offset) => {
                // SAFETY: the block names an open file.
                let len = unsafe { syscall!(FLEN, self.handle) };
                if len == FAILED {
                    return Err(ErrorKind::Other);
                }
                len as i64 + offset
            }
        };
        let place = usize::try_from(place).map_err(|_| ErrorKind::InvalidInput)?;
        // SAFETY: as above.
        if unsafe { syscall!(SEEK, self.handle, place) } != 0 {
            return Err(ErrorKind::Other);
        }
        self.at = place;
        Ok(place as u64)
    }
}

const FAILED: usize = usize::MAX;
