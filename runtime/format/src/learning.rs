//! The learning section: which steps a device may train, how, and the discriminator that judges what they draw.

use core::ops::Range;

use crate::layout::{LEARNING_RECORD_BYTES, f32_at, u16_at};
use crate::{File, FormatError, Role, Step, ValueType};

/// What a file says of learning.
#[derive(Clone, Copy, Debug)]
pub struct Learning<'a> {
    /// How.
    pub rule: Rule,
    /// A program from a picture to one score.
    pub discriminator: File<'a>,
}

/// How a generator learns.
#[derive(Clone, Debug, Copy, PartialEq)]
pub struct Rule {
    /// What of the trained steps moves.
    pub preset: Preset,
    /// Least squares: the score that the discriminator learns to give to generated pictures.
    pub a: f32,
    /// The score that it learns to give to real pictures.
    pub b: f32,
    /// The score that the generator learns to get.
    pub c: f32,
    /// Learning rate of the generator.
    pub lr_g: f32,
    /// Learning rate of the discriminator.
    pub lr_d: f32,
    /// Farthest that the generator's trained tensors may move: the Euclidean distance from what the file holds, relative
    /// to its norm.
    pub bound: f32,
    /// First trained step of the generator, and one past the last.
    pub generator: [u16; 2],
    /// First trained step of the discriminator, and one past the last.
    pub discriminator: [u16; 2],
}

/// Which part of a generator learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Preset {
    /// Weights and biases of the last layers: stroke, texture, colour.
    Tail = 0,
    /// A factor and a bias for every channel of every layer.
    Affine = 1,
    /// Weights and biases of the first layer.
    Head = 2,
    /// Every weight and every bias; for hosts.
    All = 3,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Tail, Self::Affine, Self::Head, Self::All];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tail => "tail",
            Self::Affine => "affine",
            Self::Head => "head",
            Self::All => "all",
        }
    }
}

impl Rule {
    /// The trained steps of the generator.
    pub fn generator_steps(&self) -> Range<usize> {
        range(self.generator)
    }

    /// The trained steps of the discriminator.
    pub fn discriminator_steps(&self) -> Range<usize> {
        range(self.discriminator)
    }

    fn decode(record: &[u8]) -> Result<Self, &'static str> {
        let pair = |at| [u16_at(record, at), u16_at(record, at + 2)];
        let preset = record.get(24).copied().unwrap_or(0);
        let rule = Self {
            preset: *Preset::ALL.get(usize::from(preset)).ok_or("preset")?,
            a: f32_at(record, 0),
            b: f32_at(record, 4),
            c: f32_at(record, 8),
            lr_g: f32_at(record, 12),
            lr_d: f32_at(record, 16),
            bound: f32_at(record, 20),
            generator: pair(32),
            discriminator: pair(36),
        };
        let reserved = [record.get(25..32), record.get(40..LEARNING_RECORD_BYTES)];
        if reserved.into_iter().any(|bytes| bytes.is_none_or(|bytes| bytes.iter().any(|&byte| byte != 0))) {
            return Err("reserved");
        }
        if ![rule.a, rule.b, rule.c].iter().all(|code| code.is_finite()) {
            return Err("a, b, c");
        }
        let positive = |value: f32| value > 0.0 && value.is_finite();
        if ![rule.lr_g, rule.lr_d, rule.bound].iter().all(|&value| positive(value)) {
            return Err("lr_g, lr_d or bound");
        }
        Ok(rule)
    }

    /// The record of this rule.
    #[cfg(feature = "alloc")]
    pub(crate) fn encode(&self) -> [u8; LEARNING_RECORD_BYTES] {
        let mut record = [0; LEARNING_RECORD_BYTES];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        for (i, value) in [self.a, self.b, self.c, self.lr_g, self.lr_d, self.bound].iter().enumerate() {
            put(4 * i, &value.to_le_bytes());
        }
        put(24, &[self.preset as u8]);
        for (i, step) in self.generator.iter().chain(&self.discriminator).enumerate() {
            put(32 + 2 * i, &step.to_le_bytes());
        }
        record
    }
}

impl<'a> Learning<'a> {
    /// Reads the section of `file`.
    pub(crate) fn parse(file: &File<'a>, section: &'a [u8]) -> Result<Self, FormatError> {
        let refuse = |field| FormatError::Learning { field };
        let (record, discriminator) =
            section.split_at_checked(LEARNING_RECORD_BYTES).ok_or(refuse("learning_bytes"))?;
        let rule = Rule::decode(record).map_err(refuse)?;
        let judge = File::parse(discriminator)?;
        if judge.flash_bytes() != discriminator.len() {
            return Err(refuse("learning_bytes"));
        }
        let mut inputs = judge.inputs();
        let shape = file.output_shape().map(|extent| extent as u32);
        let judges = |input: crate::Input| input.role == Role::Image && input.shape == shape;
        if !inputs.next().is_some_and(judges) || inputs.next().is_some() || judge.output_shape() != [1; 3] {
            return Err(refuse("discriminator"));
        }
        if judge.can_learn() {
            return Err(refuse("discriminator"));
        }
        trainable(file, rule.generator_steps()).ok_or(refuse("generator steps"))?;
        trainable(&judge, rule.discriminator_steps()).ok_or(refuse("discriminator steps"))?;
        Ok(Self { rule, discriminator: judge })
    }
}

/// Whether there are such steps, and all are tap GEMMs of single-precision activations.
fn trainable(file: &File<'_>, steps: Range<usize>) -> Option<()> {
    let single = |step| matches!(step, Step::TapGemm(step) if step.values == ValueType::F32);
    let inside = steps.start < steps.end && steps.end <= file.step_count();
    (inside && file.steps().skip(steps.start).take(steps.len()).all(single)).then_some(())
}

fn range([first, end]: [u16; 2]) -> Range<usize> {
    first.into()..end.into()
}
