//! What can be wrong with a run, and how it shows.
//!
//! Rules look at windows of vitals and of the losses between them, and know no network.

use core::fmt;

use burn::tensor::{Device, Tensor};

use super::Vitals;
use crate::network::values;
use crate::objective::{Judged, Objective, Pair};
use crate::training::Losses;

/// Something wrong; its text says what to try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// The discriminator tells all images apart, for long: the generator has little left to learn from.
    DiscriminatorWins {
        /// Steps done.
        step: usize,
        /// Share of pairs that it ordered rightly.
        ordered: f32,
    },
    /// Generated images differ much less than real ones.
    Collapse {
        /// Steps done.
        step: usize,
        /// Their diversity, as a part of that of real images.
        diversity: f32,
    },
    /// The generator's loss goes up and down, and neither network wins.
    Oscillation {
        /// Steps done.
        step: usize,
        /// Changes between clearly above and clearly below its mean.
        swings: usize,
        /// Number of steps in which they were.
        steps: usize,
    },
}

impl Finding {
    /// Whether both are of one kind.
    pub fn is_like(&self, other: &Self) -> bool {
        core::mem::discriminant(self) == core::mem::discriminant(other)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiscriminatorWins { step, ordered } => write!(
                f,
                "step {step}: the discriminator has long told generated images from real ones ({:.1} % of pairs), and the \
                 generator learns little: lower --lr-d, or try --method r1, spectral or instance-noise",
                ordered * 100.0
            ),
            Self::Collapse { step, diversity } => write!(
                f,
                "step {step}: generated images differ {:.0} % as much as real ones, the generator has collapsed: lower both \
                 learning rates, or try --method r1, r3gan, pacgan-2 or unrolled-5",
                diversity * 100.0
            ),
            Self::Oscillation { step, swings, steps } => write!(
                f,
                "step {step}: the generator's loss swung {swings} times in {steps} steps, the networks run in circles: lower \
                 both learning rates, raise --ema-decay, or try --method r1"
            ),
        }
    }
}

/// Rules for one objective.
pub(super) struct Rules {
    /// The discriminator's loss when it says 0 of everything; 0 for objectives of which that is no scale.
    pub(super) undecided: f32,
    /// Whether a discriminator that wins leaves the generator without gradients.
    may_win: bool,
    collapse_below: f32,
}

/// Looks that a judgement of the discriminator rests on.
const WIN_WINDOW: usize = 10;
/// How many of them have to agree: updates that overshoot interrupt a win for a moment.
const MOST: usize = 8;
/// Share of pairs in order from which scores do not overlap any more.
const ALL_ORDERED: f32 = 0.995;
/// Share of the undecided loss up to which a loss is near its minimum, which is 0.
const NEAR_MINIMUM: f32 = 0.05;
/// Looks that a judgement of diversity rests on.
const COLLAPSE_WINDOW: usize = 5;
/// Looks before which images that never differed are still on their way.
const WARM_UP: usize = 40;
/// Looks that a judgement of oscillation rests on.
const SWING_WINDOW: usize = 20;
/// Three periods.
const SWINGS: usize = 6;
/// How far a swing goes from the mean, as a part of it or of the loss of the undecided.
const SWING: f32 = 0.2;
/// How far it goes at least, in standard errors of a mean between two looks.
const SWING_ERRORS: f32 = 4.0;

impl Rules {
    pub(super) fn new(objective: &Objective, collapse_below: f32) -> Self {
        let device = Device::flex();
        let judged = || Judged {
            images: Tensor::zeros([1, 1, 1, 1], &device),
            scores: Tensor::zeros([1, 1], &device),
            features: Tensor::zeros([1, 1], &device),
        };
        let pair = Pair { real: judged(), fake: judged() };
        Self {
            undecided: values(objective.discriminator_loss(&pair))[0],
            // Critics are trained to win: their gradients do not fade, and the offset of their scores is free.
            may_win: !matches!(objective, Objective::Wasserstein(_) | Objective::LossSensitive(_)),
            collapse_below,
        }
    }

    /// All that is wrong after the last of `vitals`. `losses` are those of all steps, later ones are not looked at.
    pub(super) fn findings(&self, vitals: &[Vitals], losses: &[Losses]) -> Vec<Finding> {
        [self.discriminator_wins(vitals, losses), self.collapse(vitals), self.oscillation(vitals, losses)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Scores do not overlap in most of a window, and either the discriminator's loss is near its minimum in as much of it or the
    /// generator's grows: each mean between two looks of the second half is above each of the first, which has a chance of 1 in
    /// 252 where there is no trend.
    fn discriminator_wins(&self, vitals: &[Vitals], losses: &[Losses]) -> Option<Finding> {
        let window = last(vitals, WIN_WINDOW)?;
        let are_apart = window.iter().filter(|v| v.ordered >= ALL_ORDERED).count() >= MOST;
        if !self.may_win || !are_apart {
            return None;
        }
        let means = |loss: fn(&Losses) -> f32| -> Vec<f32> {
            blocks(vitals, losses, WIN_WINDOW).map(|block| mean_and_error(block, loss).0).collect()
        };
        let near = means(|l| l.discriminator).into_iter().filter(|&m| m <= NEAR_MINIMUM * self.undecided);
        let is_at_minimum = self.undecided > 0.0 && near.count() >= MOST;
        let generator = means(|l| l.generator);
        let (before, after) = generator.split_at(generator.len() / 2);
        let highest = before.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let grows = after.iter().all(|&mean| mean > highest);
        let ordered = window.iter().map(|v| v.ordered).sum::<f32>() / WIN_WINDOW as f32;
        (is_at_minimum || grows).then(|| Finding::DiscriminatorWins { step: step_of(vitals), ordered })
    }

    /// Low diversity for a whole window, of images that differed once, or had the time to.
    pub(super) fn collapse(&self, vitals: &[Vitals]) -> Option<Finding> {
        let window = last(vitals, COLLAPSE_WINDOW)?;
        let is_low = |v: &Vitals| v.diversity < self.collapse_below;
        if !window.iter().all(is_low) || vitals.len() < WARM_UP && vitals.iter().all(is_low) {
            return None;
        }
        let diversity = window.iter().map(|v| v.diversity).sum::<f32>() / COLLAPSE_WINDOW as f32;
        Some(Finding::Collapse { step: step_of(vitals), diversity })
    }

    /// Means of the generator's loss go from clearly above to clearly below their mean, and back, several times. What happens
    /// within two looks is noise; a trend swings once; and a loss that is small because both sides are even is not large against
    /// that of the undecided. Losses without such a scale are not judged.
    fn oscillation(&self, vitals: &[Vitals], losses: &[Losses]) -> Option<Finding> {
        last(vitals, SWING_WINDOW)?;
        let means: Vec<(f32, f32)> = blocks(vitals, losses, SWING_WINDOW)
            .map(|block| mean_and_error(block, |l| l.generator))
            .collect();
        let average = |values: &mut dyn Iterator<Item = f32>| values.sum::<f32>() / means.len() as f32;
        let centre = average(&mut means.iter().map(|&(mean, _)| mean));
        let level = average(&mut means.iter().map(|&(mean, _)| mean.abs()));
        let error = average(&mut means.iter().map(|&(_, error)| error));
        // Half of the undecided loss is that of one side.
        let reach = (SWING * level.max(self.undecided / 2.0)).max(SWING_ERRORS * error);
        let mut sides: Vec<bool> = means
            .iter()
            .filter(|&&(mean, _)| (mean - centre).abs() > reach)
            .map(|&(mean, _)| mean > centre)
            .collect();
        sides.dedup();
        let swings = sides.len().saturating_sub(1);
        let step = step_of(vitals);
        let steps = step - start_of_blocks(vitals, SWING_WINDOW);
        (self.undecided > 0.0 && swings >= SWINGS).then_some(Finding::Oscillation { step, swings, steps })
    }
}

fn last(vitals: &[Vitals], len: usize) -> Option<&[Vitals]> {
    vitals.len().checked_sub(len).map(|start| &vitals[start..])
}

fn step_of(vitals: &[Vitals]) -> usize {
    vitals.last().map_or(0, |v| v.step)
}

/// The step of the look before the last `len` ones.
fn start_of_blocks(vitals: &[Vitals], len: usize) -> usize {
    step_of(&vitals[..vitals.len() - len])
}

/// The losses that lead to each of the last `len` looks.
fn blocks<'a>(vitals: &'a [Vitals], losses: &'a [Losses], len: usize) -> impl Iterator<Item = &'a [Losses]> {
    let mut start = start_of_blocks(vitals, len);
    vitals[vitals.len() - len..].iter().map(move |v| &losses[core::mem::replace(&mut start, v.step)..v.step])
}

/// The mean, and its standard error if the losses were independent.
fn mean_and_error(block: &[Losses], loss: fn(&Losses) -> f32) -> (f32, f32) {
    let n = block.len().max(1) as f32;
    let mean = block.iter().map(loss).sum::<f32>() / n;
    let variance = block.iter().map(|l| (loss(l) - mean).powi(2)).sum::<f32>() / n;
    (mean, (variance / n).sqrt())
}
