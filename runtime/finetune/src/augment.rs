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

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use pocketgan_runtime::latent::fill_normal;

    const POLICY: Policy = Policy { translation: 0.25, cutout: 0.5, color: true };

    /// `<A x - A 0, g> = <x, A' g>` for any x and g: the gradient is the transposed change.
    #[test]
    fn the_gradient_is_the_transposed_change() {
        for (seed, shape) in (0..40).zip([[6, 5, 1], [5, 8, 3], [1, 4, 3], [7, 7, 2]].into_iter().cycle()) {
            let change = POLICY.change(seed, shape, [-1.0, 1.0]);
            let len = shape.iter().product();
            let mut random = vec![0.0; 2 * len];
            fill_normal(100 + seed, &mut random);
            let (x, g) = random.split_at(len);
            let apply = |x: &[f32]| {
                let mut out = vec![0.0; len];
                change.apply(shape, [-1.0, 1.0], x, &mut out);
                out
            };
            let (at_x, at_zero) = (apply(x), apply(&vec![0.0; len]));
            let mut back = vec![0.0; len];
            change.gradient(shape, g, &mut back);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
            };
            let difference: Vec<f32> = at_x.iter().zip(&at_zero).map(|(a, b)| a - b).collect();
            // Some ten roundings of values below 20, against gradients of a total below 4 len.
            let atol = 10.0 * 20.0 * f64::from(f32::EPSILON) * 4.0 * len as f64;
            assert!((dot(&difference, g) - dot(x, &back)).abs() < atol, "{change:?}");
        }
    }

    #[test]
    fn nothing_changes_without_a_policy() {
        let change = Policy::NONE.change(3, [4, 4, 3], [0.0, 1.0]);
        assert_eq!(change, Augmentation::NONE);
        let image: Vec<f32> = (0..48).map(|i| i as f32).collect();
        let mut out = vec![0.0; 48];
        change.apply([4, 4, 3], [0.0, 1.0], &image, &mut out);
        assert_eq!(out, image);
    }

    #[test]
    fn moves_and_cuts_by_hand() {
        let change = Augmentation { shift: [1, -1], cutout: [0, 0, 1, 3], ..Augmentation::NONE };
        let image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let mut out = [0.0; 6];
        // The first row is cut out, the second holds the first moved to the left; what is empty is grey.
        change.apply([2, 3, 1], [-1.0, 0.0], &image, &mut out);
        assert_eq!(out, [-0.5, -0.5, -0.5, 2.0, 3.0, -0.5]);
    }

    #[test]
    fn changes_stay_in_their_ranges() {
        let shape = [28, 28, 3];
        let mut shifts = [[0; 2]; 2];
        for seed in 0..2000 {
            let change = Policy { color: true, ..Policy::GEOMETRY }.change(seed, shape, [-1.0, 1.0]);
            for (axis, shift) in change.shift.into_iter().enumerate() {
                shifts[axis][0] = shifts[axis][0].min(shift);
                shifts[axis][1] = shifts[axis][1].max(shift);
            }
            let [top, left, bottom, right] = change.cutout;
            assert!(bottom - top <= 14 && right - left <= 14 && bottom <= 28 && right <= 28);
            assert!(change.brightness.abs() <= 0.5 && (0.0..=2.0).contains(&change.saturation));
            assert!((0.5..=1.5).contains(&change.contrast));
        }
        // An eighth of 28, rounded; every value of nine comes up in 2,000 draws.
        assert_eq!(shifts, [[-4, 4]; 2]);
    }
}
