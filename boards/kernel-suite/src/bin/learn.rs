//! What a machine without a console learns in exact arithmetic: the steps of `exact`, `plan small` and `learn 32` on a new board.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;

use boards_common::Plan;
use kernel_suite::print;
use pocketgan_finetune::{Arena, ByteImages, Learner};
use pocketgan_format::crc32;
use pocketgan_runtime::{Model, include_model};

kernel_suite::firmware!();

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/learning.pgan"));
static EXAMPLES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/examples.raw"));

#[unsafe(no_mangle)]
fn firmware() {
    let model = Model::load(MODEL).expect("the model is intact");
    let task = Plan::Small.task(&model).expect("the model learns");
    let options = Plan::Small.options();
    let mut work = vec![0.0; Arena::work_len(&task)];
    let mut memory = vec![0.0; Learner::<Arena<'_>>::memory_len(&task, &options)];
    let engine = Arena::exact(&task, &mut work).expect("the memory is as long");
    let mut learner = Learner::new(&task, engine, &mut memory, &options).expect("the memory is as long");
    let examples = ByteImages::new(EXAMPLES, task.image_len(), model.range());
    for _ in 0..STEPS {
        learner.step(&examples).expect("no guard stops so soon");
    }
    let learned = crc32(learner.learned().iter().map(|value| value.to_le_bytes()));
    print(format_args!("learned: {learned:08x}\n"));
}

const STEPS: u32 = 32;
