//! Counts the instructions of a step of learning, one pair of pictures, on the fastest kernels that this machine has.
//!
//! Prints a line for each plan and kind of work: plan, kind, multiplications with inputs that exist, and instructions.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use core::cell::Cell;

use boards_common::Plan;
use kernel_suite::{instructions, pixels_read, print};
use pocketgan_finetune::{Arena, ByteImages, Learner, Options, Task};
use pocketgan_kernels::{GradientKernels, PANEL, Sample, TapGemm};
use pocketgan_runtime::{Generator, Kernels, Latent, Model, dispatch, include_model};

kernel_suite::firmware!();

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/learning.pgan"));
static EXAMPLES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/examples.raw"));

#[unsafe(no_mangle)]
fn firmware() {
    let model = Model::load(MODEL).expect("the model is intact");
    for plan in Plan::ALL {
        let options = Options { batch: 1, ..plan.options() };
        let task = plan.task(&model).expect("the model learns");
        let all = step(&task, &options, dispatch::best(), dispatch::gradients());
        COUNTED.set([Count::default(); 3]);
        let counting = Kernels { tap_gemm: forward, ..dispatch::best() };
        step(
            &task,
            &options,
            counting,
            GradientKernels { input_gradient, weight_gradient, ..dispatch::gradients() },
        );
        let [mut forward, input, weights] = COUNTED.get();

        let mut arena = vec![0.0; model.arena_len()];
        COUNTED.set([Count::default(); 3]);
        let mut generator =
            Generator::with_kernels(&model, &mut arena, counting).expect("the arena is as long");
        generator.set_latent(Latent::from_seed(0));
        generator.run_first(task.first_step());
        // Both halves of a step use them, and with one pair they run once.
        let [frozen, ..] = COUNTED.get();
        forward.products -= frozen.products;
        forward.instructions -= frozen.instructions;

        let counted = frozen.instructions + forward.instructions + input.instructions + weights.instructions;
        let head = head(&task);
        let rest = Count { products: head, instructions: all - counted };
        let kinds = [
            ("frozen", frozen),
            ("forward", forward),
            ("input gradients", input),
            ("weight gradients", weights),
            ("rest", rest),
        ];
        for (kind, Count { products, instructions }) in kinds {
            print(format_args!("{}|{kind}|{products}|{instructions}\n", plan.name()));
        }
    }
}

/// Instructions of the third step: the first also draws pictures for the guards.
fn step(task: &Task<'_>, options: &Options, kernels: Kernels, gradients: GradientKernels) -> u64 {
    let mut work = vec![0.0; Arena::work_len(task)];
    let mut memory = vec![0.0; Learner::<Arena<'_>>::memory_len(task, options)];
    let engine =
        Arena::with_kernels(task, &mut work, kernels.without_nests(), gradients).expect("as long as asked");
    let mut learner = Learner::new(task, engine, &mut memory, options).expect("the options are in range");
    let examples = ByteImages::new(EXAMPLES, task.image_len(), task.model().range());
    for _ in 0..2 {
        learner.step(&examples).expect("a step succeeds");
    }
    COUNTED.set([Count::default(); 3]);
    instructions(|| {
        learner.step(&examples).expect("a step succeeds");
    })
}

/// Multiplications of the discriminator's last layer, which no kernel computes: three pictures are scored, each score has a
/// gradient with respect to what it was found in, and two of them one with respect to the weights.
fn head(task: &Task<'_>) -> usize {
    (3 + 3 + 2) * task.head().gemm.input.channels
}

/// What one kind of kernel did.
#[derive(Clone, Copy, Default)]
struct Count {
    products: usize,
    instructions: u64,
}

/// Of forward, input and weight kernels: function pointers carry nothing.
struct Counted(Cell<[Count; 3]>);

// SAFETY: the program has one thread, and enables no interrupt.
unsafe impl Sync for Counted {}

static COUNTED: Counted = Counted(Cell::new([Count { products: 0, instructions: 0 }; 3]));

impl Counted {
    fn get(&self) -> [Count; 3] {
        self.0.get()
    }

    fn set(&self, counts: [Count; 3]) {
        self.0.set(counts);
    }

    fn add(&self, kind: usize, op: &TapGemm<'_>, work: impl FnOnce()) {
        let spent = instructions(work);
        let mut counts = self.get();
        counts[kind].products += pixels_read(op) * op.input.channels * op.output.channels;
        counts[kind].instructions += spent;
        self.set(counts);
    }
}

fn forward(op: &TapGemm<'_>, samples: &mut [Sample<'_, f32>]) {
    COUNTED.add(0, op, || (dispatch::best().tap_gemm)(op, samples));
}

fn input_gradient(op: &TapGemm<'_>, grad_out: &[f32], grad_in: &mut [f32]) {
    COUNTED.add(1, op, || (dispatch::gradients().input_gradient)(op, grad_out, grad_in));
}

fn weight_gradient(
    op: &TapGemm<'_>,
    input: &[f32],
    grad_out: &[f32],
    grad_weights: &mut [[f32; PANEL]],
    grad_bias: &mut [f32],
) {
    COUNTED.add(2, op, || {
        (dispatch::gradients().weight_gradient)(op, input, grad_out, grad_weights, grad_bias);
    });
}
