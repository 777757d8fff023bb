//! A framebuffer of Linux.
//!
//! # Source
//! include/uapi/linux/fb.h, and Documentation/fb/api.rst of Linux.

use core::ffi::c_ulong;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use embedded_graphics_core::geometry::Size;
use embedded_graphics_core::pixelcolor::{Rgb888, RgbColor as _};
use rustix::ioctl::{Getter, ioctl};

use crate::canvas::Canvas;

/// An open device.
pub(crate) struct Framebuffer {
    file: File,
    layout: Layout,
}

impl Framebuffer {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path).context("opening")?;
        // SAFETY: the kernel writes an `fb_var_screeninfo` for this number.
        let getter = unsafe { Getter::<FBIOGET_VSCREENINFO, VariableInfo>::new() };
        // SAFETY: the request only writes what the getter holds.
        let variable = unsafe { ioctl(&file, getter) }.context("asking for FBIOGET_VSCREENINFO")?;
        // SAFETY: the kernel writes an `fb_fix_screeninfo` for this number.
        let getter = unsafe { Getter::<FBIOGET_FSCREENINFO, FixedInfo>::new() };
        // SAFETY: as above.
        let fixed = unsafe { ioctl(&file, getter) }.context("asking for FBIOGET_FSCREENINFO")?;
        Ok(Self { file, layout: Layout::new(&variable, &fixed)? })
    }

    pub(crate) fn size(&self) -> Size {
        self.layout.size
    }

    /// Shows a picture of this size.
    pub(crate) fn show(&mut self, canvas: &Canvas) -> Result<()> {
        for (row, place) in canvas.rows().zip(self.layout.rows()) {
            let bytes: Vec<u8> = row.iter().flat_map(|&colour| self.layout.bytes(colour)).collect();
            self.file.write_all_at(&bytes, place).context("writing")?;
        }
        Ok(())
    }
}

/// Where pixels lie and what their bits mean; checked.
struct Layout {
    size: Size,
    /// Of the upper left pixel, in bytes.
    start: u64,
    /// From one row to the next, in bytes.
    line_bytes: u64,
    pixel_bytes: usize,
    /// Red, green, blue and, where there is one, alpha.
    channels: [Bitfield; 4],
}

impl Layout {
    fn new(variable: &VariableInfo, fixed: &FixedInfo) -> Result<Self> {
        let VariableInfo { xres, yres, xoffset, yoffset, bits_per_pixel, .. } = *variable;
        ensure!(
            fixed.kind == PACKED_PIXELS && [TRUECOLOR, DIRECTCOLOR].contains(&fixed.visual),
            "type {} and visual {}, where only packed pixels with colours of their own are known",
            fixed.kind,
            fixed.visual
        );
        ensure!([16, 24, 32].contains(&bits_per_pixel), "{bits_per_pixel} bits per pixel, not 16, 24 or 32");
        let sides = 1..=crate::MAX_SIDE;
        ensure!(sides.contains(&xres) && sides.contains(&yres), "{xres} x {yres} pixels");
        let channels = [variable.red, variable.green, variable.blue, variable.transparency];
        for channel in channels {
            let end = channel.offset.checked_add(channel.length);
            let fits = end.is_some_and(|end| end <= bits_per_pixel) && channel.length <= 16;
            ensure!(fits && channel.msb_right == 0, "{channel:?} in {bits_per_pixel} bits");
        }
        let pixel_bytes = bits_per_pixel / 8;
        let line_bytes = u64::from(fixed.line_length);
        let row_start = u64::from(xoffset) * u64::from(pixel_bytes);
        let row_end = row_start + u64::from(xres * pixel_bytes);
        ensure!(row_end <= line_bytes, "{xres} pixels at {xoffset} in lines of {line_bytes} bytes");
        Ok(Self {
            size: Size::new(xres, yres),
            start: u64::from(yoffset) * line_bytes + row_start,
            line_bytes,
            pixel_bytes: pixel_bytes as usize,
            channels,
        })
    }

    /// Where rows begin, in bytes.
    fn rows(&self) -> impl Iterator<Item = u64> {
        (0..u64::from(self.size.height)).map(|row| self.start + row * self.line_bytes)
    }

    /// A pixel in memory, on a little-endian CPU.
    fn bytes(&self, colour: Rgb888) -> impl Iterator<Item = u8> + use<> {
        let levels = [colour.r(), colour.g(), colour.b(), u8::MAX];
        let bits = self.channels.iter().zip(levels).fold(0, |bits, (channel, level)| {
            let most = (1_u32 << channel.length) - 1;
            bits | ((u32::from(level) * most + 127) / 255).unbounded_shl(channel.offset)
        });
        bits.to_le_bytes().into_iter().take(self.pixel_bytes)
    }
}

/// `struct fb_bitfield`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Bitfield {
    offset: u32,
    length: u32,
    msb_right: u32,
}

/// `struct fb_var_screeninfo`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct VariableInfo {
    xres: u32,
    yres: u32,
    xres_virtual: u32,
    yres_virtual: u32,
    xoffset: u32,
    yoffset: u32,
    bits_per_pixel: u32,
    grayscale: u32,
    red: Bitfield,
    green: Bitfield,
    blue: Bitfield,
    transparency: Bitfield,
    rest: [u32; 20],
}

/// `struct fb_fix_screeninfo`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FixedInfo {
    id: [u8; 16],
    memory_start: c_ulong,
    memory_len: u32,
    kind: u32,
    kind_aux: u32,
    visual: u32,
    steps: [u16; 3],
    line_length: u32,
    mmio_start: c_ulong,
    mmio_len: u32,
    accelerator: u32,
    capabilities: u16,
    reserved: [u16; 2],
}

const _: () = assert!(size_of::<VariableInfo>() == 160);
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<FixedInfo>() == 80);

const FBIOGET_VSCREENINFO: rustix::ioctl::Opcode = 0x4600;
const FBIOGET_FSCREENINFO: rustix::ioctl::Opcode = 0x4602;

const PACKED_PIXELS: u32 = 0;
const TRUECOLOR: u32 = 2;
const DIRECTCOLOR: u32 = 4;

#[cfg(test)]
mod tests {
    use std::fs;

    use embedded_graphics_core::Pixel;
    use embedded_graphics_core::draw_target::DrawTarget as _;
    use embedded_graphics_core::geometry::Point;

    use super::*;

    fn field(offset: u32, length: u32) -> Bitfield {
        Bitfield { offset, length, msb_right: 0 }
    }

    /// 3 x 2 pixels of 32 bits, alpha at the top, in lines of 5 pixels.
    fn argb() -> (VariableInfo, FixedInfo) {
        let variable = VariableInfo {
            xres: 3,
            yres: 2,
            bits_per_pixel: 32,
            red: field(16, 8),
            green: field(8, 8),
            blue: field(0, 8),
            transparency: field(24, 8),
            ..VariableInfo::default()
        };
        (variable, FixedInfo { visual: TRUECOLOR, line_length: 20, ..FixedInfo::default() })
    }

    #[test]
    fn pixels_are_packed_as_the_device_says() {
        let bytes = |variable: &VariableInfo, fixed: &FixedInfo| {
            let layout = Layout::new(variable, fixed).expect("sound");
            layout.bytes(Rgb888::new(255, 128, 10)).collect::<Vec<u8>>()
        };
        let (mut variable, fixed) = argb();
        assert_eq!(bytes(&variable, &fixed), [10, 128, 255, 255]);
        (variable.bits_per_pixel, variable.transparency) = (24, field(0, 0));
        assert_eq!(bytes(&variable, &fixed), [10, 128, 255]);
        variable.bits_per_pixel = 16;
        (variable.red, variable.green, variable.blue) = (field(11, 5), field(5, 6), field(0, 5));
        // 128 * 63 / 255 = 31.6, 10 * 31 / 255 = 1.2
        assert_eq!(bytes(&variable, &fixed), (31_u16 << 11 | 32 << 5 | 1).to_le_bytes());
        variable.bits_per_pixel = 32;
        (variable.red, variable.green, variable.blue) = (field(20, 10), field(10, 10), field(0, 10));
        assert_eq!(bytes(&variable, &fixed), (1023_u32 << 20 | 514 << 10 | 40).to_le_bytes());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let (variable, fixed) = argb();
        assert!(Layout::new(&variable, &fixed).is_ok());
        let variables = [
            VariableInfo { bits_per_pixel: 8, ..variable },
            VariableInfo { bits_per_pixel: u32::MAX, ..variable },
            VariableInfo { xres: 0, ..variable },
            VariableInfo { yres: u32::MAX, ..variable },
            VariableInfo { xres: 6, ..variable },
            VariableInfo { xoffset: 3, ..variable },
            VariableInfo { xoffset: u32::MAX, ..variable },
            VariableInfo { red: field(25, 8), ..variable },
            VariableInfo { red: field(u32::MAX, 8), ..variable },
            VariableInfo { green: field(0, 17), ..variable },
            VariableInfo { blue: Bitfield { msb_right: 1, ..variable.blue }, ..variable },
        ];
        for (index, variable) in variables.iter().enumerate() {
            assert!(Layout::new(variable, &fixed).is_err(), "{index}");
        }
        for wrong in [
            FixedInfo { kind: 1, ..fixed },
            FixedInfo { visual: 3, ..fixed },
            FixedInfo { line_length: 11, ..fixed },
        ] {
            assert!(Layout::new(&variable, &wrong).is_err());
        }
    }

    /// A file stands for the device: only what is on the screen is written.
    #[test]
    fn rows_go_where_the_screen_is() {
        let path = std::env::temp_dir().join(format!("pocketgan-linux-fb-{}", std::process::id()));
        fs::write(&path, [7; 5 * 4 * 4]).expect("a temporary file");
        let file = OpenOptions::new().write(true).open(&path).expect("just written");
        let (variable, fixed) = argb();
        let layout =
            Layout::new(&VariableInfo { xoffset: 1, yoffset: 2, ..variable }, &fixed).expect("sound");
        let mut canvas = Canvas::new(layout.size);
        let Ok(()) = canvas.draw_iter([Pixel(Point::new(2, 1), Rgb888::new(1, 2, 3))]);
        Framebuffer { file, layout }.show(&canvas).expect("a file takes everything");
        let written = fs::read(&path).expect("still there");
        fs::remove_file(&path).expect("still there");
        let (outside, black) = ([7; 4], [0, 0, 0, 255]);
        let rows = [
            [outside; 5],
            [outside; 5],
            [outside, black, black, black, outside],
            [outside, black, black, [3, 2, 1, 255], outside],
        ];
        assert_eq!(written, rows.as_flattened().as_flattened());
    }

    #[test]
    fn a_file_is_no_framebuffer() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = Framebuffer::open(&path).err().expect("no device").to_string();
        assert_eq!(error, "asking for FBIOGET_VSCREENINFO");
    }
}
