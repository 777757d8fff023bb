//! `uf2 ELF FILE`: firmware for the RP2350 as the file that its boot loader takes, as if copied to a disk.
//!
//! # Source
//! Microsoft, "USB Flashing Format (UF2)", <https://github.com/microsoft/uf2>; the family number is the RP2350's for secure
//! ARM code.

#![forbid(unsafe_code)]

use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};
use object::read::elf::{ElfFile32, ProgramHeader};
use object::{Endianness, elf};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [elf, out] = &args[..] else { bail!("usage: uf2 ELF FILE") };
    let bytes = fs::read(elf).with_context(|| format!("reading {elf}"))?;
    let image = image(&bytes).with_context(|| format!("reading {elf}"))?;
    let blocks = blocks(&image);
    fs::write(out, blocks.concat()).with_context(|| format!("writing {out}"))?;
    println!("{out}: {} blocks from {:#x} on", blocks.len(), image.start);
    Ok(())
}

/// What is to be stored, without a gap.
struct Image {
    start: u32,
    bytes: Vec<u8>,
}

fn image(elf: &[u8]) -> Result<Image> {
    let file = ElfFile32::<Endianness>::parse(elf)?;
    let endian = file.endian();
    let mut image: Option<Image> = None;
    let mut segments: Vec<_> = file
        .elf_program_headers()
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD && segment.p_filesz(endian) > 0)
        .collect();
    segments.sort_by_key(|segment| segment.p_paddr(endian));
    for segment in segments {
        let start = segment.p_paddr(endian);
        let Ok(bytes) = segment.data(endian, elf) else { bail!("a segment ends behind the file") };
        let image = image.get_or_insert(Image { start, bytes: Vec::new() });
        let gap = (start - image.start) as usize;
        ensure!(gap >= image.bytes.len(), "segments overlap at {start:#x}");
        ensure!(gap <= FLASH_BYTES, "a segment lies at {start:#x}, outside the flash");
        image.bytes.resize(gap, 0);
        image.bytes.extend_from_slice(bytes);
    }
    let image = image.context("there is nothing to store")?;
    ensure!(image.start.is_multiple_of(PAYLOAD as u32), "the flash is written in pages of {PAYLOAD} bytes");
    Ok(image)
}

fn blocks(image: &Image) -> Vec<[u8; BLOCK]> {
    let chunks = image.bytes.chunks(PAYLOAD);
    let count = chunks.len() as u32;
    (0..)
        .zip(chunks)
        .map(|(number, payload)| {
            let address = image.start + number * PAYLOAD as u32;
            let mut block = [0; BLOCK];
            let head =
                [MAGIC[0], MAGIC[1], HAS_FAMILY, address, PAYLOAD as u32, number, count, RP2350_ARM_SECURE];
            for (place, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(head) {
                *place = word.to_le_bytes();
            }
            block[32..][..payload.len()].copy_from_slice(payload);
            block[BLOCK - 4..].copy_from_slice(&MAGIC[2].to_le_bytes());
            block
        })
        .collect()
}

const BLOCK: usize = 512;
const PAYLOAD: usize = 256;
const MAGIC: [u32; 3] = [0x0a32_4655, 0x9e5d_5157, 0x0ab1_6f30];
const HAS_FAMILY: u32 = 0x2000;
const RP2350_ARM_SECURE: u32 = 0xe48b_ff59;

/// Most that the chip can have.
const FLASH_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_the_image_page_by_page() {
        let image = Image { start: 0x1000_0000, bytes: (0..600_u32).map(|i| i as u8).collect() };
        let blocks = blocks(&image);
        let word = |block: &[u8; BLOCK], at: usize| {
            u32::from_le_bytes(*block[at..].first_chunk().expect("it lies inside"))
        };
        assert_eq!(blocks.len(), 3);
        let mut back = Vec::new();
        for (number, block) in (0..).zip(&blocks) {
            assert_eq!(&block[..8], b"UF2\n\x57\x51\x5d\x9e");
            assert_eq!(word(block, 508), 0x0ab1_6f30);
            assert_eq!(word(block, 12), 0x1000_0000 + 256 * number);
            assert_eq!([word(block, 16), word(block, 20), word(block, 24)], [256, number, 3]);
            back.extend_from_slice(&block[32..288]);
        }
        assert_eq!((&back[..600], &back[600..]), (&image.bytes[..], &[0; 168][..]));
    }
}
