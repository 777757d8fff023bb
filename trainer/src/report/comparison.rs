//! A page that compares methods: tables, curves and pictures. And the same tables as Markdown.

use maud::{Markup, PreEscaped, html};

use super::{Picture, page};

/// What the page shows, from top to bottom.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Heading of the page.
    pub title: String,
    /// Paragraphs under it: what was done, how, and what the figures mean.
    pub summary: Vec<String>,
    /// Tables with their headings; those without rows are left out.
    pub tables: Vec<(String, Table)>,
    /// SVGs of [`line_chart`](super::line_chart) with their headings.
    pub charts: Vec<(String, String)>,
    /// Side by side where there is room.
    pub pictures: Vec<Picture>,
    /// How to get the same again.
    pub command: String,
}

/// Rows of as many cells as there are headings, the first of which names the row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Headings of the columns.
    pub head: Vec<String>,
    /// Cells of each row.
    pub rows: Vec<Vec<Cell>>,
}

/// One entry of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// What it says in small.
    pub note: Option<String>,
    /// Whether it stands out as the best of its column.
    pub best: bool,
}

impl Cell {
    /// A cell without a note.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), note: None, best: false }
    }
}

impl Comparison {
    /// The page.
    pub fn to_html(&self) -> String {
        let summary = html! { @for paragraph in &self.summary { p { (paragraph) } } };
        let body = html! {
            @for (heading, table) in self.shown_tables() {
                section {
                    h2 { (heading) }
                    div.wide { (table.to_markup()) }
                }
            }
            @for (heading, svg) in &self.charts {
                section {
                    h2 { (heading) }
                    div.chart { (PreEscaped(svg)) }
                }
            }
            @if !self.pictures.is_empty() {
                section {
                    h2 { "Samples" }
                    div.pictures { @for picture in &self.pictures { (picture.figure()) } }
                }
            }
            section {
                h2 { "Again" }
                pre { code { (self.command) } }
            }
        };
        page(&self.title, &summary, &body)
    }

    /// All but curves and pictures, as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title);
        for paragraph in &self.summary {
            text += &format!("{paragraph}\n\n");
        }
        for (heading, table) in self.shown_tables() {
            text += &format!("## {heading}\n\n{}\n", table.to_markdown());
        }
        text + &format!("## Again\n\n```sh\n{}\n```\n", self.command)
    }

    fn shown_tables(&self) -> impl Iterator<Item = &(String, Table)> {
        self.tables.iter().filter(|(_, table)| !table.rows.is_empty())
    }
}

impl Table {
    fn to_markup(&self) -> Markup {
        html! {
            table {
                thead { tr { @for heading in &self.head { th scope="col" { (heading) } } } }
                tbody {
                    @for row in &self.rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 {
                                    th scope="row" { (cell.to_markup()) }
                                } @else {
                                    td { (cell.to_markup()) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Lines of Markdown; the best of a column is bold, notes stand in parentheses.
    pub fn to_markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = line(self.head.iter().map(|heading| escaped(heading)).collect());
        text += &line(vec!["---".to_owned(); self.head.len()]);
        for row in &self.rows {
            text += &line(row.iter().map(Cell::to_markdown).collect());
        }
        text
    }
}

impl Cell {
    fn to_markup(&self) -> Markup {
        html! {
            @if self.best { strong { (self.text) } } @else { (self.text) }
            @if let Some(note) = &self.note { small { (note) } }
        }
    }

    fn to_markdown(&self) -> String {
        let text = escaped(&self.text);
        let text = if self.best { format!("**{text}**") } else { text };
        self.note.as_ref().map_or_else(|| text.clone(), |note| format!("{text} ({})", escaped(note)))
    }
}

/// Text that ends neither a cell nor a line.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Curve, line_chart};

    fn table() -> Table {
        let best = Cell { text: "7.9 ± 0.1".into(), note: Some("published 7.8 ± 0.1".into()), best: true };
        Table {
            head: vec!["method".into(), "modes".into()],
            rows: vec![vec![Cell::new("pac|<2>"), best], vec![Cell::new("other\nline"), Cell::new("6.3")]],
        }
    }

    #[test]
    fn markdown_keeps_its_rows() {
        assert_eq!(
            table().to_markdown(),
            "| method | modes |\n| --- | --- |\n| pac\\|<2> | **7.9 ± 0.1** (published 7.8 ± 0.1) |\n\
             | other line | 6.3 |\n"
        );
    }

    #[test]
    fn the_page_is_self_contained_and_escaped() {
        let curve = Curve { name: "a".into(), points: vec![(0.0, 1.0), (10.0, 8.0)] };
        let comparison = Comparison {
            title: "ring & <script>".into(),
            summary: vec!["One.".into(), "Two.".into()],
            tables: vec![("Measured".into(), table()), ("Published".into(), Table::default())],
            charts: vec![("Modes".into(), line_chart("Modes", "modes", &[curve]).expect("a curve"))],
            pictures: vec![Picture { png: vec![1], caption: "a".into(), alt: "points".into() }],
            command: "trainer compare --benchmark ring".into(),
        };
        let page = comparison.to_html();
        assert!(page.contains("ring &amp; &lt;script&gt;") && !page.contains("<script"));
        assert_eq!(
            page.matches("http").count(),
            page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count()
        );
        assert!(!page.contains("url(") && !page.contains("@import") && !page.contains("<link"));
        assert_eq!(page.matches("<strong>7.9 ± 0.1</strong><small>published").count(), 1);
        assert_eq!((page.matches("<tr>").count(), page.matches("<img ").count()), (3, 1));
        assert!(!page.contains("Published"), "an empty table");
        assert!(comparison.to_markdown().ends_with("```sh\ntrainer compare --benchmark ring\n```\n"));
    }
}
