//! What an engine does: the gradients of one step. Everything else about a step is the learner's.

use pocketgan_runtime::latent::fill_normal;
use pocketgan_runtime::{Generator, Kernels, Latent};

use crate::augment::{Augmentation, Policy};
use crate::draws::{Draws, Stream, seed_of};
use crate::objective::Objective;
use crate::task::Task;

/// What both networks hold: the vectors of [`Slots`](crate::slots::Slots).
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Of the generator.
    pub generator: &'a [f32],
    /// Of the discriminator.
    pub discriminator: &'a [f32],
}

/// Gradients of the two losses.
pub trait Engine {
    /// Its name, e.g. `arena`.
    fn name(&self) -> &'static str;

    /// The kernels that run the frozen steps.
    fn kernels(&self) -> Kernels;

    /// Adds the gradient of the discriminator's loss over a batch to `gradients`.
    fn discriminator(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        gradients: &mut [f32],
    ) -> Outcome;

    /// Adds the gradient of the generator's loss over a batch to `gradients`.
    fn generator(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        gradients: &mut [f32],
    ) -> Outcome;

    /// Draws the pictures of a batch and passes each on, with its score.
    fn draw(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        each: &mut dyn FnMut(&[f32], f32),
    );

    /// Scores a real picture as it is.
    fn score(&mut self, task: &Task<'_>, values: Values<'_>, image: &[f32]) -> f32;
}

impl<E: Engine + ?Sized> Engine for &mut E {
    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn kernels(&self) -> Kernels {
        (**self).kernels()
    }

    fn discriminator(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        gradients: &mut [f32],
    ) -> Outcome {
        (**self).discriminator(task, values, batch, gradients)
    }

    fn generator(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        gradients: &mut [f32],
    ) -> Outcome {
        (**self).generator(task, values, batch, gradients)
    }

    fn draw(
        &mut self,
        task: &Task<'_>,
        values: Values<'_>,
        batch: &mut Batch<'_>,
        each: &mut dyn FnMut(&[f32], f32),
    ) {
        (**self).draw(task, values, batch, each);
    }

    fn score(&mut self, task: &Task<'_>, values: Values<'_>, image: &[f32]) -> f32 {
        (**self).score(task, values, image)
    }
}

/// What half a step gives besides its gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The loss.
    pub loss: f32,
    /// Mean score of the real pictures; 0 where none took part.
    pub real: f32,
    /// Mean score of the generated ones.
    pub fake: f32,
}

/// Pictures to learn from.
pub trait Examples {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes one, `[height, width, channels]`, with values in the model's range.
    fn read(&self, index: usize, image: &mut [f32]);
}

/// Pictures one after the other in memory.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    values: &'a [f32],
    len: usize,
}

impl<'a> Images<'a> {
    /// Pictures of `len` values each; what is left over is none.
    pub fn new(values: &'a [f32], len: usize) -> Self {
        Self { values, len }
    }
}

impl Examples for Images<'_> {
    fn len(&self) -> usize {
        self.values.len().checked_div(self.len).unwrap_or(0)
    }

    fn read(&self, index: usize, image: &mut [f32]) {
        image.copy_from_slice(&self.values[index * self.len..][..self.len]);
    }
}

/// Pictures as bytes, 0 black and 255 white, in a quarter of the memory.
#[derive(Clone, Copy, Debug)]
pub struct ByteImages<'a> {
    bytes: &'a [u8],
    len: usize,
    range: [f32; 2],
}

impl<'a> ByteImages<'a> {
    /// Pictures of `len` values each for a model's range; what is left over is none.
    pub fn new(bytes: &'a [u8], len: usize, range: [f32; 2]) -> Self {
        Self { bytes, len, range }
    }
}

impl Examples for ByteImages<'_> {
    fn len(&self) -> usize {
        self.bytes.len().checked_div(self.len).unwrap_or(0)
    }

    fn read(&self, index: usize, image: &mut [f32]) {
        let [low, high] = self.range;
        let bytes = &self.bytes[index * self.len..][..self.len];
        for (value, &byte) in image.iter_mut().zip(bytes) {
            *value = f32::from(byte) / 255.0 * (high - low) + low;
        }
    }
}

/// What one half of a step looks at: pairs of a real picture and a latent vector.
pub struct Batch<'b> {
    pub(crate) task: &'b Task<'b>,
    pub(crate) examples: &'b dyn Examples,
    pub(crate) bank: Bank<'b>,
    pub(crate) kernels: Kernels,
    pub(crate) objective: Objective,
    pub(crate) policy: Policy,
    pub(crate) pairs: usize,
    pub(crate) seed: u64,
    pub(crate) step: u32,
}

impl<'b> Batch<'b> {
    /// One pair as it is, without a bank.
    pub(crate) fn plain(
        task: &'b Task<'b>,
        examples: &'b dyn Examples,
        kernels: Kernels,
        seed: u64,
        step: u32,
    ) -> Self {
        let rule = task.rule();
        Self {
            task,
            examples,
            bank: Bank::default(),
            kernels,
            objective: Objective::LeastSquares { a: rule.a, b: rule.b, c: rule.c },
            policy: Policy::NONE,
            pairs: 1,
            seed,
            step,
        }
    }
}

impl Batch<'_> {
    /// How many pairs.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// The loss.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// Writes the real picture of a pair.
    pub fn real(&self, pair: usize, image: &mut [f32]) {
        let mut draws = Draws::new(self.seed, Stream::Examples, self.step, pair);
        self.examples.read(draws.below(self.examples.len()), image);
    }

    /// How the real picture of a pair is changed.
    pub fn real_change(&self, pair: usize) -> Augmentation {
        self.change(Stream::Real, pair)
    }

    /// How the generated picture of a pair is changed while the discriminator learns.
    pub fn fake_change(&self, pair: usize) -> Augmentation {
        self.change(Stream::Fake, pair)
    }

    /// How the generated picture of a pair is changed while the generator learns.
    pub fn judged_change(&self, pair: usize) -> Augmentation {
        self.change(Stream::Judged, pair)
    }

    fn change(&self, stream: Stream, pair: usize) -> Augmentation {
        let mut draws = Draws::new(self.seed, stream, self.step, pair);
        self.policy.draw(&mut draws, self.task.model().output_shape(), self.task.model().range())
    }

    /// Writes what the part that learns reads for the latent vector of a pair to the start of `work`, of which it uses at least
    /// as much as the generator's arena.
    ///
    /// # Panics
    /// When `work` is shorter than [`work_len`](Self::work_len).
    pub fn features(&mut self, pair: usize, work: &mut [f32]) {
        let len = self.task.features_len();
        if self.bank.entries(len) == 0 {
            self.compute(seed_of(self.seed, Stream::Latents, self.step, pair), work);
            return;
        }
        let entries = self.bank.entries(len);
        let entry = Draws::new(self.seed, Stream::Latents, self.step, pair).below(entries);
        // Which latent vectors the bank holds; 0 is an empty place.
        let generation = self.step / self.bank.refresh.max(1) + 1;
        if self.bank.tag(len, entry) != generation {
            self.compute(seed_of(self.seed, Stream::Latents, u32::MAX - generation, entry), work);
            self.bank.put(len, entry, generation, work);
        } else {
            work[..len].copy_from_slice(self.bank.get(len, entry));
        }
    }

    /// Values that [`features`](Self::features) needs to work in.
    pub fn work_len(&self) -> usize {
        self.task.model().arena_len().max(self.task.features_len())
    }

    fn compute(&self, seed: u64, work: &mut [f32]) {
        let (task, len) = (self.task, self.task.features_len());
        if task.first_step() == 0 {
            fill_normal(seed, &mut work[..len]);
            return;
        }
        let arena = &mut work[..task.model().arena_len()];
        // The arena is as long as the model's, so that the generator exists; one that has loop nests has kernels for them.
        if let Ok(mut generator) = Generator::with_kernels(task.model(), arena, self.kernels) {
            generator.set_latent(Latent::from_seed(seed));
            generator.run_first(task.first_step());
        }
        let start = task.features_at();
        work.copy_within(start..start + len, 0);
    }
}

/// What the frozen steps made of some latent vectors, kept so that they run once for each.
#[derive(Debug, Default)]
pub struct Bank<'b> {
    /// Entries of a tag and a vector.
    pub(crate) memory: &'b mut [f32],
    /// Steps after which the latent vectors are drawn anew.
    pub(crate) refresh: u32,
}

impl Bank<'_> {
    /// The same memory, for a while.
    pub(crate) fn lent(&mut self) -> Bank<'_> {
        Bank { memory: &mut *self.memory, refresh: self.refresh }
    }

    fn entries(&self, len: usize) -> usize {
        self.memory.len() / (len + 1)
    }

    fn tag(&self, len: usize, entry: usize) -> u32 {
        self.memory[entry * (len + 1)].to_bits()
    }

    fn get(&self, len: usize, entry: usize) -> &[f32] {
        &self.memory[entry * (len + 1) + 1..][..len]
    }

    fn put(&mut self, len: usize, entry: usize, tag: u32, features: &[f32]) {
        let place = &mut self.memory[entry * (len + 1)..][..len + 1];
        place[0] = f32::from_bits(tag);
        place[1..].copy_from_slice(&features[..len]);
    }
}
