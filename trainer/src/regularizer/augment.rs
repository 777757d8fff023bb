//! Differentiable augmentation: real and generated images are moved, cut and recoloured alike before they are judged.
//!
//! The discriminator then cannot learn a few images by heart, and the gradient goes back to the generator through the same
//! change, so that the changes do not leak into what it draws. Every batch has fresh random numbers, every sample its own.
//!
//! # Source
//! Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training", arXiv:2006.10738, and its reference code,
//! whose ranges these are, for values in [-1, 1].

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand_xoshiro::Xoshiro128PlusPlus;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::training::noise;

/// A kind of change. In TOML by its name in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Augment {
    /// Brightness by U\[-0.5, 0.5\], then the distance from the mean of the pixel times U\[0, 2\], which leaves grey images as
    /// they are, then that from the mean of the image times U\[0.5, 1.5\].
    Color,
    /// A move by up to an eighth of height and width; zeros follow after.
    Translation,
    /// Zeros in a square of half of height and width around any pixel. A single pixel would be cut out whole.
    Cutout,
}

/// `images` after the changes of `policy`, one after the other.
///
/// # Shapes
/// `images` and result: `[N, C, H, W]`.
pub fn augmented(policy: &[Augment], images: Tensor<4>, seed: u64) -> Tensor<4> {
    let mut rng = noise::rng(seed);
    policy.iter().fold(images, |images, augment| match augment {
        Augment::Color => recolored(images, &mut rng),
        Augment::Translation => translated(images, &mut rng),
        Augment::Cutout => cut(images, &mut rng),
    })
}

fn recolored(images: Tensor<4>, rng: &mut Xoshiro128PlusPlus) -> Tensor<4> {
    let [n, channels, ..] = images.dims();
    let device = images.device();
    let mut factors = |from: f32, width: f32| {
        let values = (0..n).map(|_| from + width * noise::uniform(rng)).collect();
        per_sample(values, [n, 1, 1, 1], &device)
    };
    let (brightness, saturation, contrast) = (factors(-0.5, 1.0), factors(0.0, 2.0), factors(0.5, 1.0));
    let mut images = images + brightness;
    if channels > 1 {
        let grey = images.clone().mean_dim(1);
        images = (images - grey.clone()) * saturation + grey;
    }
    let mean = images.clone().mean_dims(&[1, 2, 3]);
    (images - mean.clone()) * contrast + mean
}

fn translated(images: Tensor<4>, rng: &mut Xoshiro128PlusPlus) -> Tensor<4> {
    let [n, channels, height, width] = images.dims();
    let len = channels * height * width;
    let mut sources = Vec::with_capacity(n * len);
    let mut kept = Vec::with_capacity(n * height * width);
    for _ in 0..n {
        let [rows, columns] = [height, width].map(|extent| shifted(extent, rng));
        for channel in 0..channels {
            for (row, _) in &rows {
                let first = (channel * height + row) * width;
                sources.extend(columns.iter().map(|(column, _)| (first + column) as i32));
            }
        }
        for (_, row_inside) in &rows {
            kept.extend(columns.iter().map(|(_, inside)| f32::from(*row_inside && *inside)));
        }
    }
    let device = images.device();
    let sources = Tensor::<2, Int>::from_data(TensorData::new(sources, [n, len]), &device);
    let moved = images.reshape([n, len]).gather(1, sources).reshape([n, channels, height, width]);
    moved * per_sample(kept, [n, 1, height, width], &device)
}

/// For each place of an axis where its value comes from, and whether that is inside of the image, under a move by up to an
/// eighth.
///
/// What is not inside comes from the opposite side, to be multiplied by zero: then each value goes to exactly one place, and no
/// two gradients meet, in whatever order.
fn shifted(extent: usize, rng: &mut Xoshiro128PlusPlus) -> Vec<(usize, bool)> {
    let most = (extent + 4) / 8;
    let shift = noise::below(rng, 2 * most as u32 + 1) as usize;
    (0..extent)
        .map(|at| {
            // Not below zero: `most` is below `extent`, or zero where there is no shift.
            let source = at + extent + most - shift;
            (source % extent, (extent..2 * extent).contains(&source))
        })
        .collect()
}

fn cut(images: Tensor<4>, rng: &mut Xoshiro128PlusPlus) -> Tensor<4> {
    let [n, _, height, width] = images.dims();
    let mut kept = Vec::with_capacity(n * height * width);
    for _ in 0..n {
        let [rows, columns] = [height, width].map(|extent| {
            // A half, rounded to the nearest; its centre lies anywhere, so that it may hang over the border.
            let side = extent.div_ceil(2);
            let centre = noise::below(rng, (extent + 1 - side % 2) as u32) as usize;
            centre.saturating_sub(side / 2)..centre + side.div_ceil(2)
        });
        for row in 0..height {
            kept.extend(
                (0..width).map(|column| f32::from(!(rows.contains(&row) && columns.contains(&column)))),
            );
        }
    }
    let kept = per_sample(kept, [n, 1, height, width], &images.device());
    images * kept
}

fn per_sample(values: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::values;

    const ALL: [Augment; 3] = [Augment::Color, Augment::Translation, Augment::Cutout];
    const EPSILON: f64 = f32::EPSILON as f64;

    fn random(seed: u64, shape: [usize; 4], device: &Device) -> Tensor<4> {
        let mut data = vec![0.0; shape.iter().product()];
        noise::fill_normal(seed, &mut data);
        Tensor::from_data(TensorData::new(data, shape), device)
    }

    /// Every pixel of an image has a value of its own, so that one sees where each went.
    fn numbered([n, channels, height, width]: [usize; 4], device: &Device) -> Tensor<4> {
        let len = channels * height * width;
        let data: Vec<f32> = (0..n).flat_map(|_| (1..=len).map(|value| value as f32)).collect();
        Tensor::from_data(TensorData::new(data, [n, channels, height, width]), device)
    }

    #[test]
    fn a_translation_moves_every_channel_alike_and_leaves_zeros() {
        let shape @ [n, channels, height, width] = [400, 2, 13, 16];
        let device = Device::flex();
        let moved = values(augmented(&[Augment::Translation], numbered(shape, &device), 3));
        let mut seen = std::collections::BTreeMap::new();
        for sample in moved.chunks(channels * height * width) {
            // The middle stays in the image: 13 and 16 move by at most 2.
            let middle = (height / 2) * width + width / 2;
            let source = sample[middle] as usize - 1;
            let down = (height / 2) as isize - (source / width) as isize;
            let right = (width / 2) as isize - (source % width) as isize;
            for (i, &value) in sample.iter().enumerate() {
                let (channel, row, column) = (i / width / height, i / width % height, i % width);
                let row = row.checked_add_signed(-down).filter(|&row| row < height);
                let column = column.checked_add_signed(-right).filter(|&column| column < width);
                let expected = row.zip(column).map_or(0, |(y, x)| (channel * height + y) * width + x + 1);
                assert_eq!(value, expected as f32);
            }
            *seen.entry((down, right)).or_insert(0) += 1;
        }
        // All of 5 x 5 moves and no other, each with probability 1 / 25: here 16, plus or minus 5 standard deviations.
        assert_eq!(seen.len(), 25, "{seen:?}");
        let spread = 5.0 * (n as f64 / 25.0 * (24.0 / 25.0)).sqrt();
        assert!(seen.values().all(|&count| (f64::from(count) - 16.0).abs() < spread), "{seen:?}");
        assert!(seen.keys().all(|(down, right)| down.abs() <= 2 && right.abs() <= 2), "{seen:?}");
    }

    #[test]
    fn a_cutout_is_a_square_of_half_the_image() {
        let shape @ [_, channels, height, width] = [400, 2, 10, 8];
        let before = numbered(shape, &Device::flex());
        let after = values(augmented(&[Augment::Cutout], before.clone(), 4));
        let before = values(before);
        let (mut rows_seen, mut columns_seen) = (vec![], vec![]);
        let len = channels * height * width;
        for (before, after) in before.chunks(len).zip(after.chunks(len)) {
            let empty: Vec<_> = (0..height * width).filter(|&i| after[i] == 0.0).collect();
            let rows = empty[0] / width..empty[empty.len() - 1] / width + 1;
            let columns = empty[0] % width..empty[empty.len() - 1] % width + 1;
            for (i, (before, after)) in before.iter().zip(after).enumerate() {
                let inside = rows.contains(&(i / width % height)) && columns.contains(&(i % width));
                assert_eq!(*after, if inside { 0.0 } else { *before });
            }
            rows_seen.push((rows.start, rows.end));
            columns_seen.push((columns.start, columns.end));
        }
        // Sides 5 and 4: an odd one has a pixel as its centre, an even one a corner between pixels.
        for (seen, extent, side) in [(&mut rows_seen, height, 5), (&mut columns_seen, width, 4)] {
            seen.sort_unstable();
            seen.dedup();
            let centres = 0..extent + 1 - side % 2;
            let mut expected: Vec<_> = centres
                .map(|centre| (centre.saturating_sub(side / 2), (centre + side - side / 2).min(extent)))
                .collect();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(*seen, expected);
        }
    }

    #[test]
    fn colors_follow_the_formula() {
        for channels in [1, 3] {
            let shape @ [n, ..] = [5, channels, 4, 6];
            let pixels = 24;
            let images = random(5, shape, &Device::flex());
            let found = values(augmented(&[Augment::Color], images.clone(), 6));
            let mut rng = noise::rng(6);
            let mut draws = || (0..n).map(|_| f64::from(noise::uniform(&mut rng))).collect::<Vec<_>>();
            let (brightness, saturation, contrast) = (draws(), draws(), draws());
            let images = values(images);
            let samples = images.chunks(channels * pixels).zip(found.chunks(channels * pixels));
            for (i, (before, found)) in samples.enumerate() {
                let mut image: Vec<f64> =
                    before.iter().map(|&v| f64::from(v) + brightness[i] - 0.5).collect();
                for pixel in 0..pixels {
                    let at = |channel| channel * pixels + pixel;
                    let grey = (0..channels).map(|c| image[at(c)]).sum::<f64>() / channels as f64;
                    for c in 0..channels {
                        image[at(c)] = (image[at(c)] - grey) * 2.0 * saturation[i] + grey;
                    }
                }
                let mean = image.iter().sum::<f64>() / image.len() as f64;
                for (value, found) in image.iter().zip(found) {
                    let expected = (value - mean) * (contrast[i] + 0.5) + mean;
                    // A mean of 72 values below 4 and some ten further roundings, thrice enlarged.
                    let atol = (72.0 + 10.0) * 4.0 * 3.0 * EPSILON;
                    assert!((f64::from(*found) - expected).abs() < atol, "{found} {expected}");
                }
            }
        }
    }

    /// Every change is linear up to a constant, so that `<A(x) - A(0), g> = <x, gradient>` for any `g`.
    #[test]
    fn the_gradient_is_the_transposed_change() {
        let device = Device::flex().autodiff();
        let policies = [&ALL[..1], &ALL[1..2], &ALL[2..], &ALL];
        for (shape, policy) in
            [[4, 1, 9, 12], [3, 3, 8, 8]].into_iter().flat_map(|shape| policies.map(|p| (shape, p)))
        {
            let x = random(7, shape, &device).require_grad();
            let at_x = augmented(policy, x.clone(), 9);
            let at_zero = augmented(policy, Tensor::zeros(shape, &device), 9);
            // Not at right angles to the result.
            let g = random(8, shape, &device) + at_x.clone().detach() - at_zero.clone();
            let grads = (at_x.clone() * g.clone()).sum().backward();
            let gradient = x.grad(&grads).expect("the result depends on x");
            let dot = |a: Tensor<4>, b: Tensor<4>| {
                values(a).iter().zip(values(b)).map(|(&a, b)| f64::from(a) * f64::from(b)).sum::<f64>()
            };
            let forward = dot(at_x, g.clone()) - dot(at_zero, g);
            let backward = dot(x.clone(), gradient);
            // Both sides sum N values, each off by the 82 roundings above.
            let atol = shape.iter().product::<usize>() as f64 * (72.0 + 10.0) * 4.0 * 3.0 * EPSILON;
            assert!((forward - backward).abs() < atol, "{policy:?}: {forward} {backward}");
            assert!(forward > 100.0 * atol, "{policy:?}: {forward} says nothing");
        }
    }

    /// A pixel that stays in the image has the gradient of the place where it went; one that is pushed out has none.
    #[test]
    fn the_gradient_of_a_translation_goes_to_the_right_pixels() {
        let device = Device::flex().autodiff();
        let shape @ [_, channels, height, width] = [6, 2, 8, 8];
        let x = numbered(shape, &device).require_grad();
        let g = random(8, shape, &device);
        let moved = augmented(&[Augment::Translation], x.clone(), 2);
        let grads = (moved.clone() * g.clone()).sum().backward();
        let gradient = values(x.grad(&grads).expect("the result depends on x"));
        let len = channels * height * width;
        let (moved, g) = (values(moved), values(g));
        for ((moved, g), gradient) in moved.chunks(len).zip(g.chunks(len)).zip(gradient.chunks(len)) {
            let mut expected = vec![0.0; len];
            for (value, g) in moved.iter().zip(g).filter(|(value, _)| **value > 0.0) {
                expected[*value as usize - 1] = *g;
            }
            assert_eq!(gradient, expected);
        }
    }

    #[test]
    fn samples_and_batches_have_their_own_changes() {
        let device = Device::flex();
        let images = numbered([8, 3, 16, 16], &device);
        for augment in ALL {
            let change = |seed| values(augmented(&[augment], images.clone(), seed));
            assert_eq!(change(1), change(1), "{augment:?}");
            assert_ne!(change(1), change(2), "{augment:?}");
            let changed = change(1);
            let (first, rest) = changed.split_at(3 * 16 * 16);
            assert!(rest.chunks(first.len()).any(|sample| sample != first), "{augment:?}");
        }
        assert_eq!(values(augmented(&[], images.clone(), 1)), values(images));
    }
}
