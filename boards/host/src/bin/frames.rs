//! `frames EXAMPLES BYTES`: the pictures of a file, of so many bytes each, as the frames that a console takes, on standard
//! output.

#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::{env, fs};

use anyhow::{Context, Result};
use boards_common::frame::{Frame, encode, encoded_bytes};

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let usage = "usage: frames EXAMPLES BYTES";
    let (path, len) = (args.next().context(usage)?, args.next().context(usage)?);
    let len: usize = len.parse().ok().filter(|&len| len > 0).context(usage)?;
    let bytes = fs::read(&path).with_context(|| format!("reading {path}"))?;
    let mut out = vec![0; encoded_bytes(len)];
    for (number, payload) in (0..=u16::MAX).zip(bytes.chunks_exact(len)) {
        let len = encode(Frame { number, payload }, &mut out).context("the buffer is large enough")?;
        io::stdout().write_all(&out[..len])?;
    }
    Ok(())
}
