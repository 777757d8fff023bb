//! `weigh BUDGETS NAME ELF MODEL SAID`: what a firmware takes, as a row of a table, and an error where that is more than its
//! budget.
//!
//! `BUDGETS` is a table in Markdown with the same columns; `-` stands where nothing is measured. `SAID` is what the firmware
//! said: bytes of statics and stack stand in the last line that begins with `memory: `, the time of a picture in the first
//! that begins with `time: `. Under QEMU's `-icount shift=0` a microsecond is a thousand instructions.

#![forbid(unsafe_code)]

use std::{env, fs};

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, SectionFlags, elf};

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [budgets, name, elf, model, said] = &args[..] else {
        bail!("usage: weigh BUDGETS NAME ELF MODEL SAID");
    };
    let read = |path: &String| fs::read(path).with_context(|| format!("reading {path}"));
    let text = |path: &String| fs::read_to_string(path).with_context(|| format!("reading {path}"));
    let model_bytes = read(model)?.len() as u64;
    let flash_bytes = flash_bytes(&read(elf)?).with_context(|| format!("reading {elf}"))?;
    let code_bytes = flash_bytes.checked_sub(model_bytes).context("the firmware has another model")?;
    let [static_bytes, stack_bytes, instructions] = said_numbers(&text(said)?);
    let measured = [Some(code_bytes), Some(model_bytes), static_bytes, stack_bytes, instructions];
    let budget = budget(&text(budgets)?, name).with_context(|| format!("{budgets} has no row for {name}"))?;
    println!("| {name} |{}", measured.map(|number| format!(" {} |", cell(number))).concat());
    for ((what, measured), budget) in COLUMNS.into_iter().zip(measured).zip(budget) {
        match (measured, budget) {
            (Some(measured), Some(budget)) if measured > budget => {
                bail!("{name}: {what} is {measured}, the budget {budget}")
            }
            (Some(_), Some(_)) | (None, None) => {}
            _ => bail!("{name}: {what} is {}, the budget {}", cell(measured), cell(budget)),
        }
    }
    Ok(())
}

/// Bytes of all sections that have to be stored.
fn flash_bytes(elf: &[u8]) -> Result<u64> {
    let file = object::File::parse(elf)?;
    let is_stored = |section: &object::Section<'_, '_>| {
        let is_allocated = matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(elf::SHF_ALLOC));
        is_allocated && section.file_range().is_some()
    };
    Ok(file.sections().filter(is_stored).map(|section| section.size()).sum())
}

/// Bytes of statics and of stack, and instructions for a picture.
fn said_numbers(said: &str) -> [Option<u64>; 3] {
    let numbers = |line: &str| -> Vec<u64> {
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
    };
    let memory = said.lines().rfind(|line| line.starts_with("memory: ")).map(numbers).unwrap_or_default();
    let time = said.lines().find(|line| line.starts_with("time: ")).map(numbers).unwrap_or_default();
    // Together, statics, stack; and microseconds.
    [memory.get(1).copied(), memory.get(2).copied(), time.first().map(|us| us * 1000)]
}

/// The numbers of a row; `None` where there is no such row, or it has not as many cells.
fn budget(table: &str, name: &str) -> Option<[Option<u64>; COLUMNS.len()]> {
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let row = table.lines().map(cells).find(|cells| cells.first().is_some_and(|first| first == name))?;
    let numbers: Vec<_> = row[1..].iter().map(|cell| cell.parse().ok()).collect();
    numbers.try_into().ok()
}

fn cell(number: Option<u64>) -> String {
    number.map_or("-".to_owned(), |number| number.to_string())
}

const COLUMNS: [&str; 5] = ["code", "model", "statics", "stack", "instructions per picture"];

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "Words.\n\n| firmware | code |\n|---|---:|\n| one | 1 | 2 | 3 | 4 | - |\n| short | 1 |\n";

    #[test]
    fn rows_are_found_by_their_names() {
        assert_eq!(budget(TABLE, "one"), Some([Some(1), Some(2), Some(3), Some(4), None]));
        assert_eq!((budget(TABLE, "two"), budget(TABLE, "short")), (None, None));
    }

    #[test]
    fn numbers_are_those_of_the_lines_that_have_them() {
        let said = "image 0: 1 x 1 x 1\ntime: 35 us per image\nmemory: 9 bytes: 4 of statics, 5 of stack at most\n\
            time: 2 images in 70 us\nmemory: 13 bytes: 4 of statics, 9 of stack at most\n";
        assert_eq!(said_numbers(said), [Some(4), Some(9), Some(35_000)]);
        assert_eq!(said_numbers(""), [None; 3]);
    }
}
