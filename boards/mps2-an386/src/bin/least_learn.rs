//! As little as a firmware that learns can be: loads a model, learns a step, and says whether that went well. What it links is
//! what learning costs in flash.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use boards_arm::Aligned;
use boards_common::Plan;
use cortex_m::singleton;
use cortex_m_rt::entry;
use cortex_m_semihosting::debug;
use pocketgan_finetune::{Arena, ByteImages, Learner};
use pocketgan_runtime::{Model, dispatch, include_model};

include!(concat!(env!("OUT_DIR"), "/learning.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/learning.pgan"));
static EXAMPLES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/examples.raw"));

#[entry]
fn main() -> ! {
    let arena = singleton!(: Aligned<LEARNING_LEN> = Aligned([0.0; LEARNING_LEN]));
    exit(arena.is_some_and(|arena| learn(&mut arena.0).is_some()))
}

/// Learns a step.
fn learn(arena: &mut [f32]) -> Option<()> {
    let model = Model::load(MODEL).ok()?;
    let task = Plan::Full.task(&model).ok()?;
    let (work, memory) = arena.split_at_mut_checked(Arena::work_len(&task))?;
    let kernels = dispatch::best().without_nests();
    let engine = Arena::with_kernels(&task, work, kernels, dispatch::gradients()).ok()?;
    let mut learner = Learner::new(&task, engine, memory, &Plan::Full.options()).ok()?;
    let examples = ByteImages::new(EXAMPLES, task.image_len(), model.range());
    learner.step(&examples).ok().map(drop)
}

/// Ends the machine.
fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(false)
}
