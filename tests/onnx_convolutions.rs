//! Every geometry of a convolution as an ONNX file: imported, exported with half-precision weights, drawn by every
//! kernel, and run by tract. The official cases have no 4x4 kernel, and few with several attributes at once.

use half::f16;
use pocketgan_compiler::export::{self, Options, WeightType, export};
use pocketgan_compiler::graph::evaluate::evaluate;
use pocketgan_compiler::graph::{Conv2dGeometry, Graph, Input, Op, Role, Tensor};
use pocketgan_compiler::onnx::{self, ImportOptions, Reference};
use pocketgan_runtime::{Model, dispatch};
use pocketgan_tests::Random;

/// A convolution whose weights half precision holds.
struct Case {
    shape: [usize; 4],
    op: Op,
}

impl Case {
    fn graph(&self) -> Option<Graph> {
        let input = Input { name: "z".into(), role: Role::Image, shape: self.shape.into() };
        let mut graph = Graph::new(vec![input]);
        // A geometry that leaves nothing of the picture is no case.
        graph.push("convolution", self.op.clone(), vec![graph.input(0)]).ok()?;
        Some(graph)
    }

    /// How far two sums of products may lie apart at each value: twice k * eps/2 * sum|a*b| (Higham 2002, section 3.1).
    fn tolerances(&self, input: &[f32]) -> Vec<f32> {
        let absolute =
            |tensor: &Tensor| Tensor::new(&*tensor.shape, tensor.data.iter().map(|v| v.abs()).collect());
        let (op, terms) = match &self.op {
            Op::Conv2d { weight, bias, geometry } => {
                let terms: usize = weight.shape[1..].iter().product();
                let (weight, bias, geometry) =
                    (absolute(weight), bias.as_ref().map(absolute), geometry.clone());
                (Op::Conv2d { weight, bias, geometry }, terms)
            }
            Op::ConvTranspose2d { weight, bias, geometry } => {
                let terms = weight.shape[0] / geometry.groups * weight.shape[2] * weight.shape[3];
                let (weight, bias, geometry) =
                    (absolute(weight), bias.as_ref().map(absolute), geometry.clone());
                (Op::ConvTranspose2d { weight, bias, geometry }, terms)
            }
            _ => unreachable!("a case is a convolution"),
        };
        let magnitudes: Vec<f32> = input.iter().map(|v| v.abs()).collect();
        let graph = Case { shape: self.shape, op }.graph().expect("the same shapes");
        let sizes = evaluate(&graph, &[&magnitudes]).expect("the same shapes");
        sizes.iter().map(|size| (terms + 1) as f32 * f32::EPSILON * size).collect()
    }

    /// Compares tract, on the file, with the runtime, on the import; says whether tract ran it.
    fn check(&self, random: &mut Random) -> Option<bool> {
        let written = onnx::write(&self.graph()?).expect("a convolution can be written");
        let options =
            ImportOptions { shapes: vec![("z".into(), self.shape.into())], ..ImportOptions::default() };
        let imported = onnx::import(&written, &options).unwrap_or_else(|e| panic!("{e:#}: {:?}", self.op));
        let options = Options { weights: WeightType::F16, ..Options::default() };
        let export = export(&imported.graph, &options).unwrap_or_else(|e| panic!("{e:#}: {:?}", self.op));
        let model = Model::load(&export.file).expect("verified");
        let input = random.values(self.shape.iter().product());
        let tolerances = self.tolerances(&input);
        // tract has limits of its own; the evaluation in double precision has none.
        let reference = Reference::load(&written, None).expect("one input, one output");
        let by_tract = reference.run(&input, &self.shape).ok();
        let ran = by_tract.is_some();
        let exact = evaluate(&self.graph()?, &[&input]).expect("the shapes fit");
        for kernels in dispatch::available().into_iter().flatten() {
            let drawn = export::run(&imported.graph, &model, kernels, &[&input]).expect("the arena fits");
            for (name, expected) in [("tract", by_tract.as_ref()), ("double precision", Some(&exact))] {
                let Some(expected) = expected else { continue };
                assert_eq!(drawn.len(), expected.len(), "{name}: {:?}", self.op);
                for (i, (got, want)) in drawn.iter().zip(expected).enumerate() {
                    assert!(
                        (got - want).abs() <= tolerances[i],
                        "{} against {name}: value {i} is {got}, not {want}: {:?}",
                        kernels.name,
                        self.op
                    );
                }
            }
        }
        Some(ran)
    }
}

/// One for every kernel from 1 to 9 and stride from 1 to 4, the other axis and all else drawn.
fn cases(transposed: bool, random: &mut Random) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kernel, stride) in (1..=9).flat_map(|kernel| (1..=4).map(move |stride| (kernel, stride))) {
        let groups = [1, 1, 2, 3][random.below(4)];
        let (inputs, outputs) = (groups * (1 + random.below(3)), groups * (1 + random.below(3)));
        let dilation = [1 + random.below(3), 1 + random.below(2)];
        let stride = [stride, 1 + random.below(4)];
        let geometry = Conv2dGeometry {
            kernel_size: [kernel, 1 + random.below(9)],
            stride,
            padding: core::array::from_fn(|_| random.below(4)),
            dilation,
            groups,
            output_padding: match transposed {
                // ONNX allows less than the stride.
                true => stride.map(|stride| random.below(stride)),
                false => [0, 0],
            },
        };
        let [kh, kw] = geometry.kernel_size;
        let mut tensor = |shape: &[usize]| {
            let values = random.values(shape.iter().product());
            Tensor::new(shape, values.iter().map(|&v| f16::from_f32(v).to_f32()).collect())
        };
        let op = match transposed {
            true => Op::ConvTranspose2d {
                weight: tensor(&[inputs, outputs / groups, kh, kw]),
                bias: Some(tensor(&[outputs])),
                geometry,
            },
            false => Op::Conv2d {
                weight: tensor(&[outputs, inputs / groups, kh, kw]),
                bias: Some(tensor(&[outputs])),
                geometry,
            },
        };
        // Kernels reach up to 25 pixels of what a convolution reads.
        let least = if transposed { 2 } else { 14 };
        cases.push(Case { shape: [1, inputs, least + random.below(8), least + random.below(8)], op });
    }
    cases
}

fn check_all(transposed: bool, seed: u64) {
    let mut random = Random::new("onnx_convolutions", seed);
    let (mut checked, mut by_tract) = (0, 0);
    for _ in 0..4 {
        for case in cases(transposed, &mut random) {
            if let Some(ran) = case.check(&mut random) {
                checked += 1;
                by_tract += usize::from(ran);
            }
        }
    }
    println!("{checked} geometries, {by_tract} of them run by tract");
    assert!(checked >= 72 && by_tract * 2 >= checked, "{checked} geometries, {by_tract} run by tract");
}

#[test]
fn transposed_convolutions_agree_with_tract() {
    check_all(true, 1);
}

#[test]
fn convolutions_agree_with_tract() {
    check_all(false, 2);
}
