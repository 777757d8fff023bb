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
            let is_bias = |step: Step| matches!(step, Step::TapGemm(step) if step.bias == tensor);
            if target.change == Change::Factor && !file.steps().any(is_bias) {
                return Err(DeltaError::NotABias { index, tensor });
            }
        }
        for (index, step) in file.steps().enumerate() {
            let Step::Nest(nest) = step else { continue };
            for operand in [nest.a, nest.b] {
                let Operand::Tensor { index: tensor, .. } = operand else { continue };
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

/// Sums of squares. Eight are added in single precision and the rest in double, which costs a microcontroller little and
/// is exact to some 2^-20 however many there are.
#[derive(Clone, Copy, Default)]
struct Norms {
    difference: f64,
    base: f64,
}

impl Norms {
    fn add(&mut self, new: [f32; PANEL], old: &[f32; PANEL]) {
        let square = |values: [f32; PANEL]| f64::from(values.iter().map(|v| v * v).sum::<f32>());
        self.difference += square(core::array::from_fn(|lane| new[lane] - old[lane]));
        self.base += square(*old);
    }

    fn relative(self) -> f32 {
        if self.difference == 0.0 {
            return 0.0;
        }
        let relative = libm::sqrtf((self.difference / self.base) as f32);
        if relative.is_nan() { f32::INFINITY } else { relative }
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
