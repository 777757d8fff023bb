//! The file of results: one line of JSON for every measurement, added as soon as it is known.
//!
//! A line that was cut by the end of a program is dropped when the file is opened again; whatever else cannot be read is an
//! error. Whoever opens the file sees to it that nobody else does.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::Figures;

/// One measurement of a run, or its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Name of the benchmark.
    pub benchmark: String,
    /// Name of the method.
    pub method: String,
    /// Seed of the run.
    pub seed: u64,
    /// Digest of all that decides the result.
    pub id: String,
    /// Steps done.
    pub step: usize,
    /// What was measured after them.
    #[serde(default, skip_serializing_if = "Figures::is_empty")]
    pub figures: Figures,
    /// How the run ended, in its last record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// Training could not go on, for this reason.
    Failed(String),
}

/// All records of a file, old and new.
pub struct Results {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    file: File,
    records: Vec<Record>,
}

impl Results {
    /// Opens the file, or makes an empty one.
    ///
    /// # Errors
    /// When it cannot be read or written, or holds a whole line that is no record.
    pub fn open(path: &Path) -> Result<Self> {
        let context = || format!("opening {}", path.display());
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).with_context(context)?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).with_context(context)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).with_context(context)?;
            file.seek(SeekFrom::End(0)).with_context(context)?;
        }
        let lines = bytes[..whole].split_inclusive(|&byte| byte == b'\n').enumerate();
        let records = lines
            .map(|(i, line)| {
                serde_json::from_slice(line).with_context(|| format!("{}, line {}", path.display(), i + 1))
            })
            .collect::<Result<_>>()?;
        Ok(Self { path: path.to_owned(), state: Mutex::new(State { file, records }) })
    }

    /// Adds a record, whole: it is in the file when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, record: Record) -> Result<()> {
        let mut line = serde_json::to_vec(&record)?;
        ensure!(!line.contains(&b'\n'), "JSON on one line has no line ends");
        line.push(b'\n');
        let mut state = self.state();
        state.file.write_all(&line).with_context(|| format!("writing {}", self.path.display()))?;
        state.records.push(record);
        Ok(())
    }

    /// The measurements of a run by rising steps, each once, the one that ends it last.
    pub fn of(&self, id: &str) -> Vec<Record> {
        // A run that began anew measured the same again.
        let mut records: Vec<Record> =
            self.state().records.iter().filter(|record| record.id == id).cloned().collect();
        records.sort_by_key(|record| (record.step, record.outcome.is_some()));
        records.dedup_by_key(|record| (record.step, record.outcome.is_some()));
        records
    }

    /// How a run ended, if it did.
    pub fn outcome(&self, id: &str) -> Option<Outcome> {
        self.state()
            .records
            .iter()
            .find(|record| record.id == id && record.outcome.is_some())?
            .outcome
            .clone()
    }

    /// A panic elsewhere leaves whole records.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, step: usize, modes: f64, outcome: Option<Outcome>) -> Record {
        let figures = Figures::from([("modes".to_owned(), modes)]);
        let (benchmark, method) = ("ring".into(), "least-squares".into());
        Record { benchmark, method, seed: 1, id: id.into(), step, figures, outcome }
    }

    fn file() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("results.jsonl");
        (dir, path)
    }

    #[test]
    fn records_survive_the_file() -> Result<()> {
        let (_dir, path) = file();
        let failed = Outcome::Failed("step 3\ndiverged".into());
        let records = [
            record("a", 10, 3.0, None),
            record("a", 20, 0.1 + 0.2, Some(Outcome::Finished)),
            record("b", 3, 1.0, Some(failed.clone())),
        ];
        let results = Results::open(&path)?;
        for record in &records {
            results.append(record.clone())?;
        }
        drop(results);
        let results = Results::open(&path)?;
        assert_eq!(results.of("a"), records[..2]);
        assert_eq!(results.outcome("a"), Some(Outcome::Finished));
        assert_eq!(results.outcome("b"), Some(failed));
        assert_eq!(results.outcome("c"), None, "another configuration");
        Ok(())
    }

    #[test]
    fn a_line_cut_anywhere_is_dropped_and_the_next_one_is_whole() -> Result<()> {
        let (_dir, path) = file();
        let (first, second) = (record("a", 1, 1.0, None), record("a", 2, 2.0, Some(Outcome::Finished)));
        let results = Results::open(&path)?;
        results.append(first.clone())?;
        let kept = std::fs::read(&path)?.len();
        results.append(second.clone())?;
        drop(results);
        let bytes = std::fs::read(&path)?;
        for len in kept..bytes.len() {
            std::fs::write(&path, &bytes[..len])?;
            let results = Results::open(&path)?;
            assert_eq!(results.of("a"), core::slice::from_ref(&first), "cut after {len} bytes");
            assert_eq!(results.outcome("a"), None);
            results.append(second.clone())?;
            drop(results);
            assert!(std::fs::read(&path)? == bytes, "cut after {len} bytes");
        }
        Ok(())
    }

    #[test]
    fn other_damage_is_an_error_that_names_the_line() -> Result<()> {
        let (_dir, path) = file();
        let results = Results::open(&path)?;
        results.append(record("a", 1, 1.0, None))?;
        results.append(record("a", 2, 1.0, None))?;
        drop(results);
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(&path, text.replacen("\"step\":2", "\"step\":-2", 1))?;
        let error = format!("{:#}", Results::open(&path).err().context("a negative step")?);
        assert!(error.contains("line 2"), "{error}");
        Ok(())
    }

    #[test]
    fn a_run_that_began_anew_is_read_once() -> Result<()> {
        let (_dir, path) = file();
        let results = Results::open(&path)?;
        for step in [10, 20, 10, 20] {
            results.append(record("a", step, step as f64, None))?;
        }
        results.append(record("a", 20, 20.0, Some(Outcome::Finished)))?;
        let steps: Vec<_> = results.of("a").iter().map(|r| (r.step, r.outcome.is_some())).collect();
        assert_eq!(steps, [(10, false), (20, false), (20, true)]);
        Ok(())
    }
}
