//! Many runs of a method as one line.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Better, Figures, Job, Outcome, Record, Results};

/// The runs of a comparison.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The last record of every run that ended.
    pub runs: Vec<Record>,
    /// In the order in which they were asked for.
    pub methods: Vec<MethodSummary>,
}

/// The runs of one method.
#[derive(Clone, Debug)]
pub struct MethodSummary {
    /// Its name.
    pub name: String,
    /// Runs that ended.
    pub run_count: usize,
    /// Seed and reason of those that could not go on.
    pub failures: Vec<(u64, String)>,
    /// Over the runs that finished.
    pub figures: BTreeMap<String, Estimate>,
    /// Mean of every figure at every step at which it was measured.
    pub curves: BTreeMap<String, Vec<(f64, f64)>>,
}

/// A mean with what is known of its error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Mean over the runs.
    pub mean: f64,
    /// Of the mean; one run has none.
    pub standard_error: Option<f64>,
}

impl Summary {
    /// Gathers what is known of `jobs`.
    pub fn of(jobs: &[Job], results: &Results) -> Self {
        let mut summary = Self { runs: vec![], methods: vec![] };
        let mut names: Vec<&str> = vec![];
        for job in jobs {
            if !names.contains(&job.method) {
                names.push(job.method);
            }
        }
        for name in names {
            let histories: Vec<Vec<Record>> =
                jobs.iter().filter(|job| job.method == name).map(|job| results.of(&job.id)).collect();
            summary.methods.push(MethodSummary::of(name, &histories));
            let ends =
                histories.iter().filter_map(|records| records.iter().find(|record| record.outcome.is_some()));
            summary.runs.extend(ends.cloned());
        }
        summary
    }

    /// Whether no method has a better mean of this figure than `method`; without another there is no best.
    pub fn is_best(&self, method: &MethodSummary, key: &str, better: Better) -> bool {
        let mean = |method: &MethodSummary| method.figures.get(key).map(|estimate| estimate.mean);
        mean(method)
            .is_some_and(|own| !self.methods.iter().filter_map(mean).any(|other| better.prefers(other, own)))
    }
}

impl MethodSummary {
    fn of(name: &str, histories: &[Vec<Record>]) -> Self {
        let ends = || histories.iter().flatten().filter(|record| record.outcome.is_some());
        let failures = ends().filter_map(|record| match &record.outcome {
            Some(Outcome::Failed(reason)) => Some((record.seed, reason.clone())),
            _ => None,
        });
        let finished = ends().filter(|record| record.outcome == Some(Outcome::Finished));
        let figures = by_key(finished.map(|record| &record.figures))
            .into_iter()
            .map(|(key, values)| (key, Estimate::of(&values)))
            .collect();

        let mut steps: BTreeMap<usize, Vec<&Figures>> = BTreeMap::new();
        for record in histories.iter().flatten().filter(|record| record.outcome.is_none()) {
            steps.entry(record.step).or_default().push(&record.figures);
        }
        let mut curves: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for (step, figures) in steps {
            for (key, values) in by_key(figures.into_iter()) {
                curves.entry(key).or_default().push((step as f64, Estimate::of(&values).mean));
            }
        }
        Self {
            name: name.to_owned(),
            run_count: ends().count(),
            failures: failures.collect(),
            figures,
            curves,
        }
    }
}

impl Estimate {
    /// Of at least one value.
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = || values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self { mean, standard_error: (values.len() > 1).then(|| (variance() / n).sqrt()) }
    }
}

fn by_key<'a>(figures: impl Iterator<Item = &'a Figures>) -> BTreeMap<String, Vec<f64>> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (key, value) in figures.flatten() {
        values.entry(key.clone()).or_default().push(*value);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run with `modes` after 10 and after 20 steps.
    fn run(seed: u64, modes: [f64; 2], outcome: Option<Outcome>) -> Vec<Record> {
        let record = |step, modes, outcome| Record {
            benchmark: "ring".into(),
            method: "m".into(),
            seed,
            id: String::new(),
            step,
            figures: Figures::from([("modes".to_owned(), modes)]),
            outcome,
        };
        let mut records = vec![record(10, modes[0], None), record(20, modes[1], None)];
        records.extend(outcome.map(|outcome| record(20, modes[1], Some(outcome))));
        records
    }

    #[test]
    fn means_and_standard_errors_are_those_worked_out_by_hand() {
        let estimate = Estimate::of(&[1.0, 2.0, 4.0]);
        // Deviations -4/3, -1/3 and 5/3: variance 42/9/2 = 7/3, of the mean 7/9.
        assert!((estimate.mean - 7.0 / 3.0).abs() < 4.0 * f64::EPSILON);
        assert!((estimate.standard_error.unwrap() - 7f64.sqrt() / 3.0).abs() < 4.0 * f64::EPSILON);
        assert_eq!(Estimate::of(&[5.0]), Estimate { mean: 5.0, standard_error: None });
    }

    #[test]
    fn only_finished_runs_have_figures_and_all_have_curves() {
        let failed = Outcome::Failed("too steep".into());
        let summary = MethodSummary::of(
            "m",
            &[
                run(1, [2.0, 6.0], Some(Outcome::Finished)),
                run(2, [4.0, 8.0], Some(Outcome::Finished)),
                run(3, [0.0, 1.0], Some(failed)),
                run(4, [2.0, 1.0], None),
            ],
        );
        assert_eq!((summary.run_count, &summary.failures[..]), (3, &[(3, "too steep".to_owned())][..]));
        assert_eq!(summary.figures["modes"], Estimate { mean: 7.0, standard_error: Some(1.0) });
        assert_eq!(summary.curves["modes"], [(10.0, 2.0), (20.0, 4.0)]);
    }

    #[test]
    fn the_best_depends_on_what_is_better() {
        let method = |modes| MethodSummary::of("m", &[run(1, [0.0, modes], Some(Outcome::Finished))]);
        let summary =
            Summary { runs: vec![], methods: vec![method(0.5), method(1.2), method(3.0), method(3.0)] };
        let best = |better| -> Vec<bool> {
            summary.methods.iter().map(|method| summary.is_best(method, "modes", better)).collect()
        };
        assert_eq!(best(Better::More), [false, false, true, true]);
        assert_eq!(best(Better::Less), [true, false, false, false]);
        assert_eq!(best(Better::Near(1.0)), [false, true, false, false]);
        assert!(!summary.is_best(&summary.methods[0], "kid", Better::Less), "not measured");
    }
}
