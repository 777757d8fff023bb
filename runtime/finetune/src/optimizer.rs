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
