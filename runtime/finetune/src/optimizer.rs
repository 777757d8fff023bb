//! Adam and SGD with momentum over one vector of values.

/// How values follow their gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam, with corrected moments: two values of state for each that moves.
    ///
    /// # Source
    /// Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980.
    Adam {
        /// Decay of the mean of gradients.
        beta_1: f32,
        /// Decay of the mean of their squares.
        beta_2: f32,
    },
    /// SGD with momentum, `v = momentum v + gradient`: one value of state, where memory is short.
    Momentum {
        /// Decay of the sum of gradients.
        momentum: f32,
    },
}

impl Optimizer {
    /// Values of state for each that moves.
    pub fn states(&self) -> usize {
        match self {
            Self::Adam { .. } => 2,
            Self::Momentum { .. } => 1,
        }
    }

    /// Moves `values`. `state`: [`states`](Self::states) times their number, zero before the first step; `step` counts from 1.
    ///
    /// # Panics
    /// When `gradients` or `state` have another length.
    pub fn step(&self, rate: f32, step: u32, gradients: &[f32], values: &mut [f32], state: &mut [f32]) {
        assert_eq!(gradients.len(), values.len(), "a gradient for each value");
        assert_eq!(state.len(), self.states() * values.len(), "the state of each value");
        match *self {
            Self::Adam { beta_1, beta_2 } => {
                let correct = |beta: f32| 1.0 / (1.0 - power(beta, step));
                let (correct_1, correct_2) = (correct(beta_1), correct(beta_2));
                let (first, second) = state.split_at_mut(values.len());
                let moments = first.iter_mut().zip(second);
                for ((value, &gradient), (first, second)) in values.iter_mut().zip(gradients).zip(moments) {
                    *first = beta_1 * *first + (1.0 - beta_1) * gradient;
                    *second = beta_2 * *second + (1.0 - beta_2) * gradient * gradient;
                    let spread = libm::sqrtf(*second * correct_2) + EPSILON;
                    *value -= rate * (*first * correct_1) / spread;
                }
            }
            Self::Momentum { momentum } => {
                for ((value, &gradient), velocity) in values.iter_mut().zip(gradients).zip(state) {
                    *velocity = momentum * *velocity + gradient;
                    *value -= rate * *velocity;
                }
            }
        }
    }
}

/// `base^exponent` by squaring: the same bits everywhere.
fn power(mut base: f32, mut exponent: u32) -> f32 {
    let mut result = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    result
}

const EPSILON: f32 = 1e-8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Adam in double precision, straight from the paper.
    fn adam(mut w: f64, gradients: &[f64], rate: f64, beta_1: f64, beta_2: f64) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in (1..).zip(gradients) {
            m = beta_1 * m + (1.0 - beta_1) * g;
            v = beta_2 * v + (1.0 - beta_2) * g * g;
            w -= rate * (m / (1.0 - beta_1.powi(t))) / ((v / (1.0 - beta_2.powi(t))).sqrt() + 1e-8);
        }
        w
    }

    #[test]
    fn adam_follows_the_paper() {
        let gradients = [3.0, -0.5, 0.25, 1e-3, -2.0];
        let optimizer = Optimizer::Adam { beta_1: 0.5, beta_2: 0.75 };
        let (mut value, mut state) = ([0.5_f32], [0.0; 2]);
        for (step, &gradient) in (1..).zip(&gradients) {
            optimizer.step(0.01, step, &[gradient as f32], &mut value, &mut state);
        }
        let expected = adam(0.5, &gradients, 0.01, 0.5, 0.75);
        // A dozen roundings of each step, which moves by at most twice the rate, and one of the value.
        let atol = 5.0 * f64::from(f32::EPSILON) * (12.0 * 0.02 + 0.5);
        assert!((f64::from(value[0]) - expected).abs() < atol, "{} {expected}", value[0]);
    }

    #[test]
    fn momentum_adds_up() {
        let (mut value, mut state) = ([1.0, 1.0], [0.0; 2]);
        for step in 1..=3 {
            Optimizer::Momentum { momentum: 0.5 }.step(0.25, step, &[1.0, 0.0], &mut value, &mut state);
        }
        // Velocities 1, 1.5 and 1.75.
        assert_eq!(value, [1.0 - 0.25 * 4.25, 1.0]);
    }
}
