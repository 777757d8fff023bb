//! Weights that were expanded when a generator started: which steps have any, and where they lie.
//!
//! In the caller's buffer: for each step whether it is expanded, then, from a cache line on, the weights of those that are, in
//! order. Whoever goes through the steps finds each one's weights after those of the steps before it.

use pocketgan_kernels::{ExpansionKernels, Form, Storage, TapGemm};

use crate::Model;
use crate::operation::{BATCH, Operation};

/// Which steps are to be expanded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    kernels: ExpansionKernels,
    /// Samples that kernels see at once.
    samples: usize,
    /// From where expanded weights will come.
    from: Storage,
    /// Expanded weights that it holds.
    capacity: usize,
    /// The least gain for each expanded weight for which a step is expanded.
    least: f64,
}

impl Plan {
    /// The steps of a model that are faster expanded, with so many pictures at once.
    ///
    /// What is gained depends on which cache holds the expanded weights, and so on how many there are. Of all storages, and for
    /// each of some bounds of what a weight must gain, the plan that gains most: it leaves out steps that would take
    /// others' room for little.
    pub(crate) fn new(kernels: ExpansionKernels, model: &Model<'_>, pictures: usize) -> Self {
        let nothing =
            Self { kernels, samples: pictures.min(BATCH), from: Storage::Memory, capacity: 0, least: 0.0 };
        let mut best = (nothing, 0.0);
        for from in Storage::ALL {
            let whole = Self { from, capacity: from.capacity(), ..nothing };
            let most = model.operations().map(|operation| whole.density(&operation)).fold(0.0, f64::max);
            let bounds = (0..BOUNDS).map(|i| most / f64::from(1_u32 << i)).chain([0.0]);
            for plan in bounds.map(|least| Self { least, ..whole }) {
                let gain = plan.gain(model);
                if gain > best.1 {
                    best = (plan, gain);
                }
            }
        }
        best.0
    }

    /// Values of the buffer that has room for all these steps; 0 where there is none.
    pub(crate) fn buffer_len(&self, model: &Model<'_>) -> usize {
        match self.weights(model) {
            0 => 0,
            len => len.saturating_add(model.operations().count() + ALIGNMENT - 1),
        }
    }

    /// Expanded weights of all these steps.
    fn weights(&self, model: &Model<'_>) -> usize {
        let mut room = self.capacity;
        for operation in model.operations() {
            self.form(&operation, &mut room);
        }
        self.capacity - room
    }

    /// What all these steps gain.
    fn gain(&self, model: &Model<'_>) -> f64 {
        let mut room = self.capacity;
        let gain = |operation| {
            Some((self.kernels.gain)(self.form(&operation, &mut room)?.1, self.samples, self.from))
        };
        model.operations().filter_map(gain).sum()
    }

    /// What a step gains for each of its expanded weights.
    fn density(&self, operation: &Operation<'_>) -> f64 {
        let Operation::TapGemm { gemm, .. } = operation else { return 0.0 };
        let len = (self.kernels.form)(gemm).map_or(0, |form| form.len());
        (self.kernels.gain)(gemm, self.samples, self.from) / len.max(1) as f64
    }

    /// The form of an operation that is to be expanded, if there is `room` for it, of which it takes its part.
    fn form<'o, 'm>(
        &self,
        operation: &'o Operation<'m>,
        room: &mut usize,
    ) -> Option<(Form, &'o TapGemm<'m>)> {
        let Operation::TapGemm { gemm, .. } = operation else { return None };
        let form = (self.kernels.form)(gemm)?;
        let density = self.density(operation);
        let left = room.checked_sub(form.len()).filter(|_| density > 0.0 && density >= self.least)?;
        *room = left;
        Some((form, gemm))
    }
}

/// The expanded weights of some steps and of all that follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expansion<'e> {
    kernels: ExpansionKernels,
    /// For each of the steps to come, 1 if it is expanded and else 0.
    steps: &'e [f32],
    /// The weights of those that are.
    weights: &'e [f32],
}

/// The expanded weights of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expanded<'e> {
    pub(crate) kernels: ExpansionKernels,
    pub(crate) form: Form,
    pub(crate) weights: &'e [f32],
}

impl<'e> Expansion<'e> {
    /// Expands the weights of a model's steps into a buffer, as far as there is room; none where there is none at all.
    pub(crate) fn new(plan: Plan, model: &Model<'_>, buffer: &'e mut [f32]) -> Option<Self> {
        let (steps, weights) = buffer.split_at_mut_checked(model.operations().count())?;
        let start = weights.as_ptr().align_offset(size_of::<f32>() * ALIGNMENT).min(weights.len());
        let weights = &mut weights[start..];
        let mut rest = &mut *weights;
        let mut any = false;
        let mut room = plan.capacity;
        for (step, operation) in steps.iter_mut().zip(model.operations()) {
            *step = 0.0;
            let Some((form, gemm)) = plan.form(&operation, &mut room) else { continue };
            if form.len() <= rest.len() {
                let (weights, others) = core::mem::take(&mut rest).split_at_mut(form.len());
                (plan.kernels.expand)(&form, gemm, weights);
                (*step, rest, any) = (1.0, others, true);
            }
        }
        any.then_some(Self { kernels: plan.kernels, steps, weights })
    }

    /// The weights of the next step, if they are expanded.
    pub(crate) fn next(&mut self, operation: &Operation<'_>) -> Option<Expanded<'e>> {
        let (&step, steps) = self.steps.split_first()?;
        self.steps = steps;
        let Operation::TapGemm { gemm, .. } = operation else { return None };
        let form = if step == 1.0 { (self.kernels.form)(gemm)? } else { return None };
        let (weights, rest) = self.weights.split_at_checked(form.len())?;
        self.weights = rest;
        Some(Expanded { kernels: self.kernels, form, weights })
    }
}

/// Bounds of what a weight must gain, each half of the one before.
const BOUNDS: u32 = 12;

/// Values in a cache line, which the widest vectors fill.
const ALIGNMENT: usize = 16;
