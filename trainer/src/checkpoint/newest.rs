//! The newest checkpoint of a run, and the one before: whatever happens to one of them, the other is intact.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow, bail};
use pocketgan_compiler::file;

use super::{Checkpoint, FILE_NAME, MAX_BYTES, PREVIOUS_NAME, UNFINISHED, draft, unseal};

/// Where a run goes on.
#[derive(Debug)]
pub struct Found {
    /// Its state.
    pub checkpoint: Checkpoint,
    /// The file it was read from.
    pub path: PathBuf,
    /// Why that is not the newest file.
    pub lost: Option<Error>,
}

/// The newest intact checkpoint in the folder of a run; none where there never was one.
///
/// Only damage leads to the one before: an intact file that says something else, as one of a newer version, is an error.
///
/// # Errors
/// When there are files, but none that is intact and understood.
pub fn find(run: &Path) -> Result<Option<Found>> {
    let [newest, previous] = [FILE_NAME, PREVIOUS_NAME].map(|name| run.join(name));
    let lost = match intact(&newest) {
        Ok(Some(bytes)) => return found(newest, &bytes, None).map(Some),
        Ok(None) => None,
        Err(error) => Some(error),
    };
    match (intact(&previous), lost) {
        (Ok(None), None) => Ok(None),
        (Ok(None), Some(lost)) => Err(lost),
        (Ok(Some(bytes)), lost) => {
            let lost = lost.unwrap_or_else(|| anyhow!("{} is missing", newest.display()));
            found(previous, &bytes, Some(lost)).map(Some)
        }
        (Err(error), None) => Err(error),
        (Err(error), Some(lost)) => bail!("{lost:#}; {error:#}"),
    }
}

fn found(path: PathBuf, bytes: &[u8], lost: Option<Error>) -> Result<Found> {
    let checkpoint = Checkpoint::from_bytes(bytes).with_context(|| format!("reading {}", path.display()))?;
    Ok(Found { checkpoint, path, lost })
}

/// The bytes of a file, if there is one, whose seal is whole.
fn intact(path: &Path) -> Result<Option<Vec<u8>>> {
    if !path.try_exists().with_context(|| format!("reading {}", path.display()))? {
        return Ok(None);
    }
    let bytes = file::read(path, MAX_BYTES)?;
    unseal(&bytes).with_context(|| format!("reading {}", path.display()))?;
    Ok(Some(bytes))
}

/// Makes `checkpoint` the newest one in the folder of a run, and keeps the one that was.
///
/// # Errors
/// When it cannot be written; as long as the new file is not whole, both are as they were.
pub fn replace(run: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let bytes = checkpoint.to_bytes();
    replace_by(run, |file| file.write_all(&bytes))
}

fn replace_by(run: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let [newest, previous] = [FILE_NAME, PREVIOUS_NAME].map(|name| run.join(name));
    let draft = draft(&newest, write)
        .context("saving a checkpoint; earlier ones are untouched, and --resume goes on from there")?;
    // A damaged file does not take the place of an intact one.
    if matches!(intact(&newest), Ok(Some(_))) {
        std::fs::rename(&newest, &previous).with_context(|| format!("writing {}", previous.display()))?;
    }
    // Whoever is killed here leaves a run without a newest checkpoint, which goes on from the one before.
    draft.persist(&newest).with_context(|| format!("writing {}", newest.display()))?;
    Ok(())
}

/// Removes what a killed process had begun to write into the folder of a run.
///
/// # Errors
/// When the folder cannot be read, or a file not removed.
pub fn remove_unfinished(run: &Path) -> Result<()> {
    for entry in std::fs::read_dir(run).with_context(|| format!("reading {}", run.display()))? {
        let path = entry?.path();
        let is_unfinished =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()));
        if is_unfinished && path.is_file() {
            std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::checkpoint;
    use super::*;
    use crate::training::Losses;

    /// The checkpoint of the tests after this many steps.
    fn after(steps: usize) -> Checkpoint {
        let losses = vec![Losses { discriminator: 0.5, generator: 1.0 }; steps];
        Checkpoint { losses, ..checkpoint() }
    }

    fn run_of(steps: core::ops::RangeInclusive<usize>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        steps.for_each(|step| replace(dir.path(), &after(step)).unwrap());
        dir
    }

    fn files(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
        files.sort();
        files
    }

    #[test]
    fn the_two_newest_are_kept() {
        let dir = run_of(1..=3);
        let found = find(dir.path()).unwrap().unwrap();
        assert_eq!((found.checkpoint, found.lost.is_none()), (after(3), true));
        let expected = [(FILE_NAME, after(3)), (PREVIOUS_NAME, after(2))];
        assert_eq!(files(dir.path()), expected.map(|(name, c)| (dir.path().join(name), c.to_bytes())));
        assert!(find(tempfile::tempdir().unwrap().path()).unwrap().is_none());
    }

    #[test]
    fn damage_anywhere_leads_to_the_one_before() {
        let dir = run_of(1..=2);
        let newest = dir.path().join(FILE_NAME);
        let bytes = std::fs::read(&newest).unwrap();
        let places = || (0..100).chain((100..bytes.len()).step_by(4999)).chain(bytes.len() - 40..bytes.len());
        let truncated = places().map(|len| bytes[..len].to_vec());
        let flipped = places().map(|at| {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            damaged
        });
        for (i, damaged) in truncated.chain(flipped).chain([vec![0; bytes.len()]]).enumerate() {
            std::fs::write(&newest, damaged).unwrap();
            let found = find(dir.path()).unwrap().unwrap();
            assert_eq!(found.path, dir.path().join(PREVIOUS_NAME), "damage {i}");
            assert!(found.lost.is_some() && found.checkpoint.step_count() == 1, "damage {i}");
        }
        std::fs::remove_file(&newest).unwrap();
        let found = find(dir.path()).unwrap().unwrap();
        assert!(found.lost.unwrap().to_string().ends_with("is missing"));
        assert_eq!(found.checkpoint, after(1));
    }

    #[test]
    fn a_damaged_file_does_not_replace_an_intact_one() {
        let dir = run_of(1..=2);
        std::fs::write(dir.path().join(FILE_NAME), b"").unwrap();
        replace(dir.path(), &after(3)).unwrap();
        let expected = [(FILE_NAME, after(3)), (PREVIOUS_NAME, after(1))];
        assert_eq!(files(dir.path()), expected.map(|(name, c)| (dir.path().join(name), c.to_bytes())));
    }

    #[test]
    fn two_damaged_files_are_an_error() {
        let dir = run_of(1..=2);
        std::fs::write(dir.path().join(FILE_NAME), b"").unwrap();
        std::fs::write(dir.path().join(PREVIOUS_NAME), b"PGTRAIN1").unwrap();
        let error = find(dir.path()).unwrap_err().to_string();
        assert!(error.contains(FILE_NAME) && error.contains(PREVIOUS_NAME), "{error}");
        std::fs::remove_file(dir.path().join(PREVIOUS_NAME)).unwrap();
        assert!(find(dir.path()).is_err(), "nothing to fall back to");
    }

    /// Falling back would lose the work of whoever wrote it.
    #[test]
    fn an_intact_file_of_another_version_is_an_error() {
        use sha2::{Digest, Sha256};
        let dir = run_of(1..=2);
        let mut other = b"PGTRAIN2 and whatever comes then".to_vec();
        let digest = Sha256::digest(&other);
        other.extend(digest.as_slice());
        std::fs::write(dir.path().join(FILE_NAME), other).unwrap();
        assert!(format!("{:#}", find(dir.path()).unwrap_err()).contains("no checkpoint"));
    }

    /// A disk that is full after any number of bytes.
    #[test]
    fn a_failed_write_leaves_both_files() {
        let dir = run_of(1..=2);
        let before = files(dir.path());
        let bytes = after(3).to_bytes();
        for len in [0, 1, bytes.len() / 2, bytes.len()] {
            let error = replace_by(dir.path(), |file| {
                file.write_all(&bytes[..len])?;
                Err(io::ErrorKind::StorageFull.into())
            });
            let error = format!("{:#}", error.unwrap_err());
            assert!(error.contains("earlier ones are untouched") && error.contains("no storage"), "{error}");
            assert_eq!(files(dir.path()), before, "{len} bytes");
        }
    }

    #[test]
    fn what_was_begun_is_removed() {
        let dir = run_of(1..=2);
        let before = files(dir.path());
        std::fs::write(dir.path().join(format!("{UNFINISHED}x7Qa")), b"PGTR").unwrap();
        remove_unfinished(dir.path()).unwrap();
        assert_eq!(files(dir.path()), before);
    }
}
