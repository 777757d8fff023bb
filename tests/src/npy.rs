//! Arrays that NumPy stored.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use half::f16;

/// Shape and values of a `.npy` file of `f2`, `f4` or `f8` in C order.
///
/// # Errors
/// When the file cannot be read or is something else.
pub fn read(path: &Path) -> Result<(Vec<usize>, Vec<f64>)> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&bytes).with_context(|| format!("parsing {}", path.display()))
}

fn parse(bytes: &[u8]) -> Result<(Vec<usize>, Vec<f64>)> {
    let rest = bytes.strip_prefix(b"\x93NUMPY\x01\x00").context("this is no .npy file of version 1")?;
    let (len, rest) = rest.split_first_chunk().context("no header")?;
    let (header, data) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len))).context("no header")?;
    let header = str::from_utf8(header)?;
    let field = |name: &str| {
        let at = header.find(&format!("'{name}':"))? + name.len() + 3;
        Some(header[at..].trim_start())
    };
    ensure!(field("fortran_order").is_some_and(|value| value.starts_with("False")), "in Fortran order");
    let shape =
        field("shape").and_then(|value| value.strip_prefix('(')?.split_once(')')).context("no shape")?.0;
    let extents = shape.split(',').map(str::trim).filter(|extent| !extent.is_empty());
    let shape: Vec<usize> = extents.map(str::parse).collect::<Result<_, _>>()?;
    let values: Vec<f64> = match field("descr").map(|value| &value[..5]) {
        Some("'<f2'") => data.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f64()).collect(),
        Some("'<f4'") => data.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        Some("'<f8'") => data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        other => bail!("values of type {other:?}"),
    };
    ensure!(values.len() == shape.iter().product::<usize>(), "{} values for {shape:?}", values.len());
    Ok((shape, values))
}
