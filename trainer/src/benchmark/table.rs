//! Figures as the text of tables.

use super::{Benchmark, Figure, Figures, MethodSummary, Published, Summary};
use crate::report::{Cell, Table};

/// One row for each method, its published figures in small below, and the floor.
pub fn measured(benchmark: &Benchmark, summary: &Summary, floor: &Figures) -> Table {
    let headings = benchmark.figures.iter().map(Figure::heading);
    let head = ["method".to_owned()].into_iter().chain(headings).chain(["published in".to_owned()]);
    let mut rows: Vec<Vec<Cell>> =
        summary.methods.iter().map(|method| method_row(benchmark, summary, method)).collect();
    let real = benchmark.figures.iter().map(|figure| {
        Cell::new(floor.get(figure.key).map_or(ABSENT.to_owned(), |&value| figure.show(value, None)))
    });
    rows.push([Cell::new("real data")].into_iter().chain(real).chain([Cell::new(ABSENT)]).collect());
    Table { head: head.collect(), rows }
}

/// All that others report.
pub fn published(benchmark: &Benchmark) -> Table {
    let reported = |row: &Published, figure: &Figure| {
        row.figures
            .iter()
            .find(|(key, ..)| *key == figure.key)
            .map(|&(_, mean, error)| figure.quote(mean, error))
    };
    // Columns that nobody fills say nothing.
    let figures: Vec<&Figure> = benchmark
        .figures
        .iter()
        .filter(|figure| benchmark.published.iter().any(|row| reported(row, figure).is_some()))
        .collect();
    let headings = figures.iter().map(|figure| figure.heading());
    let head = ["method".to_owned()].into_iter().chain(headings).chain(["source".to_owned()]);
    let row = |row: &Published| {
        let cells = figures.iter().map(|figure| reported(row, figure).unwrap_or_else(|| ABSENT.to_owned()));
        let ends = [row.source.to_owned()];
        [row.name.to_owned()].into_iter().chain(cells).chain(ends).map(Cell::new).collect()
    };
    Table { head: head.collect(), rows: benchmark.published.iter().map(row).collect() }
}

fn method_row(benchmark: &Benchmark, summary: &Summary, method: &MethodSummary) -> Vec<Cell> {
    let published = benchmark.published.iter().find(|row| row.method == Some(&*method.name));
    let runs = match (method.run_count, method.failures.len()) {
        (1, 0) => "1 run".to_owned(),
        (runs, 0) => format!("{runs} runs"),
        (runs, failed) => format!("{failed} of {runs} runs failed"),
    };
    let mut row = vec![Cell { text: method.name.clone(), note: Some(runs), best: false }];
    row.extend(benchmark.figures.iter().map(|figure| {
        let text = method
            .figures
            .get(figure.key)
            .map_or(ABSENT.to_owned(), |estimate| figure.show(estimate.mean, estimate.standard_error));
        let reported = published.and_then(|row| row.figures.iter().find(|(key, ..)| *key == figure.key));
        let note = reported.map(|&(_, mean, error)| format!("published {}", figure.quote(mean, error)));
        Cell { text, note, best: summary.is_best(method, figure.key, figure.better) }
    }));
    row.push(Cell::new(
        published.map_or_else(|| ABSENT.to_owned(), |row| format!("{}: {}", row.name, row.source)),
    ));
    row
}

impl Figure {
    /// `6.30 ± 0.50`: what was measured, with the digits of the figure.
    fn show(&self, mean: f64, error: Option<f64>) -> String {
        let number = |value: f64| format!("{:.*}", self.digits, value * self.scale);
        error.map_or_else(|| number(mean), |error| format!("{} ± {}", number(mean), number(error)))
    }

    /// `6.3 ± 0.5`: what is printed elsewhere, with no more digits than there.
    fn quote(&self, mean: f64, error: Option<f64>) -> String {
        // Beyond what papers print, and short of what scaling rounds.
        let number = |value: f64| ((value * self.scale * 1e6).round() / 1e6).to_string();
        error.map_or_else(|| number(mean), |error| format!("{} ± {}", number(mean), number(error)))
    }
}

const ABSENT: &str = "–";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmark::Estimate;

    fn method(name: &str, modes: f64, high_quality: f64) -> MethodSummary {
        let estimate = |mean| Estimate { mean, standard_error: Some(0.5) };
        let figures = [("modes", modes), ("high_quality", high_quality)];
        MethodSummary {
            name: name.into(),
            run_count: 3,
            failures: vec![],
            figures: figures.map(|(key, mean)| (key.to_owned(), estimate(mean))).into(),
            curves: [].into(),
        }
    }

    #[test]
    fn methods_stand_beside_what_papers_report_of_them() {
        let benchmark = Benchmark::named("ring").unwrap();
        let mut poor = method("another", 3.0, 0.5);
        poor.failures.push((2, "diverged".into()));
        let summary = Summary { runs: vec![], methods: vec![method("gan", 7.0, 0.25), poor] };
        let floor = Figures::from([("modes".to_owned(), 8.0)]);
        let table = measured(benchmark, &summary, &floor);
        assert_eq!(
            table.head,
            ["method", "modes", "high quality, %", "reverse KL, nats", "variance ratio", "published in"]
        );
        let text = |row: usize| -> Vec<&str> { table.rows[row].iter().map(|cell| &*cell.text).collect() };
        assert_eq!(text(0)[..4], ["gan", "7.0 ± 0.5", "25.0 ± 50.0", "–"]);
        assert!(text(0)[5].contains("PacGAN, table 1"), "{:?}", text(0));
        assert_eq!(text(1)[5], "–");
        assert_eq!(text(2), ["real data", "8.0", "–", "–", "–", "–"]);
        let note = |row: usize, column: usize| table.rows[row][column].note.as_deref();
        assert_eq!(note(0, 0), Some("3 runs"));
        assert_eq!(note(0, 1), Some("published 6.3 ± 0.5"));
        assert_eq!(note(0, 2), Some("published 98.2 ± 0.2"));
        assert_eq!(note(1, 0), Some("1 of 3 runs failed"));
        let best: Vec<bool> = table.rows.iter().map(|row| row[1].best).collect();
        assert_eq!(best, [true, false, false]);
        assert!(table.rows[1][2].best);
    }

    #[test]
    fn published_tables_leave_out_empty_columns() {
        let table = published(Benchmark::named("ring").unwrap());
        assert_eq!(table.head, ["method", "modes", "high quality, %", "reverse KL, nats", "source"]);
        assert!(table.rows.iter().all(|row| row.len() == table.head.len()));
        let gan: Vec<&str> = table.rows[0].iter().map(|cell| &*cell.text).collect();
        assert_eq!(gan[..4], ["GAN", "6.3 ± 0.5", "98.2 ± 0.2", "0.45 ± 0.09"]);
        assert!(published(Benchmark::named("mnist").unwrap()).rows.is_empty());
    }
}
