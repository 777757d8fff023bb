//! This computer as a board that learns: `console MODEL.pgan STORE EXAMPLES [full|small]` talks on standard input and output.
//!
//! `STORE` is the file that stands for flash; `EXAMPLES` holds pictures as bytes, one after the other, and so may a file
//! `examples.raw` beside `STORE`.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::{env, process::ExitCode};

use anyhow::{Context, Result, bail};
use boards_common::flash::FileFlash;
use boards_common::{Device, End, Learning, Plan};
use embedded_io_adapters::std::FromStd;
use host::{Standard, Started};
use pocketgan_finetune::store::Store;
use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Model, dispatch};

fn main() -> Result<ExitCode> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let (Some(model), Some(store), Some(examples)) = (args.next(), args.next(), args.next()) else {
        bail!("usage: console MODEL.pgan STORE EXAMPLES [full|small]");
    };
    let plan = match args.next() {
        None => Plan::Full,
        Some(name) => Plan::ALL
            .into_iter()
            .find(|plan| *plan.name() == *name)
            .with_context(|| format!("there is no plan {}", name.display()))?,
    };
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("reading {}", path.display()));
    let (bytes, examples) = (AlignedBytes::copy(&read(&model)?), read(&examples)?);
    let arena_len = Model::load(&bytes)
        .map_err(anyhow::Error::from)
        .and_then(|model| Ok(plan.arena_len(&model)?))
        .with_context(|| format!("loading {}", model.display()))?;
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&store);
    let file = file.with_context(|| format!("opening {}", store.display()))?;
    let flash = FileFlash::<_, SECTOR_BYTES>::open(FromStd::new(file), 2 * SECTORS)
        .with_context(|| format!("opening {}", store.display()))?;
    let mut arena = vec![0_u128; arena_len.div_ceil(4)];
    let beside = store.with_file_name("examples.raw");
    let mut from_file = |bytes: &mut [u8]| File::open(&beside).ok()?.read(bytes).ok();
    let device = Device {
        model: &bytes,
        port: FromStd::new(Standard),
        clock: Started::now(),
        arena: bytemuck::cast_slice_mut(&mut arena),
        fast: dispatch::best(),
        exact: dispatch::exact(),
        usage: || None,
    };
    let store = Store::new(flash, 0..(2 * SECTORS * SECTOR_BYTES) as u32);
    let learning = Learning { store, examples: &examples, file: &mut from_file, plan };
    Ok(match device.learn(learning) {
        End::Failed => ExitCode::FAILURE,
        End::Exit | End::Reset => ExitCode::SUCCESS,
    })
}

const SECTOR_BYTES: usize = 4096;

/// Of a slot.
const SECTORS: usize = 4;
