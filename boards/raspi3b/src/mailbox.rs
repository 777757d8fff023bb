//! Asks the GPU for a framebuffer.
//!
//! # Source
//! "Mailbox property interface", github.com/raspberrypi/firmware/wiki.

use core::arch::asm;

use boards_aarch64::Frame;
use embedded_graphics_core::geometry::Size;

/// A framebuffer of this size and 32 bits a pixel, if there is one.
pub(crate) fn framebuffer(size: Size) -> Option<Frame> {
    let dimensions = [size.width, size.height];
    let answer = exchange(Message {
        bytes: size_of::<Message>() as u32,
        code: REQUEST,
        physical_size: Tag::new(0x0004_8003, dimensions),
        virtual_size: Tag::new(0x0004_8004, dimensions),
        depth: Tag::new(0x0004_8005, [DEPTH]),
        pixel_order: Tag::new(0x0004_8006, [BLUE_LOWEST]),
        // In: the alignment. Out: address and bytes.
        frame: Tag::new(0x0004_0001, [4096, 0]),
        pitch: Tag::new(0x0004_0008, [0]),
        end: 0,
    });
    let ([bus_address, _], [pitch]) = (answer.frame.values, answer.pitch.values);
    let granted = answer.code == SUCCESS
        && answer.physical_size.values == dimensions
        && answer.virtual_size.values == dimensions
        && answer.depth.values == [DEPTH];
    if !granted || bus_address == 0 || pitch % 4 != 0 || pitch / 4 < size.width {
        return None;
    }
    // The GPU's address without the bits that say which cache it uses.
    let pixels = (bus_address & 0x3fff_ffff) as usize as *mut u32;
    // SAFETY: the GPU has just allocated the rows, and the page table maps all of the first gigabyte.
    Some(unsafe { Frame::new(pixels, size, pitch as usize / 4) })
}

/// Sends a message and waits for the answer, which takes its place.
fn exchange(mut message: Message) -> Message {
    let address = &raw mut message;
    // The address is below 2^32, as all of the first gigabyte, and its low four bits are free for the channel.
    let request = address as u32 | PROPERTIES;
    flush(address);
    // SAFETY: these are the mailbox's registers; the GPU reads and writes the message, which is not in a cache, until it answers.
    unsafe {
        while STATUS.read_volatile() & FULL != 0 {}
        WRITE.write_volatile(request);
        loop {
            while STATUS.read_volatile() & EMPTY != 0 {}
            if READ.read_volatile() == request {
                break;
            }
        }
    }
    flush(address);
    // SAFETY: `address` is that of `message`.
    unsafe { address.read_volatile() }
}

/// Writes back what the cache holds of a message and forgets it.
fn flush(message: *mut Message) {
    for line in (message as usize..message as usize + size_of::<Message>()).step_by(CACHE_LINE) {
        // SAFETY: a clean line loses nothing.
        unsafe { asm!("dc civac, {}", in(reg) line) };
    }
    // SAFETY: waits until memory has it.
    unsafe { asm!("dsb sy") };
}

/// Questions, which become answers. It fills whole lines of the cache, so that forgetting one forgets nothing else.
#[repr(C, align(64))]
struct Message {
    bytes: u32,
    code: u32,
    physical_size: Tag<2>,
    virtual_size: Tag<2>,
    depth: Tag<1>,
    pixel_order: Tag<1>,
    frame: Tag<2>,
    pitch: Tag<1>,
    end: u32,
}

#[repr(C)]
struct Tag<const N: usize> {
    id: u32,
    bytes: u32,
    code: u32,
    values: [u32; N],
}

impl<const N: usize> Tag<N> {
    fn new(id: u32, values: [u32; N]) -> Self {
        Self { id, bytes: size_of_val(&values) as u32, code: REQUEST, values }
    }
}

const CACHE_LINE: usize = 64;

const READ: *const u32 = 0x3f00_b880 as *const u32;
const STATUS: *const u32 = 0x3f00_b898 as *const u32;
const WRITE: *mut u32 = 0x3f00_b8a0 as *mut u32;
const FULL: u32 = 1 << 31;
const EMPTY: u32 = 1 << 30;
const PROPERTIES: u32 = 8;

const REQUEST: u32 = 0;
const SUCCESS: u32 = 1 << 31;

/// Bits of a pixel.
const DEPTH: u32 = 32;
const BLUE_LOWEST: u32 = 0;
