//! Update rules on flat numbers in `f64`, and what flows back through one update.

use crate::training::optimizer::{EPSILON, RMS_MEMORY, Rule};

/// Weights and moments before an update.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Number of updates before.
    pub(super) time: u64,
    pub(super) theta: Vec<f64>,
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

/// The derivative of a final loss with respect to a state.
#[derive(Clone, Debug)]
pub(super) struct Adjoint {
    pub(super) theta: Vec<f64>,
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

/// The state after an update with `gradient`.
pub(super) fn advance(rule: Rule, lr: f64, state: &State, gradient: &[f64]) -> State {
    let mut next = State { time: state.time + 1, ..state.clone() };
    let update = Update::new(rule, lr, next.time);
    let each = next.theta.iter_mut().zip(&mut next.first).zip(&mut next.second).zip(gradient);
    for (((theta, first), second), &g) in each {
        (*first, *second) = update.moments(*first, *second, g);
        *theta -= update.lr * update.numerator(*first, g) / update.denominator(*second);
    }
    next
}

/// Takes `adjoint`, of the state after an update with `gradient`, to that of the `state` before it, as far as it does not pass
/// through the gradient; returns the adjoint of the gradient.
pub(super) fn pull_back(
    rule: Rule,
    lr: f64,
    state: &State,
    gradient: &[f64],
    adjoint: &mut Adjoint,
) -> Vec<f64> {
    let update = Update::new(rule, lr, state.time + 1);
    let before = state.first.iter().zip(&state.second).zip(gradient);
    let each = adjoint.theta.iter().zip(&mut adjoint.first).zip(&mut adjoint.second).zip(before);
    each.map(|(((theta, first), second), ((&m, &v), &g))| {
        let (m, v) = update.moments(m, v, g);
        let denominator = update.denominator(v);
        let to_numerator = -update.lr * theta / denominator;
        // A second moment of zero has seen no gradient but zero, and so has the numerator: nothing flows through its root,
        // whatever the slope of that.
        if update.has_second && v > 0.0 {
            let slope = update.root / (2.0 * v.sqrt());
            *second -= to_numerator * update.numerator(m, g) / denominator * slope;
        }
        let mut to_gradient = 2.0 * update.second.1 * g * *second;
        if update.has_first {
            *first += to_numerator;
            to_gradient += update.first.1 * *first;
        } else {
            to_gradient += to_numerator;
        }
        *first *= update.first.0;
        *second *= update.second.0;
        to_gradient
    })
    .collect()
}

/// What all rules have in common: `m = a m + b g`, `v = c v + d g^2`, `theta -= lr n / (sqrt(v) root + eps)` with `n` either
/// `m` or `g`; those without a second moment divide by one.
struct Update {
    lr: f64,
    /// a and b.
    first: (f64, f64),
    /// c and d.
    second: (f64, f64),
    root: f64,
    has_first: bool,
    has_second: bool,
}

impl Update {
    fn new(rule: Rule, lr: f64, time: u64) -> Self {
        let average = |memory: f32| (f64::from(memory), 1.0 - f64::from(memory));
        let (lr, root) = rule.bias_corrected(time, lr);
        let none = (0.0, 0.0);
        let (first, second) = match rule {
            Rule::Adam { beta_1, beta_2 } => (average(beta_1), average(beta_2)),
            Rule::RmsProp => (none, average(RMS_MEMORY)),
            Rule::Sgd { momentum } => ((f64::from(momentum), 1.0), none),
        };
        Self { lr, first, second, root, has_first: first != none, has_second: second != none }
    }

    fn moments(&self, m: f64, v: f64, g: f64) -> (f64, f64) {
        (self.first.0 * m + self.first.1 * g, self.second.0 * v + self.second.1 * g * g)
    }

    fn numerator(&self, m: f64, g: f64) -> f64 {
        if self.has_first { m } else { g }
    }

    fn denominator(&self, v: f64) -> f64 {
        if self.has_second { v.sqrt() * self.root + f64::from(EPSILON) } else { 1.0 }
    }
}
