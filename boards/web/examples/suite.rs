//! The suite that every kernel passes, as a WebAssembly module; `tests/suite.mjs` runs it.
//!
//! Imports `panics(closure)`, which calls `call(closure)` and says whether that trapped, and `report(text, len)` for the
//! text of a panic.

use core::ffi::c_void;
use std::panic;

use pocketgan_kernels::testing::tap_gemm::Bound;
use pocketgan_kernels::{ExpansionKernels, Kernels, dispatch, testing};

/// Runs part `part` of the suite on implementation `index`. Returns whether there is such a part; traps when it fails.
#[unsafe(no_mangle)]
pub extern "C" fn run_part(index: usize, part: usize) -> bool {
    panic::set_hook(Box::new(|info| say(&info.to_string())));
    let kernels = Some(implementations()[index]);
    match part {
        0 => testing::tap_gemm::ragged(kernels),
        1 => testing::tap_gemm::edges(kernels),
        2 => testing::tap_gemm::halves(kernels),
        3 => testing::tap_gemm::broken_promises(kernels, traps),
        4 => testing::nest::random(kernels),
        5 => testing::nest::forms(kernels),
        6 => testing::nest::broken_promises(kernels, traps),
        7 => gradients(kernels.map_or("", |kernels| kernels.name)),
        8 => expansion(kernels.and_then(|kernels| dispatch::expansion(&kernels))),
        _ => return false,
    }
    true
}

/// The suite of expanded operations.
fn expansion(kernels: Option<ExpansionKernels>) {
    testing::expansion::ragged(kernels);
    testing::expansion::edges(kernels);
    testing::expansion::broken_promises(kernels, traps);
}

/// The suite of the gradients of an instruction set.
fn gradients(name: &str) {
    let all = dispatch::available_gradients().into_iter().flatten();
    for kernels in all.filter(|kernels| kernels.name == name) {
        testing::gradient::ragged(Some(kernels), Bound::Rounding);
        testing::gradient::edges(Some(kernels), Bound::Rounding);
        testing::gradient::derivatives(Some(kernels));
        testing::gradient::broken_promises(Some(kernels), traps);
    }
    let exact = Some(dispatch::gradients_exact());
    testing::gradient::ragged(exact, Bound::Bits);
    testing::gradient::edges(exact, Bound::Bits);
}

/// Reports the name of implementation `index`. Returns whether there is such an implementation.
#[unsafe(no_mangle)]
pub extern "C" fn name(index: usize) -> bool {
    let found = implementations().get(index).copied();
    if let Some(kernels) = found {
        say(kernels.name);
    }
    found.is_some()
}

/// Calls what `panics` was given.
///
/// # Safety
/// `closure` is the argument of a call of `panics` that has not returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn call(closure: *const c_void) {
    // SAFETY: `traps` holds a closure there until `panics` returns.
    unsafe { (*closure.cast::<&dyn Fn()>())() }
}

/// A panic ends a module's call and cannot be caught in it, but the page can.
fn traps(run: &dyn Fn()) -> bool {
    #[link(wasm_import_module = "page")]
    unsafe extern "C" {
        fn panics(closure: *const c_void) -> bool;
    }
    // SAFETY: the page does nothing with the address but give it to `call`.
    unsafe { panics((&raw const run).cast()) }
}

fn say(text: &str) {
    #[link(wasm_import_module = "page")]
    unsafe extern "C" {
        fn report(text: *const u8, len: usize);
    }
    // SAFETY: the page reads no more than these bytes.
    unsafe { report(text.as_ptr(), text.len()) }
}

/// All but the reference, with which they are compared.
fn implementations() -> Vec<Kernels> {
    dispatch::available().into_iter().flatten().skip(1).collect()
}
