//! Ways in which the images that a device sees differ from those that its generator was trained on.

use pocketgan_trainer::training::noise;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shift {
    /// Black becomes white: another style of the same digits.
    Inverted,
    /// Strokes a pixel wider on each side.
    Thick,
    /// Blurred by a Gaussian of one pixel, with normal noise of a tenth of the range: another sensor.
    Noisy,
    /// Other things altogether: clothing.
    Fashion,
}

impl core::fmt::Display for Shift {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Inverted => "inverted",
            Self::Thick => "thick",
            Self::Noisy => "noisy",
            Self::Fashion => "fashion",
        })
    }
}

impl Shift {
    /// The images as a device sees them.
    ///
    /// # Shapes
    /// `[N, C, H, W]` in [-1, 1], as `shape` says.
    pub fn apply(self, images: &[f32], [_, height, width]: [usize; 3], seed: u64) -> Vec<f32> {
        let area = height * width;
        match self {
            Self::Inverted => images.iter().map(|value| -value).collect(),
            Self::Thick => images
                .chunks_exact(area)
                .flat_map(|plane| {
                    neighbours(plane, height, width, |around| around.into_iter().fold(-1.0, f32::max))
                })
                .collect(),
            Self::Noisy => {
                let mut noise = vec![0.0; images.len()];
                noise::fill_normal(seed, &mut noise);
                let blurred = images.chunks_exact(area).flat_map(|plane| {
                    neighbours(plane, height, width, |around| {
                        around.iter().zip(GAUSS).map(|(value, weight)| value * weight).sum()
                    })
                });
                blurred.zip(noise).map(|(value, noise)| (value + 0.2 * noise).clamp(-1.0, 1.0)).collect()
            }
            Self::Fashion => images.to_vec(),
        }
    }
}

/// `f` of the nine pixels around each, where those outside are black.
fn neighbours(plane: &[f32], height: usize, width: usize, f: impl Fn([f32; 9]) -> f32) -> Vec<f32> {
    (0..height * width)
        .map(|pixel| {
            f(core::array::from_fn(|i| {
                let y = (pixel / width + i / 3).checked_sub(1).filter(|&y| y < height);
                let x = (pixel % width + i % 3).checked_sub(1).filter(|&x| x < width);
                y.zip(x).map_or(-1.0, |(y, x)| plane[y * width + x])
            }))
        })
        .collect()
}

/// A Gaussian of standard deviation 1 at the nine pixels, whose sum is 1.
const GAUSS: [f32; 9] = [0.0751, 0.1238, 0.0751, 0.1238, 0.2044, 0.1238, 0.0751, 0.1238, 0.0751];
