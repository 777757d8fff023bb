//! When to stop: looks at both networks while they learn, for what goes wrong, and at the averaged generator for what gets better.
//!
//! In: a [`Trainer`] after each step. Out: [`Finding`]s with advice, [`Evaluation`]s against held-out images, and a [`Stop`] when
//! there is no point in going on. Looking changes nothing: a watched run has the bits of one that is not. All that later
//! steps depend on is the [`History`], which a checkpoint keeps, so that a run cut in two finds, evaluates and stops as a whole
//! one does.

mod config;
mod evaluation;
mod finding;
#[cfg(test)]
mod tests;
mod vitals;

use core::fmt::{self, Write};

use anyhow::{Context, Result, ensure};

pub use config::{Metric, OnCollapse, WatchConfig};
pub use evaluation::Evaluation;
pub use finding::Finding;
pub use vitals::Vitals;

use super::Trainer;
use crate::checkpoint::Checkpoint;
use crate::dataset::Dataset;
use evaluation::Evaluator;
use finding::Rules;
use vitals::Subjects;

/// What a watch remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Looks at both networks, oldest first.
    pub vitals: Vec<Vitals>,
    /// What the evaluations measured, e.g. `kid pixels 7x7 on 1000 of mnist`; empty before the first one.
    pub metric: String,
    /// Evaluations of the averaged generator, oldest first.
    pub evaluations: Vec<Evaluation>,
}

impl History {
    /// The best evaluation, the first one of equals.
    pub fn best(&self) -> Option<Evaluation> {
        self.evaluations
            .iter()
            .copied()
            .reduce(|best, next| if next.value < best.value { next } else { best })
    }

    /// Evaluations since the best one.
    pub fn since_best(&self) -> usize {
        let Some(best) = self.best() else { return 0 };
        self.evaluations.iter().rev().take_while(|evaluation| evaluation.step != best.step).count()
    }

    /// The evaluations as a table with the columns step, metric and value.
    pub fn evaluations_csv(&self) -> String {
        let mut csv = String::from("step,metric,value\n");
        for Evaluation { step, value } in &self.evaluations {
            let _ = writeln!(csv, "{step},{},{value}", self.metric);
        }
        csv
    }

    /// The looks as a table with the columns step, ordered and diversity.
    pub fn vitals_csv(&self) -> String {
        let mut csv = String::from("step,ordered,diversity\n");
        for Vitals { step, ordered, diversity } in &self.vitals {
            let _ = writeln!(csv, "{step},{ordered},{diversity}");
        }
        csv
    }
}

/// Why a run ends before its last step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// As many evaluations as the patience brought nothing better.
    Patience {
        /// The best one.
        best: Evaluation,
        /// Evaluations since then.
        evaluations: usize,
    },
    /// The images collapsed, and [`OnCollapse::Stop`] was asked for.
    Collapse(Finding),
}

impl Stop {
    /// In one word, for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Patience { .. } => "patience",
            Self::Collapse(_) => "collapse",
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patience { best, evaluations } => {
                write!(f, "{evaluations} evaluations in a row brought nothing better than step {}", best.step)
            }
            Self::Collapse(finding) => finding.fmt(f),
        }
    }
}

/// What a step brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// What went wrong for the first time.
    pub findings: Vec<Finding>,
    /// Present when one was due.
    pub evaluation: Option<Evaluation>,
    /// Whether this evaluation is the best so far.
    pub is_best: bool,
}

/// Looks at a run.
pub struct Watch {
    config: WatchConfig,
    rules: Rules,
    subjects: Option<Subjects>,
    evaluator: Option<Evaluator>,
    history: History,
    found: Vec<Finding>,
}

impl Watch {
    /// A watch of `trainer`, which learns from `train` and has this history. `held_out` is what evaluations compare with;
    /// a run without evaluations needs none.
    ///
    /// # Errors
    /// When the classifier cannot be used, there are too few held-out images, or the history is one of another metric.
    pub fn new(
        trainer: &Trainer,
        history: History,
        train: &Dataset,
        held_out: Option<&Dataset>,
    ) -> Result<Self> {
        let config = trainer.config().watch.clone();
        let subjects = (config.every > 0).then(|| Subjects::choose(trainer.config(), train)).flatten();
        let evaluator = if config.eval_every > 0 {
            let held_out = held_out.context("an evaluation needs held-out images")?;
            Some(Evaluator::new(trainer.config(), held_out)?)
        } else {
            None
        };
        let rules = Rules::new(&trainer.config().objective, config.collapse_below as f32);
        let mut watch = Self { config, rules, subjects, evaluator, history, found: vec![] };
        if let Some(metric) = watch.metric()
            && !watch.history.evaluations.is_empty()
        {
            ensure!(
                watch.history.metric == metric,
                "the evaluations so far are of {}, not of {metric}: they cannot be compared",
                watch.history.metric
            );
        }
        // What was found before is not said again.
        for looks in 1..=watch.history.vitals.len() {
            watch.find(trainer, looks);
        }
        Ok(watch)
    }

    /// Trains until the last step or a reason to stop; `observer` sees the state after every step.
    ///
    /// # Errors
    /// When a step or an evaluation fails, or the observer says so.
    pub fn run(
        &mut self,
        trainer: &mut Trainer,
        dataset: &Dataset,
        mut observer: impl FnMut(&Trainer, &Self, &Seen) -> Result<()>,
    ) -> Result<Option<Stop>> {
        while self.stop().is_none() && trainer.step_count() < trainer.config().training.steps {
            trainer.step(dataset)?;
            let seen = self.see(trainer)?;
            observer(trainer, self, &seen)?;
        }
        Ok(self.stop())
    }

    /// Looks at the run after a step, where a look is due.
    ///
    /// # Errors
    /// When an evaluation fails, or a loss is no longer finite.
    pub fn see(&mut self, trainer: &mut Trainer) -> Result<Seen> {
        let step = trainer.step_count();
        let due = |every: usize| every > 0 && step.is_multiple_of(every);
        let mut seen = Seen::default();
        if due(self.config.every)
            && let Some(subjects) = &self.subjects
        {
            // On a GPU the last of them have not been read yet.
            trainer.read_losses()?;
            self.history.vitals.push(subjects.look(trainer));
            seen.findings = self.find(trainer, self.history.vitals.len());
        }
        if due(self.config.eval_every)
            && let Some(evaluator) = &self.evaluator
        {
            let value = evaluator.value(trainer).with_context(|| format!("evaluating step {step}"))?;
            let evaluation = Evaluation { step, value };
            evaluator.name().clone_into(&mut self.history.metric);
            self.history.evaluations.push(evaluation);
            seen.is_best = self.history.best() == Some(evaluation);
            seen.evaluation = Some(evaluation);
        }
        Ok(seen)
    }

    /// A reason to end the run now.
    pub fn stop(&self) -> Option<Stop> {
        if self.config.on_collapse == OnCollapse::Stop
            && let Some(finding) = self.rules.collapse(&self.history.vitals)
        {
            return Some(Stop::Collapse(finding));
        }
        let evaluations = self.history.since_best();
        let best = self.history.best()?;
        let is_out_of_patience = self.config.patience > 0 && evaluations >= self.config.patience;
        is_out_of_patience.then_some(Stop::Patience { best, evaluations })
    }

    /// What is remembered of the run.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What evaluations measure, if there are any.
    pub fn metric(&self) -> Option<&str> {
        self.evaluator.as_ref().map(Evaluator::name)
    }

    /// Everything needed to go on later, the history included.
    pub fn checkpoint(&self, trainer: &Trainer) -> Checkpoint {
        Checkpoint { history: self.history.clone(), ..trainer.checkpoint() }
    }

    /// What is wrong after the first `looks` looks and was not before.
    fn find(&mut self, trainer: &Trainer, looks: usize) -> Vec<Finding> {
        let mut findings = self.rules.findings(&self.history.vitals[..looks], trainer.losses());
        findings.retain(|finding| !self.found.iter().any(|found| found.is_like(finding)));
        self.found.extend(&findings);
        findings
    }
}
