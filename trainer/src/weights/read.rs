//! Files to tensors whose values are not read yet, within bounds that no file can widen.
//!
//! burn's reader of PyTorch files interprets the pickle and calls nothing: what it does not know stays opaque, copies by
//! memo and nesting are limited. What it leaves open is bounded here: a byte of a pickle takes about a hundred in memory,
//! a compressed archive holds more than its size, and a view without stride any number of values.

use core::any::Any;
use core::panic::AssertUnwindSafe;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::panic::catch_unwind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use burn::store::{ModuleStore, PytorchStore, SafetensorsStore, bridge, burn_pack};
use burn::tensor::DType;
use pocketgan_compiler::file;
use zip::ZipArchive;

/// A tensor in a file.
pub(super) struct Found {
    /// Its name, with the modules that it stands in.
    pub(super) name: String,
    /// Extent of each dimension.
    pub(super) shape: Vec<usize>,
    tensor: burn_pack::Tensor,
}

impl Found {
    /// The values in single precision, row-major.
    ///
    /// # Errors
    /// When they are not floating-point numbers, not finite, or cannot be read.
    pub(super) fn values(&self) -> Result<Vec<f32>> {
        let dtype = self.tensor.dtype;
        let name = shown(&self.name);
        ensure!(
            matches!(dtype, DType::F64 | DType::F32 | DType::F16 | DType::BF16),
            "{name} holds {dtype:?}, not floating-point numbers"
        );
        let data = contain(|| bridge::to_data(&self.tensor).map_err(|e| anyhow!(shown(&e.to_string()))))
            .with_context(|| format!("reading {name}"))?;
        let values = contain(|| Ok(data.convert::<f32>().try_into_vec::<f32>()?))
            .with_context(|| format!("converting {name}"))?;
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            bail!("{name} holds {} at {at}, which is no finite f32", values[at]);
        }
        Ok(values)
    }
}

/// Largest file: no generator of these architectures has more values than fit in it.
const MAX_FILE_BYTES: u64 = 1 << 32;
/// Largest list of names and shapes; a thousand tensors take about a tenth of it.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// Largest file in the container before PyTorch 1.6, where the pickle cannot be told from the values: the network of
/// the DCGAN paper with 64 features and 100 latents takes 14 MB, a hostile pickle of this size 2 GB of memory.
const MAX_LEGACY_BYTES: u64 = 16 << 20;
/// Most tensors: generator, discriminator and both optimizers have fewer.
const MAX_TENSORS: usize = 1024;

/// The tensors of a PyTorch or safetensors file, which its content tells apart, by name.
///
/// # Errors
/// When it is neither, damaged, or would take more memory than its size justifies.
pub(super) fn read(path: &Path) -> Result<Vec<Found>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "it is not a file");
    let len = metadata.len();
    ensure!(len <= MAX_FILE_BYTES, "the file has {len} bytes, the limit is {MAX_FILE_BYTES}");
    let mut head = vec![];
    (&file).take(512).read_to_end(&mut head)?;

    let is_safetensors = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("safetensors"));
    let tensors = if is_safetensors || (head.get(8) == Some(&b'{') && !head.starts_with(b"PK")) {
        let header = head.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        ensure!(header <= MAX_HEADER_BYTES, "a header of {header} bytes, the limit is {MAX_HEADER_BYTES}");
        // Not mapped: another program that shortens a mapped file ends this one.
        let bytes = file::read(path, MAX_FILE_BYTES)?;
        contain(|| all(&mut SafetensorsStore::from_bytes(Some(bytes)).map_indices_contiguous(false)))
            .context("reading it as safetensors")?
    } else {
        contain(|| {
            check_container(&file, &head, len)?;
            all(&mut PytorchStore::from_file(path).map_indices_contiguous(false))
        })
        .context("reading it as a PyTorch file")?
    };

    ensure!(tensors.len() <= MAX_TENSORS, "{} tensors, the limit is {MAX_TENSORS}", tensors.len());
    let declared = tensors.values().fold(0u64, |sum, t| sum.saturating_add(t.byte_len() as u64));
    ensure!(declared <= len, "its tensors have {declared} bytes, the whole file {len}");
    let found = |(name, tensor): (String, burn_pack::Tensor)| {
        let shape = tensor.shape.to_vec();
        Found { name, shape, tensor }
    };
    Ok(tensors.into_iter().map(found).collect())
}

fn all<S: ModuleStore>(store: &mut S) -> Result<BTreeMap<String, burn_pack::Tensor>> {
    store.get_all_tensors().cloned().map_err(|e| anyhow!(shown(&e.to_string())))
}

fn check_container(file: &File, head: &[u8], len: u64) -> Result<()> {
    if !head.starts_with(b"PK") {
        // A sparse archive entry may claim any size.
        ensure!(head.get(257..262) != Some(b"ustar"), "a tar file of PyTorch before 0.1.10: save it again");
        let limit = MAX_LEGACY_BYTES;
        ensure!(len <= limit, "no zip file, and {len} bytes; before PyTorch 1.6 the limit is {limit}");
        return Ok(());
    }
    let mut archive = ZipArchive::new(BufReader::new(file))?;
    let mut total = 0u64;
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i)?;
        total = total.saturating_add(entry.size());
        let is_pickle = entry.name()?.ends_with("data.pkl");
        ensure!(
            !is_pickle || entry.size() <= MAX_HEADER_BYTES,
            "a pickle of {} bytes, the limit is {MAX_HEADER_BYTES}",
            entry.size()
        );
    }
    ensure!(total <= len, "a compressed archive: {total} bytes in {len}");
    Ok(())
}

/// A text from a file, fit for a terminal.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Runs `f`; a panic in it becomes an error, for a foreign file must not end the program.
fn contain<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic: Box<dyn Any + Send>| {
        let message = panic.downcast_ref::<String>().map(|s| &**s).or(panic.downcast_ref::<&str>().copied());
        Err(anyhow!("the reader panicked: {}", shown(message.unwrap_or("no message"))))
    })
}
