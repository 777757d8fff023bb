//! Differentiable augmentation: the discriminator sees real and generated pictures moved, cut and recoloured alike, so that it
//! cannot learn a few examples by heart, and the generator's gradient goes back through the same change.
//!
//! # Source
//! Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", arXiv:2006.10738, whose ranges these are.

use crate::draws::{Draws, Stream};

/// Which changes are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Farthest move, as a part of height and width; 1/8 in the paper.
    pub translation: f32,
    /// Side of the square that is cut out, as a part of height and width; 1/2 in the paper.
    pub cutout: f32,
    /// Brightness, and of colour pictures saturation and contrast.
    pub color: bool,
}

/// One change of one picture.
///
/// Colours first: `brightness` is added, then values move away from the mean of their pixel by the factor `saturation`, and from
/// the mean of the picture by `contrast`. Then the picture moves by `shift`, and the rectangle `cutout` is emptied; what is
/// empty has the value in the middle between black and white.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// Rows down and columns to the right.
    pub shift: [isize; 2],
    /// Top, left, bottom and right; the latter two excluded.
    pub cutout: [usize; 4],
    /// Added to every value.
    pub brightness: f32,
    /// 1 leaves the colours.
    pub saturation: f32,
    /// 1 leaves the contrast.
    pub contrast: f32,
}

impl Policy {
    /// Translation and cutout, without colours.
    pub const GEOMETRY: Self = Self { translation: 0.125, cutout: 0.5, color: false };

    /// No change.
    pub const NONE: Self = Self { translation: 0.0, cutout: 0.0, color: false };

    /// The change of a picture of `[height, width, channels]` with values in `range` that a seed stands for.
    pub fn change(&self, seed: u64, shape: [usize; 3], range: [f32; 2]) -> Augmentation {
        self.draw(&mut Draws::new(seed, Stream::Real, 0, 0), shape, range)
    }

    /// A change of a picture of `[height, width, channels]` with values in `range`.
    pub(crate) fn draw(
        &self,
        draws: &mut Draws,
        [height, width, channels]: [usize; 3],
        range: [f32; 2],
    ) -> Augmentation {
        let mut change = Augmentation::NONE;
        for (shift, extent) in change.shift.iter_mut().zip([height, width]) {
            let most = (extent as f32 * self.translation + 0.5) as usize;
            *shift = draws.below(2 * most + 1) as isize - most as isize;
        }
        let side = |extent: usize| (extent as f32 * self.cutout + 0.5) as usize;
        for (axis, extent) in [height, width].into_iter().enumerate() {
            let side = side(extent).min(extent);
            // The centre lies anywhere in the picture, so that the square may hang over its border.
            let centre = draws.below(extent + 1 - side % 2);
            change.cutout[axis] = centre.saturating_sub(side / 2);
            change.cutout[2 + axis] = (centre + side.div_ceil(2)).min(extent);
        }
        if side(height).min(side(width)) == 0 {
            change.cutout = [0; 4];
        }
        if self.color {
            // The paper's ranges are for values in -1..=1.
            change.brightness = (draws.unit() - 0.5) * 0.5 * (range[1] - range[0]);
            change.saturation = if channels > 1 { 2.0 * draws.unit() } else { 1.0 };
            change.contrast = draws.unit() + 0.5;
        }
        change
    }
}

impl Augmentation {
    /// No change.
    pub const NONE: Self =
        Self { shift: [0; 2], cutout: [0; 4], brightness: 0.0, saturation: 1.0, contrast: 1.0 };

    /// The pixel that lands at `(row, col)`; none where the picture is empty.
    pub fn source(&self, [height, width]: [usize; 2], row: usize, col: usize) -> Option<[usize; 2]> {
        let [top, left, bottom, right] = self.cutout;
        if (top..bottom).contains(&row) && (left..right).contains(&col) {
            return None;
        }
        let y = row.checked_add_signed(-self.shift[0]).filter(|&y| y < height)?;
        let x = col.checked_add_signed(-self.shift[1]).filter(|&x| x < width)?;
        Some([y, x])
    }

    /// Writes the changed picture.
    ///
    /// # Shapes
    /// Both `[height, width, channels]`, as `shape` says.
    pub fn apply(&self, shape: [usize; 3], range: [f32; 2], input: &[f32], output: &mut [f32]) {
        let [height, width, channels] = shape;
        let mean = self.mean(input) + self.brightness;
        let empty = 0.5 * (range[0] + range[1]);
        for (pixel, out) in output.chunks_exact_mut(channels).enumerate() {
            let Some([y, x]) = self.source([height, width], pixel / width, pixel % width) else {
                out.fill(empty);
                continue;
            };
            let values = &input[(y * width + x) * channels..][..channels];
            let grey = self.grey(values) + self.brightness;
            for (out, &value) in out.iter_mut().zip(values) {
                let value = (value + self.brightness - grey) * self.saturation + grey;
                *out = if self.contrast == 1.0 { value } else { (value - mean) * self.contrast + mean };
            }
        }
    }

    /// Writes the gradient with respect to the picture, from that with respect to the changed one.
    ///
    /// # Shapes
    /// As [`apply`](Self::apply).
    pub fn gradient(&self, shape: [usize; 3], grad_output: &[f32], grad_input: &mut [f32]) {
        let [height, width, channels] = shape;
        grad_input.fill(0.0);
        for (pixel, grad) in grad_output.chunks_exact(channels).enumerate() {
            if let Some([y, x]) = self.source([height, width], pixel / width, pixel % width) {
                grad_input[(y * width + x) * channels..][..channels].copy_from_slice(grad);
            }
        }
        // Means are symmetric: the colours' own gradient is the same mixture of a value and its means.
        if self.contrast != 1.0 {
            let mean = mean(grad_input);
            grad_input
                .iter_mut()
                .for_each(|grad| *grad = *grad * self.contrast + mean * (1.0 - self.contrast));
        }
        if self.saturation != 1.0 {
            for pixel in grad_input.chunks_exact_mut(channels) {
                let grey = mean(pixel);
                pixel.iter_mut().for_each(|grad| *grad = (*grad - grey) * self.saturation + grey);
            }
        }
    }

    fn mean(&self, values: &[f32]) -> f32 {
        if self.contrast == 1.0 { 0.0 } else { mean(values) }
    }

    fn grey(&self, pixel: &[f32]) -> f32 {
        if self.saturation == 1.0 { 0.0 } else { mean(pixel) }
    }
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}
