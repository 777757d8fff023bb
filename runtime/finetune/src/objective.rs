//! The losses: what a score of a picture costs, and by how much that changes with the score.
//!
//! Every loss is a mean over the pictures of a step, so that pictures can pass one at a time: `real`, `fake` and
//! `generator` give the part of one picture. Where a loss compares pictures with each other, a first pass gathers what it
//! needs in [`Scores`].

/// Which loss both networks minimise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objective {
    /// `D: 1/2 E (D(x) - b)^2 + 1/2 E (D(G) - a)^2`, `G: 1/2 E (D(G) - c)^2`.
    ///
    /// # Source
    /// Mao et al. 2017, "Least Squares Generative Adversarial Networks", arXiv:1611.04076.
    LeastSquares {
        /// Of generated pictures.
        a: f32,
        /// Of real pictures.
        b: f32,
        /// What the generator wants.
        c: f32,
    },
    /// `D: E (D(x) - E D(G) - 1)^2 + E (D(G) - E D(x) + 1)^2`, `G` with the roles exchanged.
    ///
    /// # Source
    /// Jolicoeur-Martineau 2018, "The relativistic discriminator", arXiv:1807.00734, RaLSGAN.
    RelativisticAverage,
    /// `D: E L(x) + weight E max(0, margin |x - G|_1 + L(x) - L(G))`, `G: E L(G)`, with the loss function `L = -D` and the mean
    /// absolute difference of a pair as its distance.
    ///
    /// # Source
    /// Qi 2017, "Loss-Sensitive Generative Adversarial Networks on Lipschitz Densities", arXiv:1701.06264.
    LossSensitive {
        /// Of the distance.
        margin: f32,
        /// Of the hinge.
        weight: f32,
    },
}

/// Loss and its derivative with respect to a score.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// Part of the loss.
    pub loss: f32,
    /// Its derivative.
    pub slope: f32,
}

/// What is known of all pictures of a step before the first gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    /// Pairs of a real and a generated picture, at most [`MAX_BATCH`].
    pub pairs: usize,
    /// Mean score of real pictures.
    pub mean_real: f32,
    /// Mean of its square.
    pub mean_real_square: f32,
    /// Mean score of generated ones.
    pub mean_fake: f32,
    /// A bit for each pair whose hinge is open.
    pub open: u64,
    /// Sum of the hinges of the pairs.
    pub hinges: f32,
}

impl Objective {
    /// Whether a first pass is needed.
    pub fn compares(&self) -> bool {
        !matches!(self, Self::LeastSquares { .. })
    }

    /// Enters a pair that the first pass has scored, whose pictures are `distance` apart.
    pub fn note(&self, scores: &mut Scores, pair: usize, [real, fake]: [f32; 2], distance: f32) {
        let n = scores.pairs as f32;
        scores.mean_real += real / n;
        scores.mean_real_square += real * real / n;
        scores.mean_fake += fake / n;
        if let Self::LossSensitive { margin, .. } = self {
            let hinge = margin * distance - real + fake;
            if hinge > 0.0 {
                scores.open |= 1 << pair;
                scores.hinges += hinge;
            }
        }
    }

    /// The part of the discriminator's loss that a real picture has.
    pub fn real(&self, scores: &Scores, pair: usize, score: f32) -> Part {
        let n = scores.pairs as f32;
        match *self {
            Self::LeastSquares { b, .. } => half_square(score - b, n),
            Self::RelativisticAverage => {
                let above = score - scores.mean_fake - 1.0;
                let below = scores.mean_fake - scores.mean_real + 1.0;
                Part { loss: above * above / n, slope: 2.0 * (above - below) / n }
            }
            Self::LossSensitive { weight, .. } => {
                // All hinges stand in the part of the first picture.
                let hinges = if pair == 0 { weight * scores.hinges } else { 0.0 };
                let slope = -1.0 - weight * scores.open_at(pair);
                Part { loss: (hinges - score) / n, slope: slope / n }
            }
        }
    }

    /// The part of the discriminator's loss that a generated picture has.
    pub fn fake(&self, scores: &Scores, pair: usize, score: f32) -> Part {
        let n = scores.pairs as f32;
        match *self {
            Self::LeastSquares { a, .. } => half_square(score - a, n),
            Self::RelativisticAverage => {
                let below = score - scores.mean_real + 1.0;
                let above = scores.mean_real - scores.mean_fake - 1.0;
                Part { loss: below * below / n, slope: 2.0 * (below - above) / n }
            }
            Self::LossSensitive { weight, .. } => {
                Part { loss: 0.0, slope: weight * scores.open_at(pair) / n }
            }
        }
    }

    /// The part of the generator's loss that a generated picture has.
    pub fn generator(&self, scores: &Scores, score: f32) -> Part {
        let n = scores.pairs as f32;
        match *self {
            Self::LeastSquares { c, .. } => half_square(score - c, n),
            Self::RelativisticAverage => {
                // Real pictures have a part in the loss, and a gradient through the mean score of generated ones.
                let above = score - scores.mean_real - 1.0;
                let below = scores.mean_real - scores.mean_fake + 1.0;
                let spread = scores.mean_real_square - scores.mean_real * scores.mean_real;
                Part { loss: (above * above + below * below + spread) / n, slope: 2.0 * (above - below) / n }
            }
            Self::LossSensitive { .. } => Part { loss: -score / n, slope: -1.0 / n },
        }
    }

    /// The distance between the codes of real and generated pictures: what scores are measured by.
    pub fn scale(&self) -> f32 {
        match *self {
            Self::LeastSquares { a, b, .. } => (b - a).abs().max(f32::MIN_POSITIVE),
            Self::RelativisticAverage | Self::LossSensitive { .. } => 2.0,
        }
    }
}

impl Scores {
    /// Of so many pairs, before the first.
    pub fn of(pairs: usize) -> Self {
        Self { pairs, ..Self::default() }
    }

    fn open_at(&self, pair: usize) -> f32 {
        (self.open >> pair & 1) as f32
    }
}

/// Most pairs of a step.
pub const MAX_BATCH: usize = u64::BITS as usize;

fn half_square(difference: f32, n: f32) -> Part {
    Part { loss: 0.5 * difference * difference / n, slope: difference / n }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Losses and slopes of two pairs by hand.
    #[test]
    fn least_squares_by_hand() {
        let objective = Objective::LeastSquares { a: -1.0, b: 1.0, c: 0.5 };
        let scores = Scores::of(2);
        assert_eq!(objective.real(&scores, 0, 3.0), Part { loss: 1.0, slope: 1.0 });
        assert_eq!(objective.fake(&scores, 1, 1.0), Part { loss: 1.0, slope: 1.0 });
        assert_eq!(objective.generator(&scores, -0.5), Part { loss: 0.25, slope: -0.5 });
        assert!(!objective.compares());
    }

    /// The sum of the parts against the formulas, and slopes against central differences: squares have no third derivative.
    #[test]
    fn comparing_losses_match_their_formulas() {
        let (real, fake, distance) = ([0.3_f32, -0.7, 1.2], [0.9_f32, -0.2, 0.1], [0.5_f32, 0.4, 0.9]);
        let mean = |values: [f32; 3]| values.iter().sum::<f32>() / 3.0;
        let ra = |real: [f32; 3], fake: [f32; 3]| {
            let above = real.map(|score| (score - mean(fake) - 1.0).powi(2));
            mean(above) + mean(fake.map(|score| (score - mean(real) + 1.0).powi(2)))
        };
        let ls = |real: [f32; 3], fake: [f32; 3]| {
            let hinges = core::array::from_fn(|i| (0.8 * distance[i] - real[i] + fake[i]).max(0.0));
            0.5 * mean(hinges) - mean(real)
        };
        let ra_g = |real: [f32; 3], fake: [f32; 3]| ra(fake, real);
        let ls_g = |_: [f32; 3], fake: [f32; 3]| -mean(fake);
        type Loss<'a> = &'a dyn Fn([f32; 3], [f32; 3]) -> f32;
        let cases: [(Objective, Loss<'_>, Loss<'_>); 2] = [
            (Objective::RelativisticAverage, &ra, &ra_g),
            (Objective::LossSensitive { margin: 0.8, weight: 0.5 }, &ls, &ls_g),
        ];
        for (objective, loss_d, loss_g) in cases {
            let mut scores = Scores::of(3);
            for i in 0..3 {
                objective.note(&mut scores, i, [real[i], fake[i]], distance[i]);
            }
            let on_real = core::array::from_fn::<_, 3, _>(|i| objective.real(&scores, i, real[i]));
            let on_fake = core::array::from_fn::<_, 3, _>(|i| objective.fake(&scores, i, fake[i]));
            let for_g = core::array::from_fn::<_, 3, _>(|i| objective.generator(&scores, fake[i]));
            let sum = |parts: &[Part]| parts.iter().map(|part| part.loss).sum::<f32>();
            // A dozen operations on numbers below 10.
            let atol = 12.0 * 10.0 * f32::EPSILON;
            assert!((sum(&on_real) + sum(&on_fake) - loss_d(real, fake)).abs() < atol, "{objective:?}");
            assert!((sum(&for_g) - loss_g(real, fake)).abs() < atol, "{objective:?}");
            let h = 1.0 / 64.0;
            for i in 0..3 {
                let moved = |values: [f32; 3], by: f32| -> [f32; 3] {
                    core::array::from_fn(|at| values[at] + if at == i { by } else { 0.0 })
                };
                let differences = [
                    (loss_d(moved(real, h), fake) - loss_d(moved(real, -h), fake), on_real[i]),
                    (loss_d(real, moved(fake, h)) - loss_d(real, moved(fake, -h)), on_fake[i]),
                    (loss_g(real, moved(fake, h)) - loss_g(real, moved(fake, -h)), for_g[i]),
                ];
                for (difference, part) in differences {
                    assert!(
                        (difference / (2.0 * h) - part.slope).abs() < 2.0 * atol / h,
                        "{objective:?} {i}: {} for {part:?}",
                        difference / (2.0 * h)
                    );
                }
            }
        }
    }
}
