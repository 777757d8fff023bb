//! Which addresses are memory.

use core::ops::Range;

use aarch64_rt::InitialPagetable;

/// A table of 512 blocks of so many bytes, each at its own address: `memory` is cached, all else is a device.
///
/// Blocks have 2 MiB or 1 GiB, as the level has at which the table is read.
pub const fn identity(block_bytes: usize, memory: Range<usize>) -> InitialPagetable {
    let mut table = [0; 512];
    let mut index = 0;
    while index < table.len() {
        let address = index * block_bytes;
        let is_memory = memory.start <= address && address < memory.end;
        table[index] = address | BLOCK | if is_memory { MEMORY } else { DEVICE };
        index += 1;
    }
    InitialPagetable(table)
}

/// Valid, and the access flag, without which the first access would trap.
const BLOCK: usize = 1 | 1 << 10;
/// The second attribute of `aarch64_rt::DEFAULT_MAIR`, shared among the cores.
const MEMORY: usize = 1 << 2 | 0b11 << 8;
/// The first attribute; nothing is fetched ahead from a device to be executed.
const DEVICE: usize = 1 << 54;
