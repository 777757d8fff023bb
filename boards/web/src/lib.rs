//! The runtime as a WebAssembly module without imports: the page gives memory and a seed, and reads pixels.
//!
//! `reserve` room for the file, copy it there, `describe` it, `reserve` an arena, `generate`. All addresses are
//! offsets into the module's memory.

#![cfg_attr(target_arch = "wasm32", no_std)]

use core::{ptr, slice};

use pocketgan_runtime::{Generator, Latent, Model};

/// Takes `bytes` of new memory, 16-byte aligned and zero, for ever; null when there is no more.
#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
pub extern "C" fn reserve(bytes: usize) -> *mut u8 {
    use core::arch::wasm32::memory_grow;

    let first_page = memory_grow::<0>(bytes.div_ceil(PAGE_BYTES));
    if first_page == usize::MAX { ptr::null_mut() } else { (first_page * PAGE_BYTES) as *mut u8 }
}

/// Writes the file's arena length in values, its picture's height, width and channels, and its latent length to
/// `facts`; returns 0, or 1 when the bytes are no usable file.
///
/// # Safety
/// `model` is 16-byte aligned with `model_len` readable bytes; `facts` has room for five values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn describe(model: *const u8, model_len: usize, facts: *mut [u32; 5]) -> u32 {
    // SAFETY: promised by the caller.
    let (bytes, facts) = unsafe { (slice::from_raw_parts(model, model_len), &mut *facts) };
    let Ok(model) = Model::load(bytes) else { return 1 };
    let [height, width, channels] = model.output_shape();
    *facts = [model.arena_len(), height, width, channels, model.latent_dim()].map(|value| value as u32);
    0
}

/// Generates the picture of a seed and returns the address of its values, `f32`, channels last, in [-1, 1]; null when
/// the bytes are no usable file, the model wants more than a latent vector, or the arena is too small for it.
///
/// # Safety
/// `model` as for [`describe`]; `arena` is 16-byte aligned with `arena_len` values that nothing else uses during the
/// call, and apart from `model`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn generate(
    model: *const u8,
    model_len: usize,
    arena: *mut f32,
    arena_len: usize,
    seed: u64,
) -> *const f32 {
    // SAFETY: promised by the caller.
    let (bytes, arena) =
        unsafe { (slice::from_raw_parts(model, model_len), slice::from_raw_parts_mut(arena, arena_len)) };
    let Ok(model) = Model::load(bytes) else { return ptr::null() };
    if !model.needs_latent_only() {
        return ptr::null();
    }
    let Ok(mut generator) = Generator::new(&model, arena) else { return ptr::null() };
    generator.generate(Latent::from_seed(seed)).values.as_ptr()
}

/// Draws in exact arithmetic the picture of which the file speaks, and writes its checksum to `crc32`; returns 0 when it is
/// as the file says, 1 when it is another or the file says nothing, 2 when the bytes are no usable
/// file or the arena is too small for it.
///
/// # Safety
/// `model` and `arena` as for [`generate`]; `crc32` has room for a value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn check(
    model: *const u8,
    model_len: usize,
    arena: *mut f32,
    arena_len: usize,
    crc32: *mut u32,
) -> u32 {
    // SAFETY: promised by the caller.
    let (bytes, arena, crc32) = unsafe {
        (slice::from_raw_parts(model, model_len), slice::from_raw_parts_mut(arena, arena_len), &mut *crc32)
    };
    let Ok(model) = Model::load(bytes) else { return 2 };
    let Ok(mut generator) = Generator::exact(&model, arena) else { return 2 };
    let verdict = generator.check();
    *crc32 = verdict.drawn.crc32;
    u32::from(!verdict.holds())
}

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// One page of WebAssembly memory.
#[cfg(target_arch = "wasm32")]
const PAGE_BYTES: usize = 65536;
