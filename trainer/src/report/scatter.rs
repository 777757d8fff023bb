//! Points of the plane as a picture.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use image::{Rgb, RgbImage};

/// Writes a picture of `points` over those of `real`, whose square it shows with a margin; points outside are left out.
///
/// # Shapes
/// Both: `[N, 2]`.
///
/// # Errors
/// When there are no real points or the file cannot be written.
pub(crate) fn write(path: &Path, points: &[f32], real: &[f32]) -> Result<()> {
    draw(points, real)?.save(path).with_context(|| format!("writing {}", path.display()))
}

fn draw(points: &[f32], real: &[f32]) -> Result<RgbImage> {
    let reach = real.iter().fold(0.0f32, |reach, value| reach.max(value.abs()));
    ensure!(reach > 0.0 && reach.is_finite(), "there are no points to show others by");
    let mut picture = RgbImage::from_pixel(SIZE, SIZE, PAPER);
    for (points, colour) in [(real, REAL), (points, GENERATED)] {
        for point in points.chunks_exact(2) {
            let (x, y) = (pixel(point[0], reach), pixel(-point[1], reach));
            if let (Some(x), Some(y)) = (x, y) {
                picture.put_pixel(x, y, colour);
            }
        }
    }
    Ok(picture)
}

/// The pixel of a coordinate, whose axis runs over the picture from left to right or from top to bottom.
fn pixel(value: f32, reach: f32) -> Option<u32> {
    let place = (value / (MARGIN * reach) + 1.0) / 2.0 * SIZE as f32;
    (place >= 0.0 && place < SIZE as f32).then_some(place as u32)
}

const SIZE: u32 = 320;
/// What is shown in relation to what the real points span, so that one sees how far others stray.
const MARGIN: f32 = 1.4;
const PAPER: Rgb<u8> = Rgb([0xff; 3]);
const REAL: Rgb<u8> = Rgb([0xc9, 0xc7, 0xc0]);
const GENERATED: Rgb<u8> = Rgb([0x1f, 0x6f, 0xcf]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_where_they_should() -> Result<()> {
        // One real point to the right of the centre, and a generated one above it.
        let picture = draw(&[0.0, 1.0, 9.0, 9.0], &[1.0, 0.0])?;
        let of = |colour| -> Vec<_> {
            picture.enumerate_pixels().filter(|&(_, _, &is)| is == colour).map(|(x, y, _)| (x, y)).collect()
        };
        // 1 / 1.4 of the way from the centre at 160 to the border.
        assert_eq!(of(REAL), [(274, 160)]);
        assert_eq!(of(GENERATED), [(160, 45)]);
        assert!(draw(&[0.0, 0.0], &[]).is_err());
        Ok(())
    }
}
