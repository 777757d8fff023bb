//! A folder of results belongs to one run at a time.
//!
//! The system keeps the lock and drops it when a program ends, however it ends: whoever was killed leaves a file, but no lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Name of the file in the folder; it holds the number of the process that has, or last had, the lock.
const NAME: &str = "lock";

/// Holds a folder as long as it lives.
#[must_use = "a lock that is dropped is free"]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the folder where there is none, and takes it.
    ///
    /// # Errors
    /// When another run has it, or it cannot be made or written.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join(NAME);
        let context = || format!("locking {}", path.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).with_context(context)?;
        // A file system without locks has none to respect.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let mut owner = String::new();
            // Where a lock also keeps readers away, nobody knows whose it is.
            let _ = file.read_to_string(&mut owner);
            let owner = owner.trim();
            let owner = if owner.is_empty() { String::new() } else { format!(" (process {owner})") };
            bail!(
                "{} is in use by another run{owner}; wait until it has ended, or choose another --out",
                folder.display()
            );
        }
        file.set_len(0).with_context(context)?;
        file.rewind().with_context(context)?;
        writeln!(file, "{}", std::process::id()).with_context(context)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let folder = dir.path().join("new/run");
        let held = Lock::take(&folder)?;
        let error = Lock::take(&folder).err().context("taken twice")?.to_string();
        assert!(error.contains("in use") && error.contains("--out"), "{error}");
        #[cfg(unix)]
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        let _other = Lock::take(&dir.path().join("new"))?;
        drop(held);
        let _held = Lock::take(&folder)?;
        assert_eq!(std::fs::read_dir(&folder)?.count(), 1);
        Ok(())
    }

    /// What a killed run, whose number was longer, has left.
    #[test]
    fn a_file_alone_is_no_lock() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join(NAME);
        std::fs::write(&path, "123456789012\n")?;
        drop(Lock::take(dir.path())?);
        assert_eq!(std::fs::read_to_string(&path)?, format!("{}\n", std::process::id()));
        Ok(())
    }
}
