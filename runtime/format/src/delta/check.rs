//! Whether a delta fits a base, and how far it leads from it.

use half::f16;

use super::{Change, Delta, DeltaError, Network, Target};
use crate::{File, Operand, PANEL, Step, Tensor};

impl Delta<'_> {
    /// Checks that the delta was learned from `base`, that every tensor it changes is there with the same rows and type and
    /// is read by tap GEMMs only, and that it is not farther from `base` than `max_distance`, see
    /// [`distance`](Self::distance); an infinite bound allows every distance.
    ///
    /// What concerns the discriminator is checked against its own file, if the caller has one: whoever only draws needs
    /// none.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(
        &self,
        base: &File<'_>,
        discriminator: Option<&File<'_>>,
        max_distance: f32,
    ) -> Result<(), DeltaError> {
        let learned_from = self.summary().base;
        if learned_from != base.sha256() {
            return Err(DeltaError::other_base(&learned_from, &base.sha256()));
        }
        self.check_network(Network::Generator, base)?;
        if let Some(file) = discriminator {
            self.check_network(Network::Discriminator, file)?;
        }
        let distance = self.distance(base);
        if distance > max_distance || max_distance.is_nan() {
            return Err(DeltaError::TooFar { distance, max_distance });
        }
        Ok(())
    }

    /// How far the generator's tensors are from the base's: the L2 norm of the difference of all that are replaced, divided
    /// by the norm of what they replace; or the same of the factors, which replace ones, whichever is more. Infinite where
    /// the base has only zeros or norms overflow.
    pub fn distance(&self, base: &File<'_>) -> f32 {
        let mut norms = [Norms::default(); 2];
        for (target, values) in self.changes().filter(|(target, _)| target.network == Network::Generator) {
            let [replaced, factors] = &mut norms;
            match (target.change, base.tensor(target.tensor as usize)) {
                (Change::Factor, _) => values.each_row(|_, row| factors.add(row, &[1.0; PANEL])),
                (Change::Replace, Some(old)) => values.each_row(|i, row| replaced.add(row, &old.row(i))),
                (Change::Replace, None) => {}
            }
        }
        let [replaced, factors] = norms.map(|norms| norms.relative());
        replaced.max(factors)
    }

    fn check_network(&self, network: Network, file: &File<'_>) -> Result<(), DeltaError> {
        for (index, (target, values)) in self.changes().enumerate() {
            if target.network != network {
                continue;
            }
            let tensor = target.tensor;
            let Some(old) = file.tensor(tensor as usize) else {
                return Err(DeltaError::NoSuchTensor { index, tensor });
            };
            if (old.rows(), old.value_type()) != (values.rows(), values.value_type()) {
                return Err(DeltaError::OtherShape { index, tensor });
            }
            let is_bias = |step: &Step| matches!(step, Step::TapGemm(step) if step.bias == tensor);
            // Where a step adds to what is there, a factor would multiply that too.
            let adds = |step: &Step| matches!(step, Step::TapGemm(step) if step.accumulate);
            let mut steps = file.steps().filter(is_bias);
            let is_scaled = steps.next().is_some_and(|step| !adds(&step)) && !steps.any(|step| adds(&step));
            if target.change == Change::Factor && !is_scaled {
                return Err(DeltaError::NotABias { index, tensor });
            }
        }
        for (index, step) in file.steps().enumerate() {
            let Step::Nest(nest) = step else { continue };
            for operand in [Some(nest.a), Some(nest.b), nest.shift] {
                let Some(Operand::Tensor { index: tensor, .. }) = operand else { continue };
                if self.find(Target { network, tensor, change: Change::Replace }).is_some() {
                    return Err(DeltaError::ReadByNest { step: index, tensor });
                }
            }
        }
        Ok(())
    }
}

impl DeltaError {
    pub(super) fn other_base(learned_from: &[u8; 32], base: &[u8; 32]) -> Self {
        let name = |&[a, b, c, d, ..]: &[u8; 32]| [a, b, c, d];
        Self::OtherBase { learned_from: name(learned_from), base: name(base) }
    }
}

/// Sums of squares.
#[derive(Clone, Copy, Default)]
struct Norms {
    difference: Sum,
    base: Sum,
}

impl Norms {
    fn add(&mut self, new: [f32; PANEL], old: &[f32; PANEL]) {
        let square = |values: [f32; PANEL]| values.iter().map(|v| v * v).sum();
        self.difference.add(square(core::array::from_fn(|lane| new[lane] - old[lane])));
        self.base.add(square(*old));
    }

    fn relative(self) -> f32 {
        if self.difference.sum == 0.0 {
            return 0.0;
        }
        let relative = libm::sqrtf(self.difference.sum / self.base.sum);
        // An overflow is infinite, or not a number after the next addition.
        if self.base.sum.is_finite() && !relative.is_nan() { relative } else { f32::INFINITY }
    }
}

/// A sum whose error does not grow with its length, without the double precision that microcontrollers lack.
///
/// # Source
/// Kahan 1965, "Further remarks on reducing truncation errors".
#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f32,
    /// What the last addition rounded away, negated.
    excess: f32,
}

impl Sum {
    fn add(&mut self, value: f32) {
        let value = value - self.excess;
        let sum = self.sum + value;
        self.excess = (sum - self.sum) - value;
        self.sum = sum;
    }
}

impl Tensor<'_> {
    fn row(&self, index: usize) -> [f32; PANEL] {
        match self {
            Self::F16(rows) => rows.get(index).map_or([0.0; PANEL], |row| row.map(f16::to_f32)),
            Self::F32(rows) => rows.get(index).copied().unwrap_or([0.0; PANEL]),
        }
    }

    fn each_row(&self, mut call: impl FnMut(usize, [f32; PANEL])) {
        (0..self.rows()).for_each(|index| call(index, self.row(index)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sums_stay_exact() {
        let values = core::iter::repeat_n(0.1, 1_000_000);
        let (mut ours, mut plain) = (Sum::default(), 0.0);
        for value in values.clone() {
            ours.add(value);
            plain += value;
        }
        let exact: f64 = values.map(f64::from).sum();
        // Two roundings, however many additions (Higham 2002, section 4.3); a plain sum is a percent off.
        assert!((f64::from(ours.sum) - exact).abs() <= f64::from(f32::EPSILON) * exact, "{}", ours.sum);
        assert!((f64::from(plain) - exact).abs() > 0.005 * exact, "{plain}");
    }
}
