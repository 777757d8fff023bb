//! Named ways to train: what a method changes in a configuration.

use anyhow::{Context as _, Result};

use crate::config::Config;
use crate::objective::{LeastSquares, Objective};

/// A published way to train.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// What the command line calls it.
    pub name: &'static str,
    /// One sentence about it.
    pub description: &'static str,
    /// The paper.
    pub source: &'static str,
    apply: fn(&mut Config),
}

/// All methods.
pub const METHODS: &[Method] = &[
    Method {
        name: "least-squares",
        description: "Squared distances from 0 for generated and 1 for real images",
        source: "Mao et al. 2017, arXiv:1611.04076, 0-1 coding",
        apply: |config| config.objective = Objective::LeastSquares(LeastSquares { a: 0.0, b: 1.0, c: 1.0 }),
    },
    Method {
        name: "least-squares-symmetric",
        description: "Squared distances from -1 and 1, the generator aiming at 0",
        source: "Mao et al. 2017, arXiv:1611.04076, the codes of Pearson's divergence",
        apply: |config| config.objective = Objective::LeastSquares(LeastSquares { a: -1.0, b: 1.0, c: 0.0 }),
    },
];

impl Method {
    /// The method of that name.
    ///
    /// # Errors
    /// When there is none; the message lists all names.
    pub fn named(name: &str) -> Result<&'static Self> {
        METHODS.iter().find(|method| method.name == name).with_context(|| {
            let names: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
            format!("no method is called {name:?}; there are {}", names.join(", "))
        })
    }

    /// Changes `config` into a run of this method.
    pub fn apply(&self, config: &mut Config) {
        (self.apply)(config);
    }
}
