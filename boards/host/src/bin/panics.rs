//! `panics ELF LIST`: where a firmware for Cortex-M may panic, and an error where that is not listed.
//!
//! A call of one of core's functions that panic counts for the line of our source that it was compiled from. Each line of
//! `LIST` is a file, how many of its lines may panic at most, and why none of them does.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::{env, fs};

use addr2line::Loader;
use anyhow::{Context, Result, anyhow, bail};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [elf, list] = &args[..] else { bail!("usage: panics ELF LIST") };
    let bytes = fs::read(elf).with_context(|| format!("reading {elf}"))?;
    let list_text = fs::read_to_string(list).with_context(|| format!("reading {list}"))?;
    let loader = Loader::new(elf).map_err(|error| anyhow!("reading {elf}: {error}"))?;
    let mut lines: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for site in sites(&bytes).with_context(|| format!("reading {elf}"))? {
        let (file, line) = source(&loader, site)?;
        lines.entry(file).or_default().insert(line);
    }
    let listed = parse(&list_text).with_context(|| format!("reading {list}"))?;
    let mut faults = Vec::new();
    for (file, lines) in &lines {
        let most = listed.get(file).copied().unwrap_or(0);
        println!("{file}: {} of at most {most} lines", lines.len());
        if lines.len() > most {
            faults.push(format!("{file} may panic in lines {lines:?}, {most} are listed"));
        }
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

/// Addresses of all calls that panic, but for those from one such function to another.
fn sites(elf: &[u8]) -> Result<Vec<u64>> {
    let file = object::File::parse(elf)?;
    let functions: Vec<(u64, u64)> = file
        .symbols()
        .filter(|symbol| symbol.name().is_ok_and(|name| PANICS.iter().any(|path| name.contains(path))))
        // The lowest bit of a Thumb function's address is set.
        .map(|symbol| (symbol.address() & !1, symbol.size()))
        .collect();
    let is_panic = |address: u64| functions.iter().any(|&(start, _)| start == address);
    let in_panic =
        |address: u64| functions.iter().any(|&(start, len)| (start..start + len).contains(&address));
    let mut sites = Vec::new();
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let halves: Vec<u16> =
            section.data()?.as_chunks::<2>().0.iter().map(|&bytes| u16::from_le_bytes(bytes)).collect();
        for (at, pair) in halves.windows(2).enumerate() {
            let address = section.address() + 2 * at as u64;
            if branch(address, pair[0], pair[1]).is_some_and(is_panic) && !in_panic(address) {
                sites.push(address);
            }
        }
    }
    Ok(sites)
}

/// Where a branch goes that is 32 bits long and always taken: a call, or one that does not return.
///
/// # Source
/// ARM DDI0403E, "ARMv7-M Architecture Reference Manual", A7.7.12 (encoding T4) and A7.7.18.
fn branch(address: u64, first: u16, second: u16) -> Option<u64> {
    if first >> 11 != 0b11110 || second & 0x9000 != 0x9000 {
        return None;
    }
    let (first, second) = (i32::from(first), i32::from(second));
    let sign = first >> 10 & 1;
    // I = NOT(J XOR S)
    let [i1, i2] = [second >> 13, second >> 11].map(|j| !(j ^ sign) & 1);
    let offset = -sign << 24 | i1 << 23 | i2 << 22 | (first & 0x3ff) << 12 | (second & 0x7ff) << 1;
    address.wrapping_add(4).checked_add_signed(offset.into())
}

/// File and line of the innermost frame that is ours; the function's name where there is none.
fn source(loader: &Loader, address: u64) -> Result<(String, u32)> {
    let mut frames = loader.find_frames(address).map_err(|error| anyhow!("{error}"))?;
    while let Some(frame) = frames.next()? {
        let Some(location) = frame.location else { continue };
        let ours = location
            .file
            .and_then(|file| OURS.iter().find_map(|root| file.rfind(root).map(|at| &file[at + 1..])));
        if let Some(file) = ours {
            return Ok((file.to_owned(), location.line.unwrap_or(0)));
        }
    }
    Ok((loader.find_symbol(address).unwrap_or("?").to_owned(), 0))
}

/// What is listed.
fn parse(list: &str) -> Result<BTreeMap<String, usize>> {
    list.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let (file, count) = (words.next(), words.next().and_then(|count| count.parse().ok()));
            let reason = words.next().filter(|reason| !reason.trim().is_empty());
            match (file, count, reason) {
                (Some(file), Some(count), Some(_)) => Ok((file.to_owned(), count)),
                _ => bail!("`{line}` is not a file, a number, and a reason"),
            }
        })
        .collect()
}

/// In mangled names, of either scheme.
const PANICS: [&str; 6] =
    ["4core9panicking", "4core6option", "4core6result", "4core5slice5index", "4core3str", "4core4cell"];

/// Folders of our sources.
const OURS: [&str; 2] = ["/runtime/", "/boards/"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_go_where_the_manual_says() {
        // bl forward by 0x100, bl to itself, b.w backward by 4, and no branch.
        assert_eq!(branch(0x1000, 0xf000, 0xf880), Some(0x1104));
        assert_eq!(branch(0x1000, 0xf7ff, 0xfffe), Some(0x1000));
        assert_eq!(branch(0x1000, 0xf7ff, 0xbffc), Some(0xffc));
        assert_eq!(branch(0x1000, 0x4770, 0xf880), None);
        // beq.w, which is not always taken.
        assert_eq!(branch(0x1000, 0xf000, 0x8080), None);
    }

    #[test]
    fn lists_have_reasons() {
        let parsed = parse("# Words.\n\na.rs 2 the caller checks\n").expect("it is a list");
        assert_eq!(parsed.into_iter().collect::<Vec<_>>(), [("a.rs".to_owned(), 2)]);
        assert!(parse("a.rs 2").is_err() && parse("a.rs two x").is_err());
    }
}
