//! Self-contained HTML pages: about one generator its pictures, figures and loss curves, and about many a comparison. And event
//! files for TensorBoard.
//!
//! In: numbers as text, pictures as PNG, curves as points. Out: a page that asks for nothing from anywhere, and is
//! readable on a phone, in light and in dark. It computes nothing and knows no network.

mod comparison;
mod curves;
pub(crate) mod scatter;
pub(crate) mod tensorboard;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use comparison::{Cell, Comparison, Table};
pub use curves::{Curve, MOST_CURVES, line_chart, loss_curves};
pub use tensorboard::EventWriter;

/// What the page shows, from top to bottom.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Heading of the page.
    pub title: String,
    /// A sentence or two under it.
    pub summary: String,
    /// Side by side where there is room.
    pub pictures: Vec<Picture>,
    /// The table.
    pub rows: Vec<Row>,
    /// SVGs of [`loss_curves`] and [`line_chart`] with their headings.
    pub charts: Vec<(String, String)>,
    /// How to get the same again, e.g. the command line.
    pub command: Option<String>,
}

/// A picture with its caption.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The bytes of a PNG file.
    pub png: Vec<u8>,
    /// Stands below it.
    pub caption: String,
    /// Says the same to someone who cannot see it.
    pub alt: String,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// The figure with its unit.
    pub value: String,
    /// What it means to the reader.
    pub meaning: String,
}

impl Row {
    /// A line of the table.
    pub fn new(name: impl Into<String>, value: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into(), meaning: meaning.into() }
    }
}

impl Report {
    /// The page.
    pub fn to_html(&self) -> String {
        let summary = html! { @if !self.summary.is_empty() { p { (self.summary) } } };
        let body = html! {
            @if !self.pictures.is_empty() {
                section.pictures aria-label="Pictures" {
                    @for picture in &self.pictures { (picture.figure()) }
                }
            }
            @if !self.rows.is_empty() { (table(&self.rows)) }
            @for (heading, svg) in &self.charts {
                section {
                    h2 { (heading) }
                    div.chart { (PreEscaped(svg)) }
                }
            }
            @if let Some(command) = &self.command {
                section {
                    h2 { "Again" }
                    pre { code { (command) } }
                }
            }
        };
        page(&self.title, &summary, &body)
    }
}

/// A whole page: a heading with a summary under it, and the rest.
fn page(title: &str, summary: &Markup, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { (title) }
                        (summary)
                    }
                    (body)
                }
            }
        }
    };
    page.into_string()
}

impl Picture {
    fn figure(&self) -> Markup {
        html! {
            figure {
                img src={ "data:image/png;base64," (STANDARD.encode(&self.png)) } alt=(self.alt);
                figcaption { (self.caption) }
            }
        }
    }
}

fn table(rows: &[Row]) -> Markup {
    html! {
        section {
            h2 { "Figures" }
            table {
                thead { tr { th scope="col" { "Measure" } th.value scope="col" { "Value" } th scope="col" { "Meaning" } } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" { (row.name) }
                            td.value { (row.value) }
                            td.meaning { (row.meaning) }
                        }
                    }
                }
            }
        }
    }
}

/// A number with its thousands apart: `1 234 567`, in spaces that do not break.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

const STYLE: &str = include_str!("report/style.css");

#[cfg(test)]
mod tests;
