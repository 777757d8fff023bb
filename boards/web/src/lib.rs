//! The runtime as a WebAssembly module without imports: one instance runs one model.
//!
//! `reserve` room for the file, copy it there, `load` it; then `generate` a seed's picture, or write to `latent` and `run`;
//! `pixels` makes bytes of it. All addresses are offsets into the module's memory. `pocketgan.mjs` does all that.

#![cfg_attr(target_arch = "wasm32", no_std)]

mod memory;

use core::{ptr, slice};

use memory::Shared;
use pocketgan_runtime::{Generator, Latent, Model, Verdict};

/// Takes `bytes` of new memory, 16-byte aligned and zero, for ever; null when there is no more.
#[unsafe(no_mangle)]
pub extern "C" fn reserve(bytes: usize) -> *mut u8 {
    memory::reserve(bytes).map_or(ptr::null_mut(), <[u8]>::as_mut_ptr)
}

/// Loads a file and takes memory for its arena. Returns the address of its [`Facts`], or null when the bytes are no usable
/// file, the model wants more than a latent vector, or there is no more memory.
///
/// # Safety
/// `model` is 16-byte aligned with `model_len` readable bytes, which never change again. No other function of the module
/// runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn load(model: *const u8, model_len: usize) -> *const Facts {
    // SAFETY: promised by the caller.
    let (bytes, session) = unsafe { (slice::from_raw_parts(model, model_len), SESSION.get()) };
    *session = Model::load(bytes).ok().and_then(Session::new);
    session.as_ref().map_or(ptr::null(), |session| &raw const session.facts)
}

/// Draws the picture of a seed and returns the address of its values, `f32`, channels last; null without a model.
///
/// # Safety
/// No other function of the module runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn generate(seed: u64) -> *const f32 {
    // SAFETY: promised by the caller.
    let Some(session) = (unsafe { SESSION.get() }) else { return ptr::null() };
    session.draw(Some(seed))
}

/// The same for the latent vector at [`Facts::latent`].
///
/// # Safety
/// No other function of the module runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn run() -> *const f32 {
    // SAFETY: promised by the caller.
    let Some(session) = (unsafe { SESSION.get() }) else { return ptr::null() };
    session.draw(None)
}

/// What a page must know of a model.
#[repr(C)]
#[derive(Debug)]
pub struct Facts {
    /// Of the picture.
    pub height: u32,
    /// Of the picture.
    pub width: u32,
    /// Of the picture.
    pub channels: u32,
    /// Values of the latent vector.
    pub latent_len: u32,
    /// Where [`run`] reads the latent vector.
    pub latent: *mut f32,
    /// Where pictures are left as four bytes a pixel, for a canvas.
    pub pixels: *mut u8,
}

/// A loaded model and its memory.
struct Session {
    model: Model<'static>,
    arena: &'static mut [f32],
    latent: &'static mut [f32],
    pixels: &'static mut [u8],
    facts: Facts,
}

impl Session {
    fn new(model: Model<'static>) -> Option<Self> {
        if !model.needs_latent_only() {
            return None;
        }
        let [height, width, channels] = model.output_shape();
        let arena = memory::reserve_values(model.arena_len())?;
        let latent = memory::reserve_values(model.latent_dim())?;
        let pixels = memory::reserve(height.checked_mul(width)?.checked_mul(4)?)?;
        let facts = Facts {
            height: height as u32,
            width: width as u32,
            channels: channels as u32,
            latent_len: latent.len() as u32,
            latent: latent.as_mut_ptr(),
            pixels: pixels.as_mut_ptr(),
        };
        Some(Self { model, arena, latent, pixels, facts })
    }

    /// What exact arithmetic draws, beside what the file says; `None` never happens, as in `draw`.
    fn check(&mut self) -> Option<Verdict> {
        Generator::exact(&self.model, self.arena).ok().map(|mut generator| generator.check())
    }

    /// Draws a picture and returns where its values are; null never happens, since the arena has the model's length.
    fn draw(&mut self, seed: Option<u64>) -> *const f32 {
        let latent = seed.map_or(Latent::from(&*self.latent), Latent::from_seed);
        let Ok(mut generator) = Generator::new(&self.model, self.arena) else { return ptr::null() };
        let picture = generator.generate(latent);
        picture.to_rgba8888(self.pixels);
        picture.values.as_ptr()
    }
}

/// Draws in exact arithmetic the picture of which the file speaks. Returns 1 when it is as the file says, 0 when it is
/// another, or the file says nothing, or there is no model.
///
/// # Safety
/// No other function of the module runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn check() -> u32 {
    // SAFETY: promised by the caller.
    let Some(session) = (unsafe { SESSION.get() }) else { return 0 };
    session.check().is_some_and(|verdict| verdict.holds()).into()
}

/// The checksum of the picture that [`check`] drew.
///
/// # Safety
/// No other function of the module runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn drawn_crc32() -> u32 {
    // SAFETY: promised by the caller.
    let Some(session) = (unsafe { SESSION.get() }) else { return 0 };
    session.check().map_or(0, |verdict| verdict.drawn.crc32)
}

#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

static SESSION: Shared<Option<Session>> = Shared::new(None);
