//! A step of learning: draw a batch, let the discriminator follow its gradient, then the generator, and keep an average.

use pocketgan_format::{Delta, DeltaError, DeltaSummary, LearnedTensor};
use pocketgan_runtime::Model;

use crate::augment::Policy;
use crate::engine::{Bank, Batch, Engine, Examples, Outcome, Values};
use crate::guards::{Guards, Watch};
use crate::objective::{MAX_BATCH, Objective};
use crate::optimizer::Optimizer;
use crate::task::Task;
use crate::{StepError, TaskError};

/// How to learn, as far as the file does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Of every random draw.
    pub seed: u64,
    /// Pairs of a real and a generated picture in a step, whose gradients are added up one after the other; at most
    /// [`MAX_BATCH`].
    pub batch: usize,
    /// The loss; none is least squares with the file's codes.
    pub objective: Option<Objective>,
    /// How values follow their gradient.
    pub optimizer: Optimizer,
    /// Factor of the file's learning rates.
    pub rate: f32,
    /// What the discriminator sees of pictures.
    pub policy: Policy,
    /// Weight of the past in the average of the generator that is deployed; within 0..1.
    pub ema_decay: f32,
    /// Strength with which the generator is drawn back to what the file holds: the factor of half the squared distance.
    pub pull: f32,
    /// What stops and undoes learning; none stops only at what is not finite.
    pub guards: Option<Guards>,
    /// Steps after which the latent vectors of a bank are drawn anew.
    pub refresh: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            batch: 8,
            objective: None,
            optimizer: Optimizer::Adam { beta_1: 0.5, beta_2: 0.99 },
            rate: 1.0,
            policy: Policy::GEOMETRY,
            ema_decay: 0.99,
            pull: 0.0,
            guards: Some(Guards::default()),
            refresh: 256,
        }
    }
}

/// A generator that learns.
#[derive(Debug)]
pub struct Learner<'m, 'a, E> {
    task: &'m Task<'m>,
    engine: E,
    options: Options,
    state: State<'a>,
    bank: Bank<'a>,
    watch: Watch,
    step: u32,
    first: Losses,
    last: Losses,
}

/// The losses of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// Of the discriminator, before it moved.
    pub discriminator: f32,
    /// Of the generator, after the discriminator moved.
    pub generator: f32,
    /// Mean score of real pictures, before the discriminator moved.
    pub real: f32,
    /// Mean score of generated ones.
    pub fake: f32,
}

/// Everything that moves.
#[derive(Debug)]
struct State<'a> {
    generator: Moving<'a>,
    discriminator: Moving<'a>,
    /// The average of the generator's values.
    average: &'a mut [f32],
    gradients: &'a mut [f32],
    /// A picture to compare with the next.
    picture: &'a mut [f32],
}

/// The values of a network, and its optimizer's state.
#[derive(Debug)]
struct Moving<'a> {
    values: &'a mut [f32],
    optimizer: &'a mut [f32],
}

impl<'m, 'a, E: Engine> Learner<'m, 'a, E> {
    /// Values that a learner keeps, besides what its engine works in.
    pub fn memory_len(task: &Task<'_>, options: &Options) -> usize {
        let [generator, discriminator] = task.trained_len();
        let moving = (1 + options.optimizer.states()) * (generator + discriminator);
        moving + generator + generator.max(discriminator) + task.image_len()
    }

    /// A learner before its first step, with the values that the model has.
    ///
    /// # Errors
    /// When an option is out of range, the model has a delta of which [`write_delta`](Self::write_delta) would drop something, or
    /// `memory` has fewer than [`memory_len`](Self::memory_len) values.
    pub fn new(
        task: &'m Task<'m>,
        engine: E,
        memory: &'a mut [f32],
        options: &Options,
    ) -> Result<Self, TaskError> {
        options.check()?;
        task.check_delta()?;
        let (need, have) = (Self::memory_len(task, options), memory.len());
        if have < need {
            return Err(TaskError::MemoryTooSmall { need_bytes: 4 * need, have_bytes: 4 * have });
        }
        let state = State::new(task, options, memory);
        let mut learner = Self {
            task,
            engine,
            options: *options,
            state,
            bank: Bank::default(),
            watch: Watch::default(),
            step: 0,
            first: Losses::default(),
            last: Losses::default(),
        };
        learner.reset();
        Ok(learner)
    }

    /// With memory for what the frozen steps make of some latent vectors, [`Task::features_len`] + 1 values for each, so that
    /// they need not run in every step.
    #[must_use]
    pub fn with_bank(mut self, memory: &'a mut [f32]) -> Self {
        memory.fill(0.0);
        self.bank = Bank { memory, refresh: self.options.refresh };
        self
    }

    /// Forgets everything that was learned.
    pub fn reset(&mut self) {
        let State { generator, discriminator, average, .. } = &mut self.state;
        for moving in [&mut *generator, &mut *discriminator] {
            moving.values.fill(0.0);
            moving.optimizer.fill(0.0);
        }
        let network = self.task.generator();
        network.slots.read(network.chain.model(), |at, value| generator.values[at] = value);
        let network = self.task.discriminator();
        network.slots.read(network.chain.model(), |at, value| discriminator.values[at] = value);
        average.copy_from_slice(generator.values);
        self.bank.memory.fill(0.0);
        (self.step, self.watch) = (0, Watch::default());
        (self.first, self.last) = (Losses::default(), Losses::default());
    }

    /// Lets both networks move once.
    ///
    /// # Errors
    /// When there is no example, or a guard stops learning: then everything since the start is undone.
    pub fn step(&mut self, examples: &dyn Examples) -> Result<Losses, StepError> {
        if examples.is_empty() {
            return Err(StepError::NoExamples);
        }
        let result = self.try_step(examples);
        if result.is_err() {
            self.reset();
        }
        result
    }

    fn try_step(&mut self, examples: &dyn Examples) -> Result<Losses, StepError> {
        let (options, step) = (self.options, self.step);
        if step.is_multiple_of(WATCH_EVERY) {
            let difference = self.difference(examples);
            self.watch.compare(options.guards.as_ref(), step, difference)?;
        }
        let on_d = self.half(examples, true);
        let on_g = self.half(examples, false);
        self.watch.look(options.guards.as_ref(), &self.objective(), step, [&on_d, &on_g])?;
        let average = options.ema_decay.min((1 + step) as f32 / (10 + step) as f32);
        let State { generator, average: averages, .. } = &mut self.state;
        for (mean, value) in averages.iter_mut().zip(&*generator.values) {
            *mean = average * *mean + (1.0 - average) * value;
        }
        if !averages.iter().all(|value| value.is_finite()) {
            return Err(StepError::NotFinite { step });
        }
        self.last =
            Losses { discriminator: on_d.loss, generator: on_g.loss, real: on_d.real, fake: on_d.fake };
        if step == 0 {
            self.first = self.last;
        }
        self.step += 1;
        Ok(self.last)
    }

    /// Moves one of the networks.
    fn half(&mut self, examples: &dyn Examples, discriminator: bool) -> Outcome {
        let objective = self.objective();
        let Self { task, engine, options, state, bank, step, .. } = self;
        let (options, step) = (*options, *step);
        let State { generator, discriminator: judge, gradients, .. } = state;
        let mut batch = Batch {
            bank: bank.lent(),
            objective,
            policy: options.policy,
            pairs: options.batch,
            ..Batch::plain(task, examples, engine.kernels(), options.seed, step)
        };
        let values = Values { generator: generator.values, discriminator: judge.values };
        let (outcome, rate, moving) = if discriminator {
            let gradients = &mut gradients[..values.discriminator.len()];
            gradients.fill(0.0);
            (engine.discriminator(task, values, &mut batch, gradients), task.rule().lr_d, judge)
        } else {
            let gradients = &mut gradients[..values.generator.len()];
            gradients.fill(0.0);
            (engine.generator(task, values, &mut batch, gradients), task.rule().lr_g, generator)
        };
        let gradients = &mut gradients[..moving.values.len()];
        if !discriminator && options.pull > 0.0 {
            // What the file holds, whatever a delta says.
            let factory = Model::from(*task.model().file());
            task.generator().slots.read(&factory, |at, factory| {
                gradients[at] += options.pull * (moving.values[at] - factory);
            });
        }
        let rate = options.rate * rate;
        options.optimizer.step(rate, step + 1, gradients, moving.values, moving.optimizer);
        outcome
    }

    /// Mean absolute difference of generated pictures, each from the one before. Their latent vectors are not a bank's, of which
    /// two may be the same.
    fn difference(&mut self, examples: &dyn Examples) -> f32 {
        let Self { task, engine, options, state, step, .. } = self;
        let State { generator, discriminator, picture, .. } = state;
        let plain = Batch::plain(task, examples, engine.kernels(), options.seed, *step);
        let mut batch = Batch { pairs: WATCHED, ..plain };
        let values = Values { generator: generator.values, discriminator: discriminator.values };
        let (mut count, mut sum) = (0_usize, 0.0);
        engine.draw(task, values, &mut batch, &mut |drawn, _| {
            if count > 0 {
                let difference: f32 = drawn.iter().zip(&**picture).map(|(a, b)| (a - b).abs()).sum();
                sum += difference / drawn.len() as f32;
            }
            picture.copy_from_slice(drawn);
            count += 1;
        });
        sum / (WATCHED - 1) as f32
    }

    /// How far the discriminator knows the examples by heart: the mean score of those that it learns from, less that of others
    /// which it does not, relative to how far the former are above generated pictures. 0: not at all; 1: others look generated.
    /// Learning on beyond 0.5 or so teaches the generator nothing.
    ///
    /// # Source
    /// Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data", arXiv:2006.06676, `r_v`.
    pub fn overfitting(&mut self, learned: &dyn Examples, held_out: &dyn Examples) -> f32 {
        let Self { task, engine, state, .. } = self;
        let mut mean = |examples: &dyn Examples| {
            let count = examples.len().min(MAX_BATCH);
            let values =
                Values { generator: state.generator.values, discriminator: state.discriminator.values };
            let mut sum = 0.0;
            for index in 0..count {
                // Spread over all of them.
                examples.read(index * examples.len() / count, state.picture);
                sum += engine.score(task, values, state.picture);
            }
            sum / count.max(1) as f32
        };
        let (on_learned, on_held_out) = (mean(learned), mean(held_out));
        let mut fake = 0.0;
        self.draw_each(DRAWN, &mut |_, score| fake += score / DRAWN as f32);
        let scale = (on_learned - fake).abs().max(0.01 * self.objective().scale());
        (on_learned - on_held_out) / scale
    }

    /// Draws pictures of the generator as it is now, with their scores.
    fn draw_each(&mut self, count: usize, each: &mut dyn FnMut(&[f32], f32)) {
        let Self { task, engine, options, state, step, .. } = self;
        let State { generator, discriminator, .. } = state;
        let values = Values { generator: generator.values, discriminator: discriminator.values };
        let plain = Batch::plain(task, &NoExamples, engine.kernels(), options.seed, *step);
        let mut batch = Batch { pairs: count, ..plain };
        engine.draw(task, values, &mut batch, each);
    }

    /// The loss.
    pub fn objective(&self) -> Objective {
        let rule = self.task.rule();
        self.options.objective.unwrap_or(Objective::LeastSquares { a: rule.a, b: rule.b, c: rule.c })
    }

    /// What is learned.
    pub fn task(&self) -> &'m Task<'m> {
        self.task
    }

    /// The engine.
    pub fn engine_mut(&mut self) -> &mut E {
        &mut self.engine
    }

    /// Steps since the start.
    pub fn steps(&self) -> u32 {
        self.step
    }

    /// Losses of the first and of the last step.
    pub fn losses(&self) -> [Losses; 2] {
        [self.first, self.last]
    }

    /// What was learned: the averaged values of the generator, in the order of its [`Slots`](crate::slots::Slots).
    pub fn learned(&self) -> &[f32] {
        self.state.average
    }

    /// Size of [`write_delta`](Self::write_delta)'s bytes.
    pub fn delta_bytes(&self) -> usize {
        self.task.delta_bytes()
    }

    /// Writes what was learned from so many examples to the start of `out`; returns its length in bytes.
    ///
    /// # Errors
    /// When `out` has fewer than [`delta_bytes`](Self::delta_bytes) bytes, or a value exceeds what its type holds.
    pub fn write_delta(&self, examples: u32, out: &mut [u8]) -> Result<usize, DeltaError> {
        let losses = |losses: Losses| pocketgan_format::Losses {
            discriminator: losses.discriminator,
            generator: losses.generator,
        };
        let summary = DeltaSummary {
            base: self.task.model().file().sha256(),
            seed: self.options.seed,
            steps: self.step,
            examples,
            first: losses(self.first),
            last: losses(self.last),
            merged: 1,
            preset: self.task.rule().preset,
        };
        Delta::encode(&summary, self.changes(), out)
    }

    fn changes(&self) -> impl Iterator<Item = LearnedTensor<'_>> + Clone {
        self.task.generator().slots.learned(self.task.model(), self.state.average)
    }

    /// What both networks hold now, without averaging.
    pub fn values(&self) -> Values<'_> {
        Values { generator: self.state.generator.values, discriminator: self.state.discriminator.values }
    }
}

struct NoExamples;

impl Examples for NoExamples {
    fn len(&self) -> usize {
        0
    }

    fn read(&self, _index: usize, _image: &mut [f32]) {}
}

impl<'a> State<'a> {
    fn new(task: &Task<'_>, options: &Options, memory: &'a mut [f32]) -> Self {
        let [generator, discriminator] = task.trained_len();
        let states = options.optimizer.states();
        let mut rest = memory;
        let mut take = |len: usize| {
            let (taken, behind) = core::mem::take(&mut rest).split_at_mut(len);
            rest = behind;
            taken
        };
        Self {
            generator: Moving { values: take(generator), optimizer: take(states * generator) },
            discriminator: Moving { values: take(discriminator), optimizer: take(states * discriminator) },
            average: take(generator),
            gradients: take(generator.max(discriminator)),
            picture: take(task.image_len()),
        }
    }
}

impl Options {
    fn check(&self) -> Result<(), TaskError> {
        let bad = |name| Err(TaskError::Option { name });
        let part = |value: f32| (0.0..1.0).contains(&value);
        match self.optimizer {
            Optimizer::Adam { beta_1, beta_2 } if !part(beta_1) || !part(beta_2) => return bad("optimizer"),
            Optimizer::Momentum { momentum } if !part(momentum) => return bad("optimizer"),
            _ => {}
        }
        if !(1..=MAX_BATCH).contains(&self.batch) {
            return bad("batch");
        }
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return bad("rate");
        }
        if !part(self.ema_decay) {
            return bad("ema_decay");
        }
        if !(self.pull >= 0.0 && self.pull.is_finite()) {
            return bad("pull");
        }
        let policy = self.policy;
        if !(0.0..=1.0).contains(&policy.translation) || !(0.0..=1.0).contains(&policy.cutout) {
            return bad("policy");
        }
        Ok(())
    }
}

/// Steps after which pictures are drawn to see whether they still differ.
const WATCH_EVERY: u32 = 32;

/// Generated pictures that are scored beside examples.
const DRAWN: usize = 16;

/// Pictures that are drawn to see whether they still differ.
const WATCHED: usize = 4;
