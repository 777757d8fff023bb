//! Every geometry of a convolution, from graph through export to each kernel, against the naive definition.

use pocketgan_compiler::export::{self, Options, WeightType, export};
use pocketgan_compiler::graph::{Conv2dGeometry, Graph, Input, Op, Role, Tensor};
use pocketgan_kernels::reference::{self, ConvGeometry};
use pocketgan_runtime::{Model, dispatch};
use pocketgan_tests::Random;

/// A convolution of an image, and what the definition makes of it.
struct Case {
    geometry: Conv2dGeometry,
    in_channels: usize,
    out_channels: usize,
    in_size: [usize; 2],
    transposed: bool,
}

impl Case {
    fn reference_geometry(&self) -> ConvGeometry {
        let g = &self.geometry;
        ConvGeometry {
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            in_size: self.in_size,
            kernel_size: g.kernel_size,
            stride: g.stride,
            padding: g.padding,
            dilation: g.dilation,
            groups: g.groups,
            output_padding: g.output_padding,
        }
    }

    fn out_size(&self) -> [usize; 2] {
        let g = self.reference_geometry();
        if self.transposed { g.conv_transpose2d_size() } else { g.conv2d_size() }
    }

    /// Exports the convolution and compares.
    fn check(&self, random: &mut Random) {
        let g = &self.geometry;
        let [h, w] = self.in_size;
        let c = self.in_channels;
        let fan = [c, self.out_channels];
        let [rows, cols] = if self.transposed { fan } else { [fan[1], fan[0]] };
        let shape = [rows, cols / g.groups, g.kernel_size[0], g.kernel_size[1]];
        let weight = Tensor::new(shape, random.values(shape.iter().product()));
        let bias = random.values(self.out_channels);
        let convolution = (weight.clone(), Some(Tensor::new([self.out_channels], bias.clone())), g.clone());
        let op = match (self.transposed, convolution) {
            (true, (weight, bias, geometry)) => Op::ConvTranspose2d { weight, bias, geometry },
            (false, (weight, bias, geometry)) => Op::Conv2d { weight, bias, geometry },
        };
        let [out_h, out_w] = self.out_size();
        let input = Input { name: "x".into(), role: Role::Values, shape: vec![1, c, h, w] };
        let mut graph = Graph::new(vec![input]);
        let pushed = graph.push("convolution", op, vec![graph.input(0)]);
        pushed.unwrap_or_else(|e| panic!("{e:#}: {g:?}"));
        let options = Options { weights: WeightType::F32, ..Options::default() };
        let export = export(&graph, &options).unwrap_or_else(|e| panic!("{e:#}: {g:?}"));
        let model = Model::load(&export.file).expect("verified");

        let z = random.values(c * h * w);
        let absolute = |v: &[f32]| v.iter().map(|x| x.abs()).collect::<Vec<_>>();
        let run = |weight: &[f32], bias: &[f32], input: &[f32]| {
            let mut out = vec![0.0; self.out_channels * out_h * out_w];
            let naive = if self.transposed { reference::conv_transpose2d } else { reference::conv2d };
            naive(&self.reference_geometry(), weight, Some(bias), input, &mut out);
            out
        };
        let want = run(&weight.data, &bias, &z);
        let size = run(&absolute(&weight.data), &absolute(&bias), &absolute(&z));
        let products = (c / g.groups * g.kernel_size.iter().product::<usize>() + 1) as f32;
        for kernels in dispatch::available().into_iter().flatten() {
            let got = export::run(&graph, &model, kernels, &[&z]).expect("the arena fits");
            for (i, ((want, got), size)) in want.iter().zip(&got).zip(&size).enumerate() {
                // Each side may be off by k * eps/2 * sum|a*b| (Higham 2002, section 3.1).
                let atol = products * f32::EPSILON * size;
                assert!(
                    (want - got).abs() <= atol,
                    "{}: value {i} is {got}, not {want}: {g:?} on {:?}",
                    kernels.name,
                    self.in_size
                );
            }
        }
    }
}

/// Draws a geometry until something is left of the output.
fn draw_case(random: &mut Random, transposed: bool, kernel: usize, stride: usize) -> Case {
    loop {
        let groups = [1, 1, 2, 3][random.below(4)];
        let out_channels = [1, 3][random.below(2)];
        let groups = if out_channels % groups == 0 { groups } else { 1 };
        let stride = [stride, 1 + random.below(4)];
        let dilation = [1 + random.below(3), 1 + random.below(2)];
        let case = Case {
            geometry: Conv2dGeometry {
                kernel_size: [kernel, 1 + random.below(9)],
                stride,
                padding: core::array::from_fn(|_| random.below(4)),
                dilation,
                groups,
                output_padding: match transposed {
                    true => [0, 1].map(|axis| random.below(stride[axis].max(dilation[axis]))),
                    false => [0, 0],
                },
            },
            in_channels: groups * (1 + random.below(5)),
            out_channels,
            in_size: [1 + random.below(6), 1 + random.below(6)],
            transposed,
        };
        let span = |axis: usize| case.geometry.dilation[axis] * (case.geometry.kernel_size[axis] - 1) + 1;
        let fits = |axis: usize| {
            let padding = case.geometry.padding[axis] + case.geometry.padding[axis + 2];
            transposed || case.in_size[axis] + padding >= span(axis)
        };
        if case.out_size().iter().all(|&extent| extent > 0) && fits(0) && fits(1) {
            return case;
        }
    }
}

#[test]
fn transposed_convolutions_match_the_naive_scatter() {
    let mut random = Random::new("convolutions", 1);
    for kernel in 1..=9 {
        for stride in 1..=4 {
            for _ in 0..4 {
                draw_case(&mut random, true, kernel, stride).check(&mut random);
            }
        }
    }
}

#[test]
fn convolutions_match_the_definition() {
    let mut random = Random::new("convolutions", 2);
    for kernel in 1..=9 {
        for stride in 1..=4 {
            draw_case(&mut random, false, kernel, stride).check(&mut random);
        }
    }
}

#[test]
fn the_layers_of_dcgan_match_the_naive_scatter() {
    let mut random = Random::new("convolutions", 3);
    for (in_channels, out_channels, size) in [(16, 3, 4), (32, 1, 7), (9, 3, 14)] {
        let geometry = Conv2dGeometry::square(4, 2, 1);
        let case = Case { geometry, in_channels, out_channels, in_size: [size; 2], transposed: true };
        case.check(&mut random);
    }
}
