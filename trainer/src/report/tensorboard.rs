//! Event files, which TensorBoard reads: scalars and pictures over training steps.
//!
//! A file is a row of records, each with its length and two checksums; a record is an `Event` in Protocol Buffers. What
//! was written is whole at any time, so that TensorBoard can follow a run, and a run can be killed.
//!
//! # Source
//! `tensorflow/core/lib/io/record_writer.h`, `core/util/event.proto` and `core/framework/summary.proto` of TensorFlow.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use crc::{CRC_32_ISCSI, Crc};
use image::{ColorType, ImageDecoder as _, codecs::png::PngDecoder};
use prost::Message as _;

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
    path: PathBuf,
}

impl EventWriter {
    /// Starts a file of its own in `dir`, which is created; files there are of the same run, and are kept.
    ///
    /// `first_step` is the first one that follows. What other files have from there on is of a run that was cut off, and
    /// TensorBoard drops it.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub fn create(dir: &Path, first_step: usize) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let (file, path) = new_file(dir)?;
        let mut writer = Self { file, path };
        writer.write(0, What::FileVersion("brain.Event:2".into()))?;
        if first_step > 1 {
            writer.write(first_step, What::SessionLog(SessionLog { status: SESSION_START }))?;
        }
        Ok(writer)
    }

    /// Adds values, each with its tag.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn scalars(&mut self, step: usize, values: &[(&str, f32)]) -> Result<()> {
        let value =
            |&(tag, value): &(&str, f32)| Value { tag: tag.into(), what: Some(Payload::Scalar(value)) };
        self.write(step, What::Summary(Summary { values: values.iter().map(value).collect() }))
    }

    /// Adds a picture, the bytes of a PNG file.
    ///
    /// # Errors
    /// When they are none, or the file cannot be written.
    pub fn image(&mut self, step: usize, tag: &str, png: Vec<u8>) -> Result<()> {
        let decoder = PngDecoder::new(Cursor::new(&png)).context("reading a picture for TensorBoard")?;
        let (width, height) = decoder.dimensions();
        let colorspace = if decoder.color_type() == ColorType::L8 { GREY } else { RGB };
        let image = Image { height: height as i32, width: width as i32, colorspace, png };
        let value = Value { tag: tag.into(), what: Some(Payload::Image(image)) };
        self.write(step, What::Summary(Summary { values: vec![value] }))
    }

    fn write(&mut self, step: usize, what: What) -> Result<()> {
        let event = Event { wall_time: seconds_since_1970(), step: step as i64, what: Some(what) };
        self.file
            .write_all(&record(&event.encode_to_vec()))
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

/// A file that sorts after those of the same run, by which TensorBoard orders them.
fn new_file(dir: &Path) -> Result<(File, PathBuf)> {
    let seconds = seconds_since_1970() as u64;
    let mut count = 0;
    loop {
        let path = dir.join(format!("events.out.tfevents.{seconds:010}.{count:03}.pocketgan"));
        match File::create_new(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => count += 1,
            Err(error) => return Err(error).with_context(|| format!("creating {}", path.display())),
        }
    }
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The bytes with their length before and checksums of both.
fn record(bytes: &[u8]) -> Vec<u8> {
    let len = (bytes.len() as u64).to_le_bytes();
    [&len[..], &masked_crc(&len), bytes, &masked_crc(bytes)].concat()
}

/// Masked, since a checksum over bytes that hold their checksum says little.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    CRC32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

static CRC32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
const SESSION_START: i32 = 1;
const GREY: i32 = 1;
const RGB: i32 = 3;

#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, prost::Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(oneof = "Payload", tags = "2, 4")]
    what: Option<Payload>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Payload {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    png: Vec<u8>,
}

#[cfg(test)]
pub(crate) mod tests;
