//! Says whether two PNG files of 8-bit colours have the same pixels: `compare EXPECTED.png FILE.png`.

#![forbid(unsafe_code)]

use std::env;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

fn main() -> Result<()> {
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [expected, found] = args.as_slice() else { bail!("usage: compare EXPECTED.png FILE.png") };
    let (size, expected) = read(expected)?;
    let (found_size, found) = read(found)?;
    ensure!(size == found_size, "{found_size:?} columns and rows, not {size:?}");
    let pixels = expected.as_chunks::<3>().0.iter().zip(found.as_chunks::<3>().0);
    let other: Vec<_> = pixels.enumerate().filter(|(_, (expected, found))| expected != found).collect();
    if let Some((index, (expected, found))) = other.first() {
        let (row, column) = (index / size.0, index % size.0);
        bail!("{} pixels differ, first row {row}, column {column}: {found:?}, not {expected:?}", other.len());
    }
    Ok(())
}

/// Columns and rows, and three bytes for each pixel.
fn read(path: &Path) -> Result<((usize, usize), Vec<u8>)> {
    let context = || format!("reading {}", path.display());
    let file = BufReader::new(File::open(path).with_context(context)?);
    let mut reader = png::Decoder::new(file).read_info().with_context(context)?;
    let info = reader.info();
    let colours = (info.color_type, info.bit_depth);
    ensure!(colours == (png::ColorType::Rgb, png::BitDepth::Eight), "{}: {colours:?}", path.display());
    let size = (info.width as usize, info.height as usize);
    let mut pixels = vec![0; reader.output_buffer_size().with_context(context)?];
    reader.next_frame(&mut pixels).with_context(context)?;
    Ok((size, pixels))
}
