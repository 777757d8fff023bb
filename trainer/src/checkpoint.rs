//! A run on disk: one file with everything needed to go on, or to use the generator.
//!
//! Layout, little-endian: magic, length of the header (u64), header (JSON), tensors (f32), SHA-256 of all before.
//! Whatever the bytes, reading gives a checkpoint or an error.

pub mod newest;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::module::Module;
use burn::tensor::Device;
use pocketgan_compiler::file;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::config::Config;
use crate::network::{Discriminator, Generator, NamedTensor, Parameters};
use crate::training::watch::{Evaluation, History, Vitals};
use crate::training::{self, Losses, Moments};

/// All state of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What the run is.
    pub config: Config,
    /// The generator as trained.
    pub generator: Parameters,
    /// The discriminator as trained.
    pub discriminator: Parameters,
    /// The moving average of the generator.
    pub average: Parameters,
    /// Optimizer of the generator.
    pub moments_g: Moments,
    /// Optimizer of the discriminator.
    pub moments_d: Moments,
    /// Losses of every step; their number is that of the steps done.
    pub losses: Vec<Losses>,
    /// What a watch remembers of the run.
    pub history: History,
}

/// Name of the newest checkpoint in the folder of a run.
pub const FILE_NAME: &str = "checkpoint.bin";

/// Name of the checkpoint before the newest one in the folder of a run.
pub const PREVIOUS_NAME: &str = "checkpoint.previous.bin";

/// Name of the checkpoint with the best evaluation in the folder of a run.
pub const BEST_NAME: &str = "best.bin";

const MAGIC: [u8; 8] = *b"PGTRAIN1";
const DIGEST_LEN: usize = 32;
/// More than all state of the widest networks.
const MAX_BYTES: u64 = 1 << 36;
/// How the names of files begin that are not yet whole.
const UNFINISHED: &str = ".unfinished-";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    config: String,
    times: [u64; 2],
    steps: usize,
    /// Names and shapes of the tensors of each group, in the order of `Checkpoint::groups`.
    groups: Vec<Vec<(String, Vec<usize>)>>,
    /// Steps of the looks at the networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    looks: Vec<usize>,
    /// What evaluations measured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    metric: String,
    /// Steps of the evaluations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    evaluations: Vec<usize>,
}

/// Reads a checkpoint, or the newest one in the folder of a run.
///
/// There is no falling back: what is made of a checkpoint should be made of the one that was meant. The error names the one
/// before. [`newest::find`] goes on from it.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn load(path: &Path) -> Result<Checkpoint> {
    let previous = path.join(PREVIOUS_NAME);
    let path: PathBuf = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    read(&path).and_then(|bytes| Checkpoint::from_bytes(&bytes)).with_context(|| {
        if previous.exists() {
            format!("reading {}; {} is the one before", path.display(), previous.display())
        } else {
            format!("reading {}", path.display())
        }
    })
}

/// The bytes of a file that begins as checkpoints do: what is named may be a large file of another kind, or have no end.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut start = [0; MAGIC.len()];
    let is_checkpoint = File::open(path)?.read_exact(&mut start).is_ok() && start == MAGIC;
    ensure!(is_checkpoint, "this is no checkpoint");
    file::read(path, MAX_BYTES)
}

/// A checkpoint of the run whose folder this is; none where it is free for a new one.
pub fn existing(run: &Path) -> Option<PathBuf> {
    [FILE_NAME, PREVIOUS_NAME].map(|name| run.join(name)).into_iter().find(|path| path.exists())
}

impl Checkpoint {
    /// Number of steps done.
    pub fn step_count(&self) -> usize {
        self.losses.len()
    }

    /// The averaged generator with re-estimated standing statistics, for inference on `device`.
    ///
    /// # Errors
    /// When the tensors do not fit the configuration.
    pub fn ema_generator(&self, device: &Device) -> Result<Generator> {
        let generator =
            training::averaged(&self.config, &self.average, self.step_count(), &training::training_device())?;
        Ok(generator.to_device(device))
    }

    /// The discriminator on `device`, as far as it has grown.
    ///
    /// # Errors
    /// When the tensors do not fit the configuration.
    pub fn discriminator(&self, device: &Device) -> Result<Discriminator> {
        let discriminator = self.discriminator.write(Discriminator::new(&self.config.network, 0, device))?;
        Ok(match self.config.growth_after(self.step_count()) {
            Some(growth) => discriminator.with_growth(growth),
            None => discriminator,
        })
    }

    /// Writes the file whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        write_atomically(path, &self.to_bytes())
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let describe = |p: &Parameters| p.0.iter().map(|t| (t.name.clone(), t.shape.clone())).collect();
        let header = Header {
            config: self.config.to_toml(),
            times: [self.moments_g.time, self.moments_d.time],
            steps: self.losses.len(),
            groups: self.groups().map(describe).to_vec(),
            looks: self.history.vitals.iter().map(|vitals| vitals.step).collect(),
            metric: self.history.metric.clone(),
            evaluations: self.history.evaluations.iter().map(|evaluation| evaluation.step).collect(),
        };
        let header = serde_json::to_vec(&header).expect("a header holds strings and integers only");
        let mut bytes = MAGIC.to_vec();
        bytes.extend((header.len() as u64).to_le_bytes());
        bytes.extend(&header);
        let tensors = self.groups().into_iter().flat_map(|group| &group.0).flat_map(|tensor| &tensor.data);
        bytes.extend(tensors.flat_map(|value| value.to_le_bytes()));
        let losses = self.losses.iter().flat_map(|l| [l.discriminator, l.generator]);
        bytes.extend(losses.flat_map(f32::to_le_bytes));
        let vitals = self.history.vitals.iter().flat_map(|v| [v.ordered, v.diversity]);
        bytes.extend(vitals.flat_map(f32::to_le_bytes));
        bytes.extend(self.history.evaluations.iter().flat_map(|evaluation| evaluation.value.to_le_bytes()));
        let digest = Sha256::digest(&bytes);
        bytes.extend(digest.as_slice());
        bytes
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// When they are no checkpoint, or a damaged one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.starts_with(&MAGIC), "this is no checkpoint");
        let content = unseal(bytes)?.get(MAGIC.len()..).context("the checkpoint is cut short")?;
        let (len, rest) = content.split_first_chunk().context("the checkpoint is cut short")?;
        let header =
            usize::try_from(u64::from_le_bytes(*len)).ok().and_then(|len| rest.split_at_checked(len));
        let (header, data) = header.context("the header is longer than the file")?;
        let header: Header = serde_json::from_slice(header).context("reading the header")?;
        let config = Config::parse(&header.config)?;

        let mut values = Values(data);
        let groups: Vec<Parameters> =
            header.groups.into_iter().map(|group| values.parameters(group)).collect::<Result<_>>()?;
        let Ok([generator, discriminator, average, first_g, second_g, first_d, second_d]) =
            <[Parameters; 7]>::try_from(groups)
        else {
            bail!("the header describes another number of networks");
        };
        let losses = values.take(header.steps.checked_mul(2).context("too many steps")?)?;
        let losses = losses.chunks_exact(2).map(|pair| Losses { discriminator: pair[0], generator: pair[1] });
        let losses = losses.collect();
        let history = values.history(header.looks, header.metric, header.evaluations, header.steps)?;
        ensure!(values.0.is_empty(), "{} bytes are left over", values.0.len());
        let [time_g, time_d] = header.times;
        let checkpoint = Self {
            config,
            generator,
            discriminator,
            average,
            moments_g: Moments { time: time_g, first: first_g, second: second_g },
            moments_d: Moments { time: time_d, first: first_d, second: second_d },
            losses,
            history,
        };
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// Moments and averages must have the tensors of the network they belong to; whether those fit the
    /// configuration shows when the network is made.
    fn check(&self) -> Result<()> {
        let same = |a: &Parameters, b: &Parameters| {
            a.0.len() == b.0.len()
                && a.0.iter().zip(&b.0).all(|(a, b)| a.name == b.name && a.shape == b.shape)
        };
        let [g, d, groups @ ..] = self.groups();
        let owners = [g, g, g, d, d];
        ensure!(groups.iter().zip(owners).all(|(group, owner)| same(group, owner)), "tensors do not match");
        Ok(())
    }

    fn groups(&self) -> [&Parameters; 7] {
        let (g, d) = (&self.moments_g, &self.moments_d);
        [&self.generator, &self.discriminator, &self.average, &g.first, &g.second, &d.first, &d.second]
    }
}

struct Values<'a>(&'a [u8]);

impl Values<'_> {
    fn take(&mut self, len: usize) -> Result<Vec<f32>> {
        let split = len.checked_mul(4).and_then(|len| self.0.split_at_checked(len));
        let (taken, rest) = split.context("the tensors are longer than the file")?;
        self.0 = rest;
        Ok(taken.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn parameters(&mut self, group: Vec<(String, Vec<usize>)>) -> Result<Parameters> {
        let mut tensors = vec![];
        for (name, shape) in group {
            let len = shape.iter().try_fold(1usize, |len, &extent| len.checked_mul(extent));
            let data = self.take(len.with_context(|| format!("tensor {name} has shape {shape:?}"))?)?;
            tensors.push(NamedTensor { name, shape, data });
        }
        Ok(Parameters(tensors))
    }

    fn history(
        &mut self,
        looks: Vec<usize>,
        metric: String,
        evaluations: Vec<usize>,
        steps: usize,
    ) -> Result<History> {
        for at in [&looks, &evaluations] {
            let is_ordered = at.windows(2).all(|pair| pair[0] < pair[1]);
            ensure!(is_ordered && at.last().is_none_or(|&last| last <= steps), "the history is out of order");
        }
        let values = self.take(looks.len().checked_mul(2).context("too many looks")?)?;
        let vitals = looks
            .into_iter()
            .zip(values.chunks_exact(2))
            .map(|(step, pair)| Vitals { step, ordered: pair[0], diversity: pair[1] })
            .collect();
        let values = self.take(evaluations.len())?;
        let evaluations =
            evaluations.into_iter().zip(values).map(|(step, value)| Evaluation { step, value }).collect();
        Ok(History { vitals, metric, evaluations })
    }
}

/// What the SHA-256 at the end of a file stands for.
fn unseal(bytes: &[u8]) -> Result<&[u8]> {
    let (content, digest) = bytes.split_last_chunk::<DIGEST_LEN>().context("the checkpoint is cut short")?;
    ensure!(Sha256::digest(content).as_slice() == digest, "the checkpoint is damaged or cut short");
    Ok(content)
}

/// Writes a file whole or not at all. A link stays one, and devices and pipes are written into.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let target = fs::canonicalize(path);
    let path = match &target {
        Ok(target) if !target.is_file() => {
            return fs::write(target, bytes).with_context(|| format!("writing {}", path.display()));
        }
        Ok(target) => target,
        // There is none yet.
        Err(_) => path,
    };
    let draft = draft(path, |file| file.write_all(bytes))?;
    draft.persist(path).with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}

/// A file beside `path` that is ready to take its place, and is on the disk.
fn draft(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<NamedTempFile> {
    let context = || format!("writing {}", path.display());
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // Readable for others, as far as the user's mask lets them: results are no secret.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(dir).with_context(context)?;
    write(file.as_file_mut()).with_context(context)?;
    file.as_file().sync_all().with_context(context)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;

    use super::*;
    use crate::network::{Architecture, Condition, DiscriminatorNorm, values};
    use crate::training::Trainer;

    pub(super) fn checkpoint() -> Checkpoint {
        let mut config = Config::default();
        config.network.width = 1;
        config.network.latent_dim = 2;
        let mut checkpoint = Trainer::new(&config).unwrap().checkpoint();
        checkpoint.losses.push(Losses { discriminator: 0.25, generator: -1.5 });
        checkpoint.history.vitals.push(Vitals { step: 1, ordered: 0.75, diversity: 0.1 });
        checkpoint.history.metric = "kid pixels 7x7".into();
        checkpoint.history.evaluations.push(Evaluation { step: 1, value: -0.3 });
        checkpoint
    }

    #[test]
    fn bytes_mean_the_same_run() {
        let checkpoint = checkpoint();
        let bytes = checkpoint.to_bytes();
        let read = Checkpoint::from_bytes(&bytes).unwrap();
        assert_eq!(read, checkpoint);
        assert_eq!(read.to_bytes(), bytes);
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = checkpoint().to_bytes();
        for len in (0..200).chain((200..bytes.len()).step_by(997)) {
            assert!(Checkpoint::from_bytes(&bytes[..len]).is_err(), "{len} bytes");
        }
        for at in (0..200).chain((200..bytes.len()).step_by(997)) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(Checkpoint::from_bytes(&damaged).is_err(), "byte {at}");
        }
    }

    /// Slices of the losses are taken by the steps of the history.
    #[test]
    fn a_history_out_of_order_is_an_error() {
        let vitals = |step| Vitals { step, ordered: 0.5, diversity: 1.0 };
        for steps in [vec![1, 1], vec![1, 0], vec![2]] {
            let mut checkpoint = checkpoint();
            checkpoint.history.vitals = steps.iter().map(|&step| vitals(step)).collect();
            assert!(Checkpoint::from_bytes(&checkpoint.to_bytes()).is_err(), "{steps:?}");
        }
        let mut checkpoint = checkpoint();
        checkpoint.history.evaluations.push(Evaluation { step: 2, value: 0.0 });
        assert!(Checkpoint::from_bytes(&checkpoint.to_bytes()).is_err());
    }

    /// Checkpoints without a history are those of old.
    #[test]
    fn an_empty_history_takes_no_bytes() {
        let mut checkpoint = checkpoint();
        checkpoint.history = History::default();
        let bytes = checkpoint.to_bytes();
        assert_eq!(Checkpoint::from_bytes(&bytes).unwrap(), checkpoint);
        let text = String::from_utf8_lossy(&bytes);
        assert!(!["\"looks\":", "\"metric\":", "\"evaluations\":"].iter().any(|key| text.contains(key)));
    }

    /// With a digest that fits, only the structure stands between the bytes and the networks.
    #[test]
    fn well_signed_nonsense_is_an_error() {
        let bytes = checkpoint().to_bytes();
        let header_len = u64::from_le_bytes(bytes[8..16].try_into().unwrap()) as usize;
        let content = &bytes[..bytes.len() - DIGEST_LEN];
        let signed = |mut content: Vec<u8>| {
            let digest = Sha256::digest(&content);
            content.extend(digest.as_slice());
            content
        };
        assert!(Checkpoint::from_bytes(&signed(content.to_vec())).is_ok());
        for at in 8..16 + header_len {
            for bit in [0, 1, 4, 7] {
                let mut damaged = content.to_vec();
                damaged[at] ^= 1 << bit;
                // A digit of the configuration may change into another: then the run is another, but sound.
                if let Ok(checkpoint) = Checkpoint::from_bytes(&signed(damaged)) {
                    let _ = Trainer::resume(&checkpoint);
                }
            }
        }
        for len in 0..content.len().min(16 + header_len + 8) {
            assert!(Checkpoint::from_bytes(&signed(content[..len].to_vec())).is_err(), "{len} bytes");
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_files_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| dir.path().join(name));
        write_atomically(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(link.is_symlink() && fs::read(&file).unwrap() == b"new");
        let null = Path::new("/dev/null");
        write_atomically(null, b"nothing").unwrap();
        assert!(!null.is_file());
        assert!(write_atomically(dir.path(), b"a folder").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn files_without_end_are_no_checkpoints() {
        let error = load(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(format!("{error:#}"), "reading /dev/zero: this is no checkpoint");
    }

    /// Stages that are not there yet have not been trained, and mean nothing.
    #[test]
    fn a_discriminator_is_as_far_as_it_has_grown() {
        let mut config = Config::default();
        config.network.architecture = Architecture::Progressive;
        config.network.discriminator_norm = DiscriminatorNorm::None;
        (config.network.width, config.network.latent_dim) = (1, 2);
        let mut checkpoint = Trainer::new(&config).unwrap().checkpoint();
        let device = Device::flex();
        let scores = |checkpoint: &Checkpoint| {
            let images = Tensor::<4>::ones([1, 1, 28, 28], &device);
            let discriminator = checkpoint.discriminator(&device).unwrap();
            values(discriminator.judge(images, &Condition::default()).scores)
        };
        let before = scores(&checkpoint);
        let late = checkpoint.discriminator.0.iter_mut().filter(|t| t.name.contains("stages.2."));
        assert!(late.map(|tensor| tensor.data.fill(7.0)).count() > 0);
        assert_eq!(scores(&checkpoint), before);
        checkpoint.losses = vec![Losses { discriminator: 1.0, generator: 1.0 }; 3000];
        assert_ne!(scores(&checkpoint), before);
    }

    #[test]
    fn another_network_is_an_error() {
        let mut checkpoint = checkpoint();
        checkpoint.config.network.width = 2;
        assert!(Trainer::resume(&checkpoint).is_err());
        assert!(checkpoint.ema_generator(&Device::flex()).is_err());
        assert!(checkpoint.discriminator(&Device::flex()).is_err());
    }
}
