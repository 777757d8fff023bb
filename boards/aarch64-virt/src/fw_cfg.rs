//! Tells QEMU where the framebuffer lies, through its firmware configuration device.
//!
//! # Source
//! "QEMU Firmware Configuration (fw_cfg) Device", docs/specs/fw_cfg.rst, and hw/display/ramfb.c of QEMU.

use core::arch::asm;

use boards_aarch64::Frame;
use embedded_graphics_core::geometry::Size;

static mut PIXELS: [u32; WIDTH * HEIGHT] = [0; WIDTH * HEIGHT];

/// The framebuffer, in this program's memory, if QEMU runs with `-device ramfb`. Called once.
pub(crate) fn framebuffer() -> Option<Frame> {
    let file = find(b"etc/ramfb\0")?;
    let pixels = (&raw mut PIXELS).cast();
    write(file, &mut configuration(pixels));
    // SAFETY: nothing else names the pixels, and this function is called once.
    Some(unsafe { Frame::new(pixels, Size::new(WIDTH as u32, HEIGHT as u32), WIDTH) })
}

/// Where the pixels are and what they mean, as `ramfb` reads it.
fn configuration(pixels: *mut u32) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..8].copy_from_slice(&(pixels as u64).to_be_bytes());
    let words = [XRGB8888, 0, WIDTH as u32, HEIGHT as u32, WIDTH as u32 * 4];
    for (place, word) in bytes[8..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// The key of the file with this name, whose zero counts.
fn find(name: &[u8]) -> Option<u16> {
    let mut count = [0; 4];
    transfer(SELECT | READ | u32::from(DIRECTORY) << 16, &mut count);
    (0..u32::from_be_bytes(count)).find_map(|_| {
        // Size, key, reserved, and a name that ends with a zero.
        let mut entry = [0; 64];
        transfer(READ, &mut entry);
        entry[8..].starts_with(name).then(|| u16::from_be_bytes([entry[4], entry[5]]))
    })
}

fn write(file: u16, bytes: &mut [u8]) {
    transfer(SELECT | WRITE | u32::from(file) << 16, bytes);
}

/// Has the device read or write so many bytes of the file that it is at, which it then leaves behind.
fn transfer(control: u32, bytes: &mut [u8]) {
    let address = bytes.as_mut_ptr() as u64;
    let mut access =
        Access { control: control.to_be(), len: (bytes.len() as u32).to_be(), address: address.to_be() };
    let access = &raw mut access;
    // SAFETY: the address is that of the device's register; the device uses the bytes, which are borrowed, and the access until
    // it clears all but the error bit. The barriers keep the compiler and the CPU from using them meanwhile.
    unsafe {
        asm!("dsb sy");
        DMA.write_volatile((access as u64).to_be());
        while u32::from_be((&raw const (*access).control).read_volatile()) & !ERROR != 0 {}
        asm!("dsb sy");
    }
}

/// What the device is to do, all big-endian.
#[repr(C)]
struct Access {
    control: u32,
    len: u32,
    address: u64,
}

const WIDTH: usize = 640;
const HEIGHT: usize = 480;
/// "XR24" in DRM's codes for formats: blue in the lowest byte.
const XRGB8888: u32 = u32::from_le_bytes(*b"XR24");

const DMA: *mut u64 = 0x0902_0010 as *mut u64;
const DIRECTORY: u16 = 0x19;
const ERROR: u32 = 1;
const READ: u32 = 1 << 1;
const SELECT: u32 = 1 << 3;
const WRITE: u32 = 1 << 4;
