//! What a model has a device learn: the layers of both networks that take part, and the tensors that move.

use core::ops::Range;

use pocketgan_format::{self as format, Learning, Preset, Rule};
use pocketgan_kernels::{Activation, TapGemm};
use pocketgan_runtime::Model;

use crate::TaskError;
use crate::chain::{self, Chain};
use crate::slots::{Kind, Slots};

/// What there is to learn. Borrows the model; plans, and holds no value that moves.
#[derive(Clone, Copy, Debug)]
pub struct Task<'m> {
    model: Model<'m>,
    rule: Rule,
    generator: Network<'m>,
    discriminator: Network<'m>,
    head: Head<'m>,
}

/// The layers of a network through which gradients pass.
#[derive(Clone, Copy, Debug)]
pub struct Network<'m> {
    /// In order.
    pub chain: Chain<'m>,
    /// What moves.
    pub slots: Slots,
    /// The lowest layer with something that moves; the number of layers where none has.
    pub lowest: usize,
}

/// The last layer of a discriminator: the sum of products with what the layers before found, and a bias.
#[derive(Clone, Copy, Debug)]
pub struct Head<'m> {
    /// The layer, for what it holds while it does not move.
    pub gemm: TapGemm<'m>,
    /// Index of the tensor of weights.
    pub weights: u32,
    /// Index of the tensor of the bias.
    pub bias: u32,
}

impl<'m> Task<'m> {
    /// What `model` has a device learn.
    ///
    /// # Errors
    /// When it has no learning section, or its trained part is not one that this engine can train.
    pub fn new(model: &Model<'m>) -> Result<Self, TaskError> {
        let learning = model.file().learning().map_err(TaskError::Learning)?.ok_or(TaskError::CannotLearn)?;
        Self::with_rule(model, &learning, learning.rule)
    }

    /// What a device would learn by another rule, with the discriminator of the file.
    ///
    /// # Errors
    /// When the part that is trained by that rule is not one that this engine can train.
    pub fn with_rule(model: &Model<'m>, learning: &Learning<'m>, rule: Rule) -> Result<Self, TaskError> {
        let judge = Model::from(learning.discriminator);
        let head = Head::new(&judge)?;
        // Filled in place: each network has more than a kilobyte, and a microcontroller's stack holds no second copy of it.
        let mut task = Self {
            model: *model,
            rule,
            generator: Network::new(*model),
            discriminator: Network::new(judge),
            head,
        };
        task.plan_generator()?;
        task.plan_discriminator()?;
        Ok(task)
    }

    fn plan_generator(&mut self) -> Result<(), TaskError> {
        let (file, trained) = (self.model.file(), self.rule.generator_steps());
        let steps = file.step_count();
        if trained.is_empty() || trained.end > steps {
            return Err(TaskError::NotAChain { step: steps });
        }
        let layer_of = |index: usize| file.steps().nth(index).map(|step| step.layer());
        if trained.start > 0 && layer_of(trained.start - 1) == layer_of(trained.start) {
            return Err(TaskError::PartOfALayer { step: trained.start });
        }
        self.generator.chain.follow(trained.start..steps)?;
        check_ends(&self.generator.chain, trained.start)?;
        if !self.model.needs_latent_only() {
            return Err(TaskError::Inputs);
        }
        self.generator.train(&trained, self.rule.preset == Preset::Affine)
    }

    fn plan_discriminator(&mut self) -> Result<(), TaskError> {
        let trained = self.rule.discriminator_steps();
        let Self { discriminator, head, .. } = self;
        let last = discriminator.chain.model().file().step_count() - 1;
        discriminator.chain.follow(0..last + 1)?;
        check_ends(&discriminator.chain, 0)?;
        // The head, which is computed apart.
        discriminator.chain.pop();
        discriminator.train(&trained, false)?;
        if trained.contains(&last) {
            discriminator.slots.push(head.weights, Kind::Column, head.gemm.input.channels.div_ceil(8))?;
            discriminator.slots.push(head.bias, Kind::Bias, 1)?;
        }
        Ok(())
    }

    /// Whether the next delta of the generator would hold everything that the model's delta changes.
    pub(crate) fn check_delta(&self) -> Result<(), TaskError> {
        let changes = self.model.delta().into_iter().flat_map(|delta| delta.changes());
        for (target, _) in changes.filter(|(target, _)| target.network == format::Network::Generator) {
            if !self.generator.slots.iter().any(|slot| slot.target() == target) {
                return Err(TaskError::WouldDrop { tensor: target.tensor });
            }
        }
        Ok(())
    }

    /// The model.
    pub fn model(&self) -> &Model<'m> {
        &self.model
    }

    /// How the file has it learn.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// The generator's part.
    pub fn generator(&self) -> &Network<'m> {
        &self.generator
    }

    /// The discriminator's part, its head apart.
    pub fn discriminator(&self) -> &Network<'m> {
        &self.discriminator
    }

    /// The discriminator's last layer.
    pub fn head(&self) -> &Head<'m> {
        &self.head
    }

    /// Values of what the part that learns reads: what the frozen steps before it make of a latent vector.
    pub fn features_len(&self) -> usize {
        self.generator.chain.input_len()
    }

    /// Values of a picture.
    pub fn image_len(&self) -> usize {
        self.model.output_shape().iter().product()
    }

    /// Number of values that move in the generator, and in the discriminator; padding included.
    pub fn trained_len(&self) -> [usize; 2] {
        [self.generator.slots.len(), self.discriminator.slots.len()]
    }

    /// Size of a delta of what is learned.
    pub fn delta_bytes(&self) -> usize {
        self.generator.slots.delta_bytes(&self.model)
    }

    /// Step of the generator before which everything is frozen.
    pub fn first_step(&self) -> usize {
        self.rule.generator_steps().start
    }

    /// Arena offset of what the part that learns reads, in values.
    pub(crate) fn features_at(&self) -> usize {
        let step = self.generator.chain.step(self.first_step());
        step.map_or(0, |step| step.input.offset as usize / size_of::<f32>())
    }
}

impl<'m> Head<'m> {
    fn new(judge: &Model<'m>) -> Result<Self, TaskError> {
        let last = judge.file().step_count() - 1;
        let refused = TaskError::NotAChain { step: last };
        let step = chain::step(judge, last).ok_or(refused)?;
        let gemm = judge.tap_gemm(&step).ok_or(refused)?;
        // One tap at the one pixel: the sum of all products.
        let dense = gemm.taps == [[0, 0]] && gemm.input.height * gemm.input.width == 1;
        if !dense || gemm.output.channels != 1 || gemm.activation != Activation::Identity {
            return Err(refused);
        }
        Ok(Self { gemm, weights: step.weights, bias: step.bias })
    }
}

impl<'m> Network<'m> {
    /// Without layers yet.
    fn new(model: Model<'m>) -> Self {
        Self { chain: Chain::new(model), slots: Slots::EMPTY, lowest: 0 }
    }

    /// Lets the layers move whose steps are among those that are trained.
    fn train(&mut self, trained: &Range<usize>, factors: bool) -> Result<(), TaskError> {
        let Self { chain, slots, lowest } = self;
        *lowest = chain.layers().len();
        for (index, layer) in chain.layers().iter().enumerate().rev() {
            let steps = layer.steps();
            match steps.clone().filter(|step| trained.contains(step)).count() {
                0 => continue,
                count if count < steps.len() => return Err(TaskError::PartOfALayer { step: steps.start }),
                _ => {}
            }
            slots.add(chain, layer, factors)?;
            *lowest = index;
        }
        Ok(())
    }
}

/// The chain reads the network's one input, if it starts with the first step, and writes what the network does.
fn check_ends(chain: &Chain<'_>, first: usize) -> Result<(), TaskError> {
    let file = chain.model().file();
    let last = file.step_count() - 1;
    let output: usize = file.output_shape().iter().product();
    let writes_output =
        chain.step(last).is_some_and(|step| step.output.offset as usize == file.output_offset());
    if !writes_output || chain.layers().last().is_none_or(|layer| layer.output_len != output) {
        return Err(TaskError::NotAChain { step: last });
    }
    let input = file.inputs().next().map(|input| (input.offset, input.len() as usize));
    let read = chain.step(first).map(|step| (step.input.offset, chain.input_len()));
    if first == 0 && input != read {
        return Err(TaskError::NotAChain { step: 0 });
    }
    Ok(())
}
