//! Event files read back by a decoder that shares nothing with the writer.

use super::*;

/// An event as TensorBoard would see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Version(String),
    Restart,
    Scalar(String, f32),
    /// Tag, height, width, colour space and bytes.
    Picture(String, [u64; 3], Vec<u8>),
}

/// A field of a message: a varint, or the bytes of anything else.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(&self) -> u64 {
        let Self::Number(number) = self else { panic!("not a varint") };
        *number
    }

    fn bytes(&self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("a varint") };
        bytes
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).expect("UTF-8")
    }
}

/// One bit after the other, by the reflected polynomial of Castagnoli.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    })
}

fn split<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (head, tail) = bytes.split_at(len);
    *bytes = tail;
    head
}

/// The records of a file, whose lengths and checksums must be right.
fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let checked = |bytes: &[u8], stored: &[u8]| {
        let crc = crc32c(bytes);
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        assert_eq!(stored, masked.to_le_bytes());
    };
    let mut records = vec![];
    while !file.is_empty() {
        let len = split(&mut file, 8);
        checked(len, split(&mut file, 4));
        let record = split(&mut file, u64::from_le_bytes(len.try_into().expect("8 bytes")) as usize);
        checked(record, split(&mut file, 4));
        records.push(record);
    }
    records
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = split(bytes, 1)[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// Numbers and contents of the fields of a message.
fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = vec![];
    while !message.is_empty() {
        let key = varint(&mut message);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut message)),
            1 => Field::Bytes(split(&mut message, 8)),
            2 => {
                let len = varint(&mut message) as usize;
                Field::Bytes(split(&mut message, len))
            }
            5 => Field::Bytes(split(&mut message, 4)),
            wire => panic!("wire type {wire}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

fn value(message: &[u8]) -> Seen {
    let mut tag = String::new();
    for (number, field) in fields(message) {
        match number {
            1 => tag = field.text(),
            2 => return Seen::Scalar(tag, f32::from_le_bytes(field.bytes().try_into().expect("4 bytes"))),
            4 => {
                let (mut sizes, mut png) = ([0; 3], vec![]);
                for (number, field) in fields(field.bytes()) {
                    match number {
                        1..=3 => sizes[number as usize - 1] = field.number(),
                        4 => png = field.bytes().to_vec(),
                        _ => panic!("field {number} of an image"),
                    }
                }
                return Seen::Picture(tag, sizes, png);
            }
            _ => panic!("field {number} of a value"),
        }
    }
    panic!("a value without a value")
}

/// Everything in the files of a folder in the order of their names, with its step.
pub(crate) fn read(dir: &Path) -> Vec<(u64, Seen)> {
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    let mut seen = vec![];
    for path in paths {
        for record in records(&std::fs::read(path).expect("a file")) {
            let (mut time, mut step) = (0.0, 0);
            for (number, field) in fields(record) {
                match number {
                    1 => time = f64::from_le_bytes(field.bytes().try_into().expect("8 bytes")),
                    2 => step = field.number(),
                    3 => seen.push((step, Seen::Version(field.text()))),
                    5 => seen.extend(fields(field.bytes()).iter().map(|(number, field)| {
                        assert_eq!(*number, 1);
                        (step, value(field.bytes()))
                    })),
                    7 => {
                        let log = fields(field.bytes());
                        assert!(matches!(log[..], [(1, Field::Number(1))]));
                        seen.push((step, Seen::Restart));
                    }
                    _ => panic!("field {number} of an event"),
                }
            }
            // Between 2020 and 2100.
            assert!((1.577e9..4.103e9).contains(&time), "{time}");
        }
    }
    seen
}

/// RFC 3720, appendix B.4, and the check value of the catalogue.
#[test]
fn checksums_are_those_published() {
    let rising: Vec<u8> = (0..32).collect();
    let falling: Vec<u8> = (0..32).rev().collect();
    let vectors: [(&[u8], u32); 5] = [
        (&[0; 32], 0x8a91_36aa),
        (&[0xff; 32], 0x62a8_ab43),
        (&rising, 0x46dd_794e),
        (&falling, 0x113f_db5c),
        (b"123456789", 0xe306_9283),
    ];
    for (bytes, crc) in vectors {
        assert_eq!((CRC32C.checksum(bytes), crc32c(bytes)), (crc, crc));
    }
}

#[test]
fn what_is_written_is_read() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path().join("tensorboard");
    let png = dir.join("grid.png");
    let mut writer = EventWriter::create(&dir, 1)?;
    writer.scalars(10, &[("loss/discriminator", 0.25), ("loss/generator", -1.5)])?;
    image::RgbImage::new(300, 2).save(&png)?;
    let bytes = std::fs::read(&png)?;
    std::fs::remove_file(&png)?;
    writer.image(1_000_000, "samples", bytes.clone())?;
    assert!(writer.image(1, "samples", vec![1, 2, 3]).is_err());
    let version = || Seen::Version("brain.Event:2".into());
    let mut expected = vec![
        (0, version()),
        (10, Seen::Scalar("loss/discriminator".into(), 0.25)),
        (10, Seen::Scalar("loss/generator".into(), -1.5)),
        (1_000_000, Seen::Picture("samples".into(), [2, 300, 3], bytes)),
    ];
    assert_eq!(read(&dir), expected);

    // Another file, also within the same second, which comes later.
    EventWriter::create(&dir, 11)?.scalars(20, &[("loss/generator", f32::MAX)])?;
    expected.extend([
        (0, version()),
        (11, Seen::Restart),
        (20, Seen::Scalar("loss/generator".into(), f32::MAX)),
    ]);
    assert_eq!(read(&dir), expected);
    Ok(())
}
