//! The engine for microcontrollers: hand-derived gradients on the tap-GEMM kernels, one picture at a time, in memory of a
//! size that is known at export. Nothing allocates.

use pocketgan_kernels::GradientKernels;
use pocketgan_runtime::{Kernels, dispatch};

use crate::TaskError;
use crate::augment::Augmentation;
use crate::engine::{Batch, Engine, Outcome, Values};
use crate::objective::Scores;
use crate::pass::Pass;
use crate::task::Task;

/// The engine, with the memory that it works in.
#[derive(Debug)]
pub struct Arena<'a> {
    work: &'a mut [f32],
    kernels: Kernels,
    gradients: GradientKernels,
    /// Seed, step and number of the pair whose features one half of a step has left for the other.
    held: Option<(u64, u32, usize)>,
}

impl<'a> Arena<'a> {
    /// Values that the engine works in.
    pub fn work_len(task: &Task<'_>) -> usize {
        // The frozen steps run in the generator's arena, before anything else is needed.
        Lengths::of(task).total().max(task.model().arena_len())
    }

    /// An engine with the fastest kernels that this CPU has.
    ///
    /// # Errors
    /// When `work` has fewer than [`work_len`](Self::work_len) values.
    pub fn new(task: &Task<'_>, work: &'a mut [f32]) -> Result<Self, TaskError> {
        Self::with_kernels(task, work, dispatch::best(), dispatch::gradients())
    }

    /// An engine that learns the same bytes on every target.
    ///
    /// # Errors
    /// When `work` has fewer than [`work_len`](Self::work_len) values.
    pub fn exact(task: &Task<'_>, work: &'a mut [f32]) -> Result<Self, TaskError> {
        Self::with_kernels(task, work, dispatch::exact(), dispatch::gradients_exact())
    }

    /// An engine with kernels of the caller's choice.
    ///
    /// # Errors
    /// When `work` has fewer than [`work_len`](Self::work_len) values.
    pub fn with_kernels(
        task: &Task<'_>,
        work: &'a mut [f32],
        kernels: Kernels,
        gradients: GradientKernels,
    ) -> Result<Self, TaskError> {
        let (need, have) = (Self::work_len(task), work.len());
        if have < need {
            return Err(TaskError::MemoryTooSmall { need_bytes: 4 * need, have_bytes: 4 * have });
        }
        Ok(Self { work, kernels, gradients, held: None })
    }

    /// The memory that it works in, free between steps: large enough for the arena of a generator, for one. The next step
    /// overwrites it.
    pub fn work(&mut self) -> &mut [f32] {
        self.held = None;
        self.work
    }

    /// The picture that the generator draws of the features that `features` writes to the start of what it is given.
    #[cfg(test)]
    pub(crate) fn picture(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        features: impl FnOnce(&mut [f32]),
    ) -> std::vec::Vec<f32> {
        features(self.work);
        let mut passes = self.passes(task, values);
        passes.draw();
        passes.picture().to_vec()
    }

    fn passes<'p>(&'p mut self, task: &'p Task<'_>, values: Values<'p>) -> Passes<'p> {
        let (kernels, gradients) = (self.kernels, self.gradients);
        Passes {
            task,
            generator: Pass { network: task.generator(), values: values.generator, kernels, gradients },
            discriminator: Pass {
                network: task.discriminator(),
                values: values.discriminator,
                kernels,
                gradients,
            },
            parts: Lengths::of(task).split(self.work),
        }
    }

    /// Has the frozen steps make the features of a pair, unless they are there.
    fn features(&mut self, batch: &mut Batch<'_>, pair: usize) {
        let place = Some((batch.seed, batch.step, pair));
        if self.held != place {
            batch.features(pair, self.work);
            self.held = place;
        }
    }

    /// Scores every pair, for a loss that compares them.
    fn compare(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        change: impl Fn(&Batch<'_>, usize) -> Augmentation,
    ) -> Scores {
        let mut scores = Scores::of(batch.pairs());
        if batch.objective().compares() {
            for pair in 0..batch.pairs() {
                self.features(batch, pair);
                let mut passes = self.passes(task, values);
                passes.draw();
                let distance = passes.see_real(batch, pair);
                let real = passes.judge();
                passes.see_drawn(&change(batch, pair));
                let fake = passes.judge();
                batch.objective().note(&mut scores, pair, [real, fake], distance);
            }
        }
        scores
    }
}

impl Engine for Arena<'_> {
    fn name(&self) -> &'static str {
        "arena"
    }

    fn kernels(&self) -> Kernels {
        self.kernels
    }

    fn discriminator(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        gradients: &mut [f32],
    ) -> Outcome {
        self.held = None;
        let scores = self.compare(task, values, batch, |batch, pair| batch.fake_change(pair));
        let objective = batch.objective();
        let mut outcome = Outcome::default();
        let n = batch.pairs() as f32;
        for pair in 0..batch.pairs() {
            self.features(batch, pair);
            let mut passes = self.passes(task, values);
            passes.draw();
            passes.see_real(batch, pair);
            let real = passes.judge();
            let part = objective.real(&scores, pair, real);
            passes.learn_to_judge(part.slope, gradients);
            outcome.loss += part.loss;
            outcome.real += real / n;
            passes.see_drawn(&batch.fake_change(pair));
            let fake = passes.judge();
            let part = objective.fake(&scores, pair, fake);
            passes.learn_to_judge(part.slope, gradients);
            outcome.loss += part.loss;
            outcome.fake += fake / n;
        }
        outcome
    }

    fn generator(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        gradients: &mut [f32],
    ) -> Outcome {
        let scores = self.compare(task, values, batch, |batch, pair| batch.judged_change(pair));
        let objective = batch.objective();
        let mut outcome = Outcome::default();
        let n = batch.pairs() as f32;
        for pair in 0..batch.pairs() {
            self.features(batch, pair);
            let mut passes = self.passes(task, values);
            passes.draw();
            let change = batch.judged_change(pair);
            passes.see_drawn(&change);
            let fake = passes.judge();
            let part = objective.generator(&scores, fake);
            passes.learn_to_draw(part.slope, &change, gradients);
            outcome.loss += part.loss;
            outcome.fake += fake / n;
        }
        self.held = None;
        outcome
    }

    fn draw(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        each: &mut dyn FnMut(&[f32], f32),
    ) {
        self.held = None;
        for pair in 0..batch.pairs() {
            self.features(batch, pair);
            let mut passes = self.passes(task, values);
            passes.draw();
            passes.see_drawn(&Augmentation::NONE);
            let score = passes.judge();
            each(passes.picture(), score);
        }
        self.held = None;
    }

    fn score(&mut self, task: &Task<'_>, values: Values<'_>, image: &[f32]) -> f32 {
        let mut passes = self.passes(task, values);
        passes.parts.seen.copy_from_slice(image);
        passes.judge()
    }
}

/// Both networks, and the memory of a pass through them.
struct Passes<'p> {
    task: &'p Task<'p>,
    generator: Pass<'p>,
    discriminator: Pass<'p>,
    parts: Parts<'p>,
}

/// The memory of a pass.
struct Parts<'w> {
    /// What the generator's part reads.
    features: &'w [f32],
    /// What each of its layers wrote; the picture last.
    drawn: &'w mut [f32],
    /// The picture that the discriminator sees.
    seen: &'w mut [f32],
    /// What each of its layers wrote.
    judged: &'w mut [f32],
    /// Gradients on their way down: one is read, the other written.
    down: [&'w mut [f32]; 2],
}

impl Passes<'_> {
    /// Draws the picture of the features.
    fn draw(&mut self) {
        self.generator.forward(self.parts.features, self.parts.drawn);
    }

    fn picture(&self) -> &[f32] {
        &self.parts.drawn[self.parts.drawn.len() - self.task.image_len()..]
    }

    /// Shows the discriminator the picture that was drawn, changed.
    fn see_drawn(&mut self, change: &Augmentation) {
        let picture = &self.parts.drawn[self.parts.drawn.len() - self.task.image_len()..];
        let model = self.task.model();
        change.apply(model.output_shape(), model.range(), picture, self.parts.seen);
    }

    /// Shows the discriminator a real picture, changed; returns how far it is from the one that was drawn.
    fn see_real(&mut self, batch: &Batch<'_>, pair: usize) -> f32 {
        let (model, len) = (self.task.model(), self.task.image_len());
        let picture = &self.parts.drawn[self.parts.drawn.len() - len..];
        let real = &mut self.parts.down[0][..len];
        batch.real(pair, real);
        batch.real_change(pair).apply(model.output_shape(), model.range(), real, self.parts.seen);
        mean_difference(real, picture)
    }

    /// The score of the picture that is seen.
    fn judge(&mut self) -> f32 {
        self.discriminator.forward(self.parts.seen, self.parts.judged);
        self.task.head().score(&self.discriminator, found(self.parts.seen, self.parts.judged, self.task))
    }

    /// Adds the gradient of `slope` times the score that was just given, with respect to what moves of the discriminator.
    fn learn_to_judge(&mut self, slope: f32, gradients: &mut [f32]) {
        let Parts { seen, judged, down, .. } = &mut self.parts;
        let found = found(seen, judged, self.task);
        self.task.head().backward(&self.discriminator, slope, found, down[0], Some(&mut *gradients));
        let lowest = self.task.discriminator().lowest;
        self.discriminator.backward([&**seen, &**judged], down, 0, Some(gradients), [lowest, 0]);
    }

    /// The same with respect to what moves of the generator, which drew the picture that was judged, changed by `change`.
    fn learn_to_draw(&mut self, slope: f32, change: &Augmentation, gradients: &mut [f32]) {
        let Parts { features, drawn, seen, judged, down } = &mut self.parts;
        let found = found(seen, judged, self.task);
        self.task.head().backward(&self.discriminator, slope, found, down[0], None);
        let at = self.discriminator.backward([&**seen, &**judged], down, 0, None, [0, 1]);
        let len = self.task.image_len();
        let [even, odd] = &mut *down;
        let (above, below) = if at == 0 { (even, odd) } else { (odd, even) };
        change.gradient(self.task.model().output_shape(), &above[..len], &mut below[..len]);
        let lowest = self.task.generator().lowest;
        self.generator.backward([features, &**drawn], down, 1 - at, Some(gradients), [lowest, 0]);
    }
}

/// What the discriminator's head reads: what its last layer wrote, or, without layers, the picture.
fn found<'p>(seen: &'p [f32], judged: &'p [f32], task: &Task<'_>) -> &'p [f32] {
    match task.discriminator().chain.layers().last() {
        Some(layer) => &judged[judged.len() - layer.output_len..],
        None => seen,
    }
}

/// Lengths of [`Parts`], which lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lengths {
    features: usize,
    drawn: usize,
    seen: usize,
    judged: usize,
    down: [usize; 2],
}

impl Lengths {
    fn of(task: &Task<'_>) -> Self {
        let image = task.image_len();
        let written = |layer: &crate::chain::Layer| layer.output_len;
        let judged = task.discriminator().chain.layers().iter().rev().map(written);
        // Gradients from the score down: what the layers of the discriminator wrote, what it saw, the picture, and what the
        // generator's other layers wrote. Each is written where the one before the last was.
        let drawn = task.generator().chain.layers().iter().rev().skip(1).map(written);
        let mut down = [image; 2];
        for (place, len) in judged.chain([image; 2]).chain(drawn).enumerate() {
            down[place % 2] = down[place % 2].max(len);
        }
        Self {
            features: task.features_len(),
            drawn: task.generator().chain.written(),
            seen: image,
            judged: task.discriminator().chain.written(),
            down,
        }
    }

    fn total(&self) -> usize {
        self.features + self.drawn + self.seen + self.judged + self.down[0] + self.down[1]
    }

    fn split<'w>(&self, work: &'w mut [f32]) -> Parts<'w> {
        let (features, work) = work.split_at_mut(self.features);
        let (drawn, work) = work.split_at_mut(self.drawn);
        let (seen, work) = work.split_at_mut(self.seen);
        let (judged, work) = work.split_at_mut(self.judged);
        let (even, work) = work.split_at_mut(self.down[0]);
        Parts { features, drawn, seen, judged, down: [even, &mut work[..self.down[1]]] }
    }
}

fn mean_difference(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / a.len().max(1) as f32
}
