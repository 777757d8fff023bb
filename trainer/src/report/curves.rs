//! Curves over training steps as an SVG that stands in a page and in a file of its own.

use anyhow::{Result, anyhow, ensure};
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// One line of the chart.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Stands in the legend.
    pub name: String,
    /// `(step, value)` with rising steps; values that are not finite leave a gap out.
    pub points: Vec<(f64, f64)>,
}

/// The losses of discriminator and generator of each step; see [`line_chart`].
///
/// # Errors
/// As of [`line_chart`].
pub fn loss_curves(losses: impl IntoIterator<Item = [f32; 2]>) -> Result<String> {
    let mut curves = ["discriminator", "generator"].map(|name| Curve { name: name.into(), points: vec![] });
    for (i, losses) in losses.into_iter().enumerate() {
        for (curve, loss) in curves.iter_mut().zip(losses) {
            curve.points.push(((i + 1) as f64, f64::from(loss)));
        }
    }
    line_chart("Losses", "loss", &curves)
}

/// Curves over their steps, with axes and a legend; `what` they are as a title, and `unit` on the axis.
///
/// Many points become means of equal stretches of steps. The axis is logarithmic when the values are positive and
/// span more than a factor of 30. Colours follow the reader's preference for light or dark.
///
/// # Errors
/// When there is no finite point, or more than [`MOST_CURVES`].
pub fn line_chart(what: &str, unit: &str, curves: &[Curve]) -> Result<String> {
    ensure!(curves.len() <= MOST_CURVES, "{} curves, at most {MOST_CURVES} can be told apart", curves.len());
    let finite = |curve: &Curve| -> Vec<(f64, f64)> {
        curve.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
    };
    let thinned: Vec<_> = curves.iter().map(|curve| thin(&finite(curve))).collect();
    let (x, y) = (range(&thinned, |point| point.0), range(&thinned, |point| point.1));
    let (Some(x), Some(y)) = (x, y) else { return Err(anyhow!("no curve has a finite point")) };
    // A single step stands at the end of those before it.
    let x = if x.0 < x.1 { x } else { (0.0, x.1.max(1.0)) };
    let each = curves.iter().zip(&thinned).map(|(curve, points)| (curve.points.len(), points.len()));
    let stretch = each.map(|(all, shown)| all.div_ceil(shown.max(1))).max().unwrap_or(1);
    let x_label = if stretch > 1 { format!("step (means of {stretch})") } else { "step".to_owned() };

    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&SURFACE).map_err(drawing)?;
        let mut builder = ChartBuilder::on(&root);
        builder.margin(12).margin_right(20).x_label_area_size(56).y_label_area_size(70);
        let names: Vec<&str> = curves.iter().map(|curve| &*curve.name).collect();
        if y.0 > 0.0 && y.1 / y.0 > 30.0 {
            let chart =
                builder.build_cartesian_2d(x.0..x.1, (y.0 / 1.2..y.1 * 1.2).log_scale()).map_err(drawing)?;
            draw(chart, &names, &thinned, [&x_label, unit])?;
        } else {
            let space = if y.0 < y.1 { 0.06 * (y.1 - y.0) } else { 0.5 };
            let chart = builder.build_cartesian_2d(x.0..x.1, y.0 - space..y.1 + space).map_err(drawing)?;
            draw(chart, &names, &thinned, [&x_label, unit])?;
        }
        root.present().map_err(drawing)?;
    }
    Ok(dress(&svg, what, curves))
}

type Cartesian<'a, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>;

fn draw<'a, Y>(
    mut chart: Cartesian<'a, Y>,
    names: &[&str],
    curves: &[Vec<(f64, f64)>],
    [x_label, y_label]: [&str; 2],
) -> Result<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let text = ("sans-serif", FONT_SIZE).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE)
        .axis_style(QUIET)
        .label_style(text.clone())
        .axis_desc_style(text.clone())
        .x_desc(x_label)
        .y_desc(y_label)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&|step| short(*step))
        .y_label_formatter(&|value| short(*value))
        .draw()
        .map_err(drawing)?;
    for ((name, points), colour) in names.iter().zip(curves).zip(COLOURS) {
        let style = colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))
            .map_err(drawing)?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)));
        if let &[point] = &points[..] {
            chart.draw_series([Circle::new(point, 4, colour.filled())]).map_err(drawing)?;
        }
    }
    // Where the curves are not.
    let rise: f64 = curves.iter().filter_map(|points| Some(points.last()?.1 - points.first()?.1)).sum();
    let corner = if rise > 0.0 { SeriesLabelPosition::LowerRight } else { SeriesLabelPosition::UpperRight };
    chart
        .configure_series_labels()
        .position(corner)
        .legend_area_size(30)
        .margin(0)
        .background_style(SURFACE)
        .label_font(text)
        .draw()
        .map_err(drawing)
}

/// Means of stretches of equally many points, at most [`MOST_POINTS`] of them.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stretch = points.len().div_ceil(MOST_POINTS).max(1);
    let mean = |chunk: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        chunk.iter().map(of).sum::<f64>() / chunk.len() as f64
    };
    points.chunks(stretch).map(|chunk| (mean(chunk, |point| point.0), mean(chunk, |point| point.1))).collect()
}

fn range(curves: &[Vec<(f64, f64)>], of: fn(&(f64, f64)) -> f64) -> Option<(f64, f64)> {
    let values = || curves.iter().flatten().map(of);
    Some((values().reduce(f64::min)?, values().reduce(f64::max)?))
}

/// Up to three digits, without trailing zeros.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Gives the drawing a name for those who cannot see it, and colours for the dark.
fn dress(svg: &str, what: &str, curves: &[Curve]) -> String {
    let names = curves.iter().map(|curve| &*curve.name).collect::<Vec<_>>().join(", ");
    let title = maud::html! { title { (what) " over training steps: " (names) } }.into_string();
    let dark: String = DARK
        .iter()
        .map(|(RGBColor(r, g, b), dark)| {
            let light = format!("#{r:02X}{g:02X}{b:02X}");
            format!(".curves [stroke=\"{light}\"]{{stroke:{dark}}}.curves [fill=\"{light}\"]{{fill:{dark}}}")
        })
        .collect();
    let style = format!(
        "<style>.curves text{{font-family:system-ui,sans-serif}}@media(prefers-color-scheme:dark){{{dark}}}</style>"
    );
    svg.replacen("<svg ", "<svg class=\"curves\" role=\"img\" ", 1).replacen(
        ">\n",
        &format!(">\n{title}\n{style}\n"),
        1,
    )
}

/// plotters' errors borrow nothing but are not all `Send`.
fn drawing(error: impl core::fmt::Display) -> anyhow::Error {
    anyhow!("drawing curves: {error}")
}

const SIZE: (u32, u32) = (640, 380);
const FONT_SIZE: u32 = 17;
const MOST_POINTS: usize = 400;

const SURFACE: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x19, 0x19, 0x17);
const QUIET: RGBColor = RGBColor(0x8a, 0x88, 0x80);
const LINE: RGBColor = RGBColor(0xe2, 0xe1, 0xdc);
/// Curves that can be told apart.
pub const MOST_CURVES: usize = COLOURS.len();
/// Told apart by people who see no red or green too; the later ones less so.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0x1f, 0x6f, 0xcf),
    RGBColor(0xd9, 0x5a, 0x1a),
    RGBColor(0x6f, 0x5a, 0xc4),
    RGBColor(0x11, 0x83, 0x6a),
    RGBColor(0xb0, 0x3a, 0x78),
    RGBColor(0x9a, 0x7a, 0x10),
    RGBColor(0x3a, 0x9f, 0xc0),
    RGBColor(0x5f, 0x4a, 0x3a),
];
/// What each of them is in the dark.
const DARK: [(RGBColor, &str); 12] = [
    (SURFACE, "#1f1f1d"),
    (INK, "#f2f1ed"),
    (QUIET, "#8a8880"),
    (LINE, "#383733"),
    (COLOURS[0], "#5a9df0"),
    (COLOURS[1], "#f0894f"),
    (COLOURS[2], "#a493ef"),
    (COLOURS[3], "#3fb898"),
    (COLOURS[4], "#e07fb4"),
    (COLOURS[5], "#d2b23c"),
    (COLOURS[6], "#7fcfe8"),
    (COLOURS[7], "#b59f8c"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, f: impl Fn(f64) -> f64, n: usize) -> Curve {
        Curve { name: name.into(), points: (0..n).map(|i| (i as f64, f(i as f64))).collect() }
    }

    #[test]
    fn the_drawing_names_its_curves_and_axes() -> Result<()> {
        let curves = [curve("generator <a>", |x| 1.0 / (x + 1.0), 10), curve("discriminator", |_| 0.5, 10)];
        let svg = line_chart("Losses", "loss", &curves)?;
        for text in ["generator &lt;a&gt;", "discriminator", "step", "loss", "</svg>", "prefers-color-scheme"]
        {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert!(!svg.contains("<a>"));
        Ok(())
    }

    #[test]
    fn long_curves_become_means() {
        let long = curve("g", |x| x, 10 * MOST_POINTS);
        let thinned = thin(&long.points);
        assert_eq!(thinned.len(), MOST_POINTS);
        assert_eq!(thinned[1], (14.5, 14.5));
        assert_eq!(thin(&long.points[..7]).len(), 7);
    }

    #[test]
    fn odd_curves_are_drawn_or_refused() {
        assert!(line_chart("Losses", "loss", &[]).is_err());
        assert!(line_chart("Losses", "loss", &[curve("nan", |_| f64::NAN, 5)]).is_err());
        assert!(line_chart("Losses", "loss", &vec![curve("many", |x| x, 2); MOST_CURVES + 1]).is_err());
        assert!(
            line_chart("Losses", "loss", &[curve("one point", |_| 0.0, 1)])
                .is_ok_and(|svg| svg.contains("<circle "))
        );
        assert!(line_chart("Losses", "loss", &[curve("constant", |_| -2.0, 9)]).is_ok());
        assert!(line_chart("Losses", "loss", &[curve("wide", |x| 10f64.powf(x), 9)]).is_ok(), "logarithmic");
    }

    #[test]
    fn no_step_stands_twice_on_the_axis() -> Result<()> {
        for (first, last) in [(1000, 1000), (1, 1), (1, 3), (3, 7)] {
            let points = (first..=last).map(|step| (f64::from(step), f64::from(first))).collect();
            let svg = line_chart("Losses", "loss", &[Curve { name: "g".into(), points }])?;
            // The horizontal axis is the one whose texts are centred.
            let mut steps: Vec<&str> = svg
                .split("<text ")
                .filter(|text| text.contains("text-anchor=\"middle\"") && !text.contains("rotate"))
                .filter_map(|text| text.split(['>', '<']).nth(1)?.trim().lines().next())
                .filter(|text| text.parse::<f64>().is_ok())
                .collect();
            let all = steps.len();
            steps.dedup();
            assert!(all >= 2 && steps.len() == all, "steps {first} to {last}: {steps:?} in {svg}");
        }
        Ok(())
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.25, 1.0, -0.0001, 1000.0, 0.1234].map(short), ["0.25", "1", "0", "1000", "0.123"]);
    }
}
