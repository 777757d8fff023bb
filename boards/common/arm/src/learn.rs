//! The program of a board that learns.

use boards_common::flash::FileFlash;
use boards_common::{Clock, Device, End, Learning, Plan};
use cortex_m_semihosting::hprintln;
use embedded_io::{Read, Write};
use pocketgan_finetune::store::Store;
use pocketgan_runtime::dispatch;

use crate::{File, stack};

/// Values at an address that is a multiple of 16.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Aligned<const LEN: usize>(pub [f32; LEN]);

/// Talks over `port`, keeps what it learns in the file `learned.flash`, and finds pictures in `examples.raw`.
pub fn learn(
    port: impl Read + Write,
    model: &[u8],
    examples: &[u8],
    arena: &mut [f32],
    clock: impl Clock,
    plan: Plan,
) -> ! {
    let flash =
        File::open(c"learned.flash").ok().map(|file| FileFlash::<_, SECTOR_BYTES>::open(file, 2 * SECTORS));
    let Some(Ok(flash)) = flash else {
        hprintln!("error: the file learned.flash cannot be opened");
        crate::finish(End::Failed)
    };
    let store = Store::new(flash, 0..(2 * SECTORS * SECTOR_BYTES) as u32);
    // Convolutions are all that a chain has, and loop nests are most of the code.
    let (fast, exact) = (dispatch::best().without_nests(), dispatch::exact().without_nests());
    let file = &mut |bytes: &mut [u8]| File::open_to_read(c"examples.raw").ok()?.read(bytes).ok();
    let device = Device { model, port, clock, arena, fast, exact, usage: stack::usage };
    crate::finish(device.learn(Learning { store, examples, file, plan }))
}

const SECTOR_BYTES: usize = 4096;

/// Of a slot.
const SECTORS: usize = 4;
