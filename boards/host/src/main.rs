//! This computer as a board: prints what every console board prints, and writes raw pixels for comparison.
//!
//! `host MODEL.pgan [VALUES]` shows the pictures of the first seeds; `VALUES` receives those of seed 0 as `f32`,
//! little-endian, channels last.

#![forbid(unsafe_code)]

use std::{env, fmt, fs, io, io::Write as _, path::PathBuf, time::Instant};

use anyhow::{Context, Result};
use boards_common::{Clock, Display, SEEDS, TextDisplay, run};
use pocketgan_format::AlignedBytes;
use pocketgan_runtime::{Image, Model, dispatch};

fn main() -> Result<()> {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let path = args.next().context("usage: host MODEL.pgan [VALUES]")?;
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let file = AlignedBytes::copy(&bytes);
    let model = Model::load(&file).with_context(|| format!("loading {}", path.display()))?;
    let mut arena = vec![0.0; model.arena_len()];
    let mut display = Recorder { text: TextDisplay::new(Stdout), first: None };
    let report =
        run(&*file, &mut Started(Instant::now()), &mut display, &mut arena, dispatch::best(), SEEDS)?;
    println!("{report}");
    if let (Some(path), Some(values)) = (args.next(), display.first) {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Shows pictures as text and keeps the first.
struct Recorder {
    text: TextDisplay<Stdout>,
    first: Option<Vec<f32>>,
}

impl Display for Recorder {
    type Error = fmt::Error;

    fn show(&mut self, image: &Image<'_>) -> fmt::Result {
        self.first.get_or_insert_with(|| image.values.to_vec());
        self.text.show(image)
    }
}

struct Stdout;

impl fmt::Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        io::stdout().write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

struct Started(Instant);

impl Clock for Started {
    fn now_us(&mut self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
