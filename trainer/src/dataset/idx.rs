//! The IDX files of MNIST and its relatives, compressed with gzip.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;

use super::download::{self, Collection};
use super::{Dataset, Split};

/// An array of bytes with its shape.
#[derive(Debug, PartialEq)]
pub(super) struct Idx {
    pub(super) shape: Vec<usize>,
    pub(super) data: Vec<u8>,
}

/// Reads images and labels of one part of a collection.
pub(super) fn load(collection: &Collection, data_dir: Option<&Path>, split: Split) -> Result<Dataset> {
    let [images, labels] = collection.files(split);
    let images = read(&download::locate(collection, images, data_dir)?)?;
    let labels = read(&download::locate(collection, labels, data_dir)?)?;
    let [_, h, w] = images.shape[..] else { bail!("images have shape {:?}", images.shape) };
    ensure!(labels.shape.len() == 1, "labels have shape {:?}", labels.shape);
    Dataset::new(collection.name, [1, h, w], images.data, Some(labels.data))
}

/// Reads an IDX file that is compressed with gzip.
pub(super) fn read(path: &Path) -> Result<Idx> {
    let file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut bytes = vec![];
    // A gzip file can blow up a thousandfold; no set here is larger than this.
    let limit = 1 << 30;
    GzDecoder::new(file)
        .take(limit)
        .read_to_end(&mut bytes)
        .with_context(|| format!("decompressing {}", path.display()))?;
    parse(&bytes).with_context(|| format!("reading {}", path.display()))
}

/// # Source
/// LeCun, Cortes and Burges, "The MNIST database", section "File formats".
fn parse(bytes: &[u8]) -> Result<Idx> {
    const UNSIGNED_BYTE: u8 = 8;
    let [zero_0, zero_1, kind, axes, rest @ ..] = bytes else {
        bail!("{} bytes are no IDX file", bytes.len())
    };
    ensure!([*zero_0, *zero_1] == [0, 0], "an IDX file starts with two zeros");
    ensure!(*kind == UNSIGNED_BYTE, "element type {kind:#x}, only unsigned bytes (0x8) are read");
    ensure!((1..=4).contains(axes), "{axes} axes");
    let header = usize::from(*axes) * 4;
    ensure!(rest.len() >= header, "the header ends after {} of {header} bytes", rest.len());
    let (header, data) = rest.split_at(header);
    let shape: Vec<usize> =
        header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let len = shape.iter().try_fold(1usize, |len, &extent| len.checked_mul(extent));
    ensure!(len == Some(data.len()), "shape {shape:?} with {} bytes", data.len());
    Ok(Idx { shape, data: data.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: [u8; 18] = [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 7, 9];

    #[test]
    fn parses_shape_and_data() {
        assert_eq!(parse(&FILE).unwrap(), Idx { shape: vec![1, 1, 2], data: vec![7, 9] });
    }

    #[test]
    fn every_truncation_is_an_error() {
        for len in 0..FILE.len() {
            assert!(parse(&FILE[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn every_flipped_header_bit_is_an_error() {
        for byte in 0..16 {
            for bit in 0..8 {
                let mut file = FILE;
                file[byte] ^= 1 << bit;
                assert!(parse(&file).is_err(), "byte {byte} bit {bit}");
            }
        }
    }
}
