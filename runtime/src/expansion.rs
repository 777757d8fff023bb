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
}

impl Plan {
    /// The steps of a model that are faster expanded, with so many pictures at once.
    ///
    /// What pays depends on which cache holds the expanded weights, and so on how many pay: the fastest storage that
    /// holds those which would pay if they came from there.
    pub(crate) fn new(kernels: ExpansionKernels, model: &Model<'_>, pictures: usize) -> Self {
        let plan = |from| Self { kernels, samples: pictures.min(BATCH), from };
        let mut plans = Storage::ALL.into_iter().map(plan);
        let fitting = plans.find(|plan| plan.weights(model) <= plan.from.capacity());
        fitting.unwrap_or(plan(Storage::Memory))
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
        let each = model.operations().filter_map(|operation| Some(self.form(&operation)?.0.len()));
        each.fold(0, usize::saturating_add)
    }

    /// The form of an operation that is to be expanded.
    fn form<'o, 'm>(&self, operation: &'o Operation<'m>) -> Option<(Form, &'o TapGemm<'m>)> {
        let Operation::TapGemm { gemm, .. } = operation else { return None };
        let form = (self.kernels.form)(gemm)?;
        (self.kernels.pays)(gemm, self.samples, self.from).then_some((form, gemm))
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
        for (step, operation) in steps.iter_mut().zip(model.operations()) {
            *step = 0.0;
            let Some((form, gemm)) = plan.form(&operation) else { continue };
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

/// Values in a cache line, which the widest vectors fill.
const ALIGNMENT: usize = 16;
