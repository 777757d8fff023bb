use image::{Rgb, RgbImage};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};

use super::*;

fn drawn(dashboard: &Dashboard, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("memory is a terminal");
    terminal.draw(|frame| dashboard.draw(frame)).expect("memory takes all cells");
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> Vec<String> {
    let width = usize::from(buffer.area.width);
    buffer.content.chunks(width).map(|row| row.iter().map(Cell::symbol).collect()).collect()
}

/// Places of braille characters of a colour.
fn dots(buffer: &Buffer, colour: Color) -> Vec<(u16, u16)> {
    let is_dot = |cell: &Cell| {
        cell.fg == colour && cell.symbol().chars().all(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
    };
    buffer.area.positions().filter(|&place| is_dot(&buffer[place])).map(|place| (place.x, place.y)).collect()
}

/// A rising generator, a discriminator that stays low, and a grid whose first image is red over green.
fn dashboard() -> Dashboard {
    let grid = RgbImage::from_fn(11, 11, |_, y| if y % 2 == 0 { Rgb([255, 0, 0]) } else { Rgb([0, 255, 0]) });
    Dashboard {
        step: 250,
        steps: 1000,
        images_per_second: 812.4,
        seconds_left: 150.0,
        discriminator: (1..=250).map(|step| (f64::from(step), 0.1)).collect(),
        generator: (1..=250).map(|step| (f64::from(step), f64::from(step) / 250.0)).collect(),
        evaluates: true,
        metric: "kid pixels 7x7".into(),
        evaluations: vec![(100.0, 0.5), (200.0, 0.25)],
        best: Some((200, 0.25)),
        warnings: vec!["warning: step 50: the older".into(), "warning: step 200: the newer".into()],
        samples: Some(Samples { step: 200, grid, pitch: 6 }),
    }
}

#[test]
fn everything_has_its_label() {
    let text = rows(&drawn(&dashboard(), 100, 36)).join("\n");
    for label in [
        "250/1000 steps, 812 images/s, 2 min left",
        "Losses, discriminator 0.100, generator 1.000",
        "kid pixels 7x7 0.2500, best 0.2500 at step 200",
        "Samples of step 200",
        "q or Ctrl-C saves a checkpoint and ends",
    ] {
        assert!(text.contains(label), "{label} in\n{text}");
    }
    assert!(text.find("the newer") < text.find("the older"), "{text}");
    let text = rows(&drawn(&Dashboard { evaluates: false, ..Dashboard::default() }, 100, 36)).join("\n");
    assert!(
        text.contains("No samples yet") && !text.contains("Warnings") && !text.contains("valuation"),
        "{text}"
    );
}

#[test]
fn curves_go_where_their_values_do() {
    let buffer = drawn(&dashboard(), 100, 36);
    let (rising, flat) = (dots(&buffer, GENERATOR), dots(&buffer, DISCRIMINATOR));
    let ends = |dots: &[(u16, u16)]| (dots.iter().min().copied(), dots.iter().max().copied());
    let (Some(first), Some(last)) = ends(&rising) else { panic!("no curve of the generator") };
    assert!(last.0 - first.0 > 40 && first.1 - last.1 > 8, "{first:?} to {last:?}");
    assert!(flat.len() > 40 && flat.iter().all(|dot| dot.1 == flat[0].1), "{flat:?}");
    // Where the curves cross, the later one is seen: near the beginning, both at 0.1.
    assert!(flat[0].1 > last.1);
    let falling = dots(&buffer, EVALUATION);
    let (Some(first), Some(last)) = ends(&falling) else { panic!("no curve of evaluations") };
    assert!(last.1 > first.1, "{first:?} to {last:?}");
}

#[test]
fn two_pixels_are_one_cell() {
    let buffer = drawn(&dashboard(), 100, 36);
    let blocks: Vec<_> = buffer.area.positions().filter(|&place| buffer[place].symbol() == "▀").collect();
    // 11 by 11 pixels, none of them enlarged.
    assert_eq!(blocks.len(), 11 * 6);
    for place in blocks {
        let is_last = place.y == buffer.area.bottom() - 8 || buffer[(place.x, place.y + 1)].symbol() != "▀";
        let below = if is_last { Color::Reset } else { Color::Rgb(0, 255, 0) };
        assert_eq!((buffer[place].fg, buffer[place].bg), (Color::Rgb(255, 0, 0), below), "{place}");
    }
}

#[test]
fn a_large_grid_shows_its_first_images() {
    // Ten by ten white images of 28 pixels, but for a black first row and column.
    let grid = RgbImage::from_fn(289, 289, |x, y| Rgb([if x < 28 || y < 28 { 0 } else { 255 }; 3]));
    let samples = Samples { step: 1, grid, pitch: 29 };
    let picture = samples.thumbnail([40, 60]);
    // Two by four images: 57 by 115 pixels, in about half their size.
    assert_eq!(picture.dimensions(), (29, 60));
    let white = picture.pixels().filter(|pixel| pixel.0 == [255; 3]).count();
    assert!(white > 29 * 60 / 4 && picture.get_pixel(5, 50).0 == [0; 3], "{white}");
}

#[test]
fn no_terminal_is_too_small() {
    for (width, height) in [(1, 1), (3, 2), (10, 5), (20, 12), (300, 4), (4, 200)] {
        drawn(&dashboard(), width, height);
        drawn(&Dashboard::default(), width, height);
    }
    let odd = Dashboard {
        step: 7,
        generator: vec![(1.0, f64::from(f32::MAX))],
        samples: Some(Samples { step: 0, grid: RgbImage::new(1, 1), pitch: 0 }),
        seconds_left: f64::INFINITY,
        ..Dashboard::default()
    };
    drawn(&odd, 80, 24);
}

#[test]
fn numbers_and_times_are_short() {
    assert_eq!([0.0, 0.25, -1.5, 3e-5, 1e6].map(short), ["0.000", "0.250", "-1.500", "3.0e-5", "1.0e6"]);
    assert_eq!([0.4, 119.0, 600.0, 9000.0].map(time), ["0 s", "119 s", "10 min", "2.5 h"]);
}
