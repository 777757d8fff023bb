//! One picture, drawn by everything that can draw it.

use burn::tensor::Device;
use pocketgan_compiler::export::{self, Export, Options, WeightType};
use pocketgan_compiler::graph::{self, Graph, Op, Role};
use pocketgan_compiler::onnx;
use pocketgan_runtime::{Model, dispatch};
use pocketgan_tests::burn::evaluate;
use pocketgan_trainer::config::Config;
use pocketgan_trainer::network::{
    Activations, Architecture, Conditioning, DiscriminatorNorm, Generator, Initialization, NetworkConfig,
    Parameters, UNet,
};
use pocketgan_trainer::training;

const SEEDS: u64 = 4;

/// Generators of every size and number of channels, with weights as large as training makes them and batch-norm
/// statistics that are not trivial.
fn graphs() -> Vec<(String, Graph)> {
    let mut graphs = Vec::new();
    for size in [28, 32, 64] {
        for channels in [1, 3] {
            let config =
                NetworkConfig { size, channels, width: 12, latent_dim: 24, ..Config::default().network };
            let mut graph = Generator::new(&config, 5, &Device::flex()).graph();
            let mut random = pocketgan_tests::Random::new("parity", 6);
            for (_, op) in graph.ops_mut() {
                match op {
                    Op::BatchNorm { mean, variance, beta, .. } => {
                        let len = mean.data.len();
                        mean.data = random.values(len).iter().map(|v| 0.1 * v).collect();
                        beta.data = random.values(len).iter().map(|v| 0.1 * v).collect();
                        variance.data = random.values(len).iter().map(|v| 0.02 + 0.1 * v * v).collect();
                    }
                    Op::ConvTranspose2d { weight, .. } => weight.data.iter_mut().for_each(|w| *w *= 3.0),
                    _ => {}
                }
            }
            graphs.push((format!("{size}x{size}x{channels}"), graph));
        }
    }
    graphs.extend(chains());
    graphs
}

/// Networks of the other kinds that are chains.
fn chains() -> Vec<(String, Graph)> {
    let base = NetworkConfig {
        width: 12,
        latent_dim: 24,
        initialization: Initialization::Orthogonal,
        ..NetworkConfig::default()
    };
    let mlp = NetworkConfig { architecture: Architecture::Mlp, width: 64, ..base.clone() };
    let configs = [
        ("kernel 3", NetworkConfig { kernel: 3, channels: 3, ..base.clone() }),
        ("without norms", NetworkConfig { generator_norm: false, ..base.clone() }),
        ("mlp", mlp.clone()),
        ("points", NetworkConfig { size: 1, channels: 2, activations: Activations::Tanh, ..mlp }),
    ];
    configs.into_iter().map(|(name, config)| (name.into(), trained(&config).graph())).collect()
}

/// A generator as training leaves it: statistics that have seen data, and attention that is something.
fn trained(config: &NetworkConfig) -> Generator {
    config.check().expect("networks of this kind exist");
    let device = Device::flex().autodiff();
    let mut parameters = Parameters::read(&Generator::new(config, 5, &device));
    // Attention begins as nothing.
    parameters.0.iter_mut().filter(|t| t.name.ends_with("sigma")).for_each(|t| t.data.fill(0.5));
    let generator = parameters.write(Generator::new(config, 5, &device)).expect("it is the same network");
    training::reestimate(generator, 4, 64, 6)
}

/// Networks that are no chains, or read more than a latent vector, against their graphs in double precision.
#[test]
fn every_kernel_draws_what_the_graphs_of_all_other_networks_say() {
    let device = Device::flex().autodiff();
    let base = NetworkConfig {
        width: 16,
        latent_dim: 24,
        initialization: Initialization::Orthogonal,
        ..NetworkConfig::default()
    };
    let resnet = NetworkConfig { architecture: Architecture::Resnet, size: 32, channels: 3, ..base.clone() };
    let progressive = NetworkConfig {
        architecture: Architecture::Progressive,
        width: 4,
        discriminator_norm: DiscriminatorNorm::None,
        ..base.clone()
    };
    let configs = [
        ("attention", NetworkConfig { attention: 14, generator_spectral: true, ..base }),
        ("resnet", resnet.clone()),
        ("sagan", NetworkConfig { attention: 16, generator_spectral: true, ..resnet }),
        ("progressive", progressive),
    ];
    let mut graphs: Vec<(String, Graph)> =
        configs.iter().map(|(name, config)| ((*name).into(), trained(config).graph())).collect();
    for conditioning in [Conditioning::Projection, Conditioning::Concat] {
        let generator_norm = conditioning == Conditioning::Projection;
        let initialization = Initialization::Orthogonal;
        let config = NetworkConfig {
            width: 8,
            latent_dim: 16,
            classes: 5,
            conditioning,
            generator_norm,
            initialization,
            ..NetworkConfig::default()
        };
        graphs.push((format!("{conditioning:?}"), trained(&config).graph()));
    }
    let unet = UNet::new([1, 3], 32, 8, 3, 7, &device).expect("32 pixels are halved three times");
    let mut parameters = Parameters::read(&unet);
    let weights = parameters.0.iter_mut().filter(|t| t.name.ends_with("weight"));
    weights.for_each(|t| t.data.iter_mut().for_each(|w| *w *= 6.0));
    graphs.push(("unet".into(), parameters.write(unet).expect("the same network").graph()));
    for (name, graph) in graphs {
        let export = compile(&graph);
        let model = Model::load(&export.file).expect("verified");
        let inputs: Vec<Vec<f32>> = graph
            .inputs()
            .iter()
            .map(|input| {
                let mut values = vec![3.0; input.shape.iter().product()];
                if input.role != Role::Label {
                    pocketgan_runtime::latent::fill_normal(3, &mut values);
                }
                values
            })
            .collect();
        let inputs_for_graph: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
        let expected = graph::evaluate::evaluate(&export.rounded, &inputs_for_graph).expect("it runs");
        assert!(expected.iter().any(|v| v.abs() > 0.3), "{name}: a blank picture proves nothing");
        let shape = export.rounded.shape(export.rounded.output()).to_vec();
        for kernels in dispatch::available().into_iter().flatten() {
            let mut arena = vec![0.0; model.arena_len()];
            let mut generator =
                pocketgan_runtime::Generator::with_kernels(&model, &mut arena, kernels).expect("it fits");
            for (i, values) in inputs.iter().enumerate() {
                let [c, h, w] = match *graph.inputs()[i].shape {
                    [1, c, h, w] => [c, h, w],
                    _ => [values.len(), 1, 1],
                };
                let target = generator.input(i);
                for (at, value) in values.iter().enumerate() {
                    let (channel, pixel) = (at / (h * w), at % (h * w));
                    target[pixel * c + channel] = *value;
                }
            }
            let drawn = generator.run();
            let [_, channels, height, width] = shape[..] else { panic!("{shape:?}") };
            let inputs = core::slice::from_ref(&inputs);
            let splitting = export::splitting_effect(&export.rounded, inputs, &expected, kernels);
            let allowed = 1e-4 + 2.0 * splitting.expect("it runs");
            for (at, expected) in expected.iter().enumerate() {
                let (channel, pixel) = (at / (height * width), at % (height * width));
                let found = drawn.values[pixel * channels + channel];
                assert!(
                    (found - expected).abs() <= allowed,
                    "{name} {} {at}: {found} {expected}",
                    kernels.name
                );
            }
        }
    }
}

fn compile(graph: &Graph) -> Export {
    export::export(graph, &Options::default()).expect("a DCGAN generator can be exported")
}

#[test]
fn every_kernel_and_tract_draw_what_burn_draws_from_rounded_weights() {
    for (name, graph) in graphs() {
        let export = compile(&graph);
        let model = Model::load(&export.file).expect("verified");
        let latents = export::latents(&model, SEEDS);
        let burn = evaluate(&export.rounded, &latents);
        let file = onnx::write(&export.rounded).expect("every operation has an ONNX form");
        let tract = onnx::Reference::load(&file, None).expect("tract reads it");
        let tract = tract.run(&latents, &[SEEDS as usize, graph.latent_dim()]).expect("tract runs it");
        let spread = burn.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
        assert!(spread > 0.3, "{name}: a blank picture proves nothing");
        for kernels in dispatch::available().into_iter().flatten() {
            let drawn = export::draw(&model, kernels, &latents).expect("the arena fits");
            for (other, expected) in [("burn", &burn), ("tract", &tract)] {
                let parity = export::compare(expected, &drawn, model.range());
                println!("{name} {} against {other}: {:.1e}", kernels.name, parity.max_abs_diff);
                assert!(parity.max_abs_diff <= 1e-4, "{name} {} against {other}: {parity:?}", kernels.name);
            }
        }
    }
}

#[test]
fn half_precision_changes_no_pixel_by_more_than_two_levels() {
    for (name, graph) in graphs() {
        let export = compile(&graph);
        let model = Model::load(&export.file).expect("verified");
        let latents = export::latents(&model, SEEDS);
        let trained = evaluate(&graph, &latents);
        let drawn = export::draw(&model, dispatch::best(), &latents).expect("the arena fits");
        let parity = export::compare(&trained, &drawn, model.range());
        println!("{name}: {parity:?}");
        assert!(parity.max_u8_diff <= 2, "{name}: {parity:?}");
    }
}

#[test]
fn the_graph_computes_what_the_network_computes() {
    let device = Device::flex();
    let config = NetworkConfig { width: 12, latent_dim: 24, ..Config::default().network };
    let generator = Generator::new(&config, 5, &device);
    let mut latents = vec![0.0; 3 * 24];
    pocketgan_runtime::latent::fill_normal(1, &mut latents);
    let z = burn::tensor::Tensor::from_data(burn::tensor::TensorData::new(latents.clone(), [3, 24]), &device);
    let network: Vec<f32> = generator.forward(z).into_data().try_to_vec().expect("f32");
    let graph = evaluate(&generator.graph(), &latents);
    let parity = export::compare(&network, &graph, [-1.0, 1.0]);
    // The same sums, at most in another order.
    assert!(parity.max_abs_diff <= 1e-5, "{parity:?}");
}

#[test]
fn a_file_in_single_precision_is_closer_and_larger() {
    let (_, graph) = graphs().swap_remove(0);
    let half = compile(&graph);
    let single = export::export(&graph, &Options { weights: WeightType::F32, ..Options::default() });
    let single = single.expect("a DCGAN generator can be exported");
    assert!(single.file.len() > half.file.len() * 3 / 2);
    let model = Model::load(&single.file).expect("verified");
    let latents = export::latents(&model, SEEDS);
    let trained = evaluate(&graph, &latents);
    let drawn = export::draw(&model, dispatch::best(), &latents).expect("the arena fits");
    let parity = export::compare(&trained, &drawn, model.range());
    assert!(parity.max_abs_diff <= 1e-4, "{parity:?}");
}
