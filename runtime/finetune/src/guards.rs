//! When learning goes wrong, and how that shows.

use crate::StepError;
use crate::engine::Outcome;
use crate::objective::Objective;

/// Limits, beyond which learning stops and is undone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guards {
    /// Mean score of real pictures less that of generated ones, over the last 32 steps or so, in distances of the
    /// codes a and b: beyond it the discriminator has won.
    pub gap: f32,
    /// Least difference between generated pictures, relative to what it was at the start.
    pub diversity: f32,
    /// Most steps.
    pub step_cap: u32,
}

impl Default for Guards {
    fn default() -> Self {
        // Least squares draws scores to its codes, which are one distance apart: four times that is no equilibrium.
        Self { gap: 4.0, diversity: 0.25, step_cap: 100_000 }
    }
}

/// What the guards have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Watch {
    gap: f32,
    /// Mean difference of generated pictures at the start.
    first_difference: f32,
}

impl Watch {
    /// After a step.
    pub(crate) fn look(
        &mut self,
        guards: Option<&Guards>,
        objective: &Objective,
        step: u32,
        [on_d, on_g]: [&Outcome; 2],
    ) -> Result<(), StepError> {
        if !(on_d.loss.is_finite() && on_g.loss.is_finite()) {
            return Err(StepError::NotFinite { step });
        }
        let weight = 1.0 / HORIZON.min(step + 1) as f32;
        self.gap += weight * (on_d.real - on_d.fake - self.gap);
        match guards {
            Some(guards) if self.gap > guards.gap * objective.scale() => {
                Err(StepError::Gap { step, gap: self.gap })
            }
            Some(guards) if step + 1 > guards.step_cap => Err(StepError::StepCap),
            _ => Ok(()),
        }
    }

    /// After some pictures were drawn, which differ by `difference`.
    pub(crate) fn compare(
        &mut self,
        guards: Option<&Guards>,
        step: u32,
        difference: f32,
    ) -> Result<(), StepError> {
        if step == 0 {
            self.first_difference = difference;
        }
        let ratio = difference / self.first_difference.max(f32::MIN_POSITIVE);
        match guards {
            Some(guards) if ratio < guards.diversity => Err(StepError::Diversity { step, ratio }),
            _ => Ok(()),
        }
    }
}

/// Steps over which the gap is averaged.
pub(crate) const HORIZON: u32 = 32;
