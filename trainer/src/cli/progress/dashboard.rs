//! What the full screen shows of a run, drawn into cells.
//!
//! In: numbers and a picture. Out: cells of any terminal with 24-bit colours. It knows neither trainer nor terminal.

#[cfg(test)]
mod tests;
mod thumbnail;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, GraphType, LineGauge, Paragraph, Wrap};

pub(super) use thumbnail::Samples;

/// The state of a run, as it is shown.
#[derive(Debug, Default)]
pub(super) struct Dashboard {
    pub(super) step: usize,
    pub(super) steps: usize,
    pub(super) images_per_second: f64,
    pub(super) seconds_left: f64,
    pub(super) discriminator: Vec<(f64, f64)>,
    pub(super) generator: Vec<(f64, f64)>,
    /// Whether there are to be evaluations.
    pub(super) evaluates: bool,
    /// What they measure; empty before the first one.
    pub(super) metric: String,
    pub(super) evaluations: Vec<(f64, f64)>,
    /// Step and value of the best one.
    pub(super) best: Option<(usize, f32)>,
    pub(super) warnings: Vec<String>,
    pub(super) samples: Option<Samples>,
}

impl Dashboard {
    /// Fills the frame.
    pub(super) fn draw(&self, frame: &mut Frame) {
        let warnings = if self.warnings.is_empty() { 0 } else { 2 + WARNING_ROWS };
        let [head, body, warned, foot] = Layout::vertical([
            Constraint::Length(3),
            Constraint::Fill(1),
            Constraint::Length(warnings),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let [curves, samples] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(body);
        self.draw_head(frame, head);
        if self.evaluates {
            let [losses, evaluations] =
                Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(curves);
            self.draw_losses(frame, losses);
            self.draw_evaluations(frame, evaluations);
        } else {
            self.draw_losses(frame, curves);
        }
        self.draw_samples(frame, samples);
        if warnings > 0 {
            self.draw_warnings(frame, warned);
        }
        frame.render_widget(Line::from(" q or Ctrl-C saves a checkpoint and ends").dim(), foot);
    }

    fn draw_head(&self, frame: &mut Frame, area: Rect) {
        let (step, steps) = (self.step, self.steps);
        let label = format!(
            "{step}/{steps} steps, {:.0} images/s, {} left",
            self.images_per_second,
            time(self.seconds_left)
        );
        let ratio = if step < steps { step as f64 / steps as f64 } else { 1.0 };
        let gauge = LineGauge::default()
            .block(Block::bordered().title(" Training "))
            .filled_style(Style::new().fg(GENERATOR))
            .unfilled_style(Style::new().dim())
            .label(label)
            .ratio(ratio);
        frame.render_widget(gauge, area);
    }

    fn draw_losses(&self, frame: &mut Frame, area: Rect) {
        let curves = [
            ("discriminator", &*self.discriminator, DISCRIMINATOR),
            ("generator", &self.generator, GENERATOR),
        ];
        let mut title = vec![Span::from(" Losses")];
        for (name, points, colour) in curves {
            let last = points.last().map_or_else(String::new, |&(_, loss)| format!(" {}", short(loss)));
            title.push(Span::from(format!(", {name}{last}")).fg(colour));
        }
        title.push(Span::from(" "));
        frame.render_widget(chart(title.into(), &curves.map(|(_, points, colour)| (points, colour))), area);
    }

    fn draw_evaluations(&self, frame: &mut Frame, area: Rect) {
        let title = match (self.evaluations.last(), self.best) {
            (Some(&(_, last)), Some((step, best))) => {
                format!(" {} {last:.4}, best {best:.4} at step {step} ", self.metric)
            }
            _ => " No evaluation yet ".to_owned(),
        };
        frame.render_widget(chart(title.into(), &[(&self.evaluations, EVALUATION)]), area);
    }

    fn draw_samples(&self, frame: &mut Frame, area: Rect) {
        let title = self.samples.as_ref().map_or_else(
            || " No samples yet ".to_owned(),
            |samples| format!(" Samples of step {} ", samples.step),
        );
        let block = Block::bordered().title(title);
        let inner = block.inner(area);
        frame.render_widget(block, area);
        if let Some(samples) = &self.samples {
            frame.render_widget(samples, inner);
        }
    }

    fn draw_warnings(&self, frame: &mut Frame, area: Rect) {
        // The newest one first, since the last ones may find no room.
        let lines: Vec<Line> = self.warnings.iter().rev().map(|warning| Line::from(&**warning)).collect();
        let block = Block::bordered().title(" Warnings ").fg(WARNING);
        frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: true }).block(block), area);
    }
}

/// Curves over steps, whose points rise in steps.
fn chart<'a>(title: Line<'a>, curves: &[(&'a [(f64, f64)], Color)]) -> Chart<'a> {
    let points = || curves.iter().flat_map(|(points, _)| points.iter());
    let reach = |of: fn(&(f64, f64)) -> f64| {
        let values = || points().map(of);
        (values().reduce(f64::min).unwrap_or(0.0), values().reduce(f64::max).unwrap_or(0.0))
    };
    let (first, last) = reach(|point| point.0);
    let (lowest, highest) = reach(|point| point.1);
    let space = if lowest < highest { 0.05 * (highest - lowest) } else { 0.5 };
    let (bottom, top) = (lowest - space, highest + space);
    let sets = curves.iter().map(|&(points, colour)| {
        Dataset::default().data(points).graph_type(GraphType::Line).marker(Marker::Braille).fg(colour)
    });
    let axis = |low: f64, high: f64, labels: Vec<String>| {
        Axis::default().bounds([low, high]).labels(labels).style(Style::new().dim())
    };
    let steps = [first, last].map(|step| format!("{step:.0}")).into();
    let values = [bottom, f64::midpoint(bottom, top), top].map(short).into();
    Chart::new(sets.collect())
        .block(Block::bordered().title(title))
        .legend_position(None)
        .x_axis(axis(first, last.max(first + 1.0), steps))
        .y_axis(axis(bottom, top, values))
}

/// A number in a few columns.
fn short(value: f64) -> String {
    if value == 0.0 || (1e-2..1e4).contains(&value.abs()) {
        format!("{value:.3}")
    } else {
        format!("{value:.1e}")
    }
}

/// A time in the unit that fits.
fn time(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

const WARNING_ROWS: u16 = 4;
const DISCRIMINATOR: Color = Color::Rgb(0x5a, 0x9d, 0xf0);
const GENERATOR: Color = Color::Rgb(0xf0, 0x89, 0x4f);
const EVALUATION: Color = Color::Rgb(0x3f, 0xb8, 0x98);
const WARNING: Color = Color::Rgb(0xd2, 0xb2, 0x3c);
