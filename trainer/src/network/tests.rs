use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use pocketgan_compiler::export;
use pocketgan_compiler::graph::evaluate::evaluate;

use super::*;
use crate::training::{self, noise, reestimate};

fn images(shape: [usize; 4], seed: u64, device: &Device) -> Tensor<4> {
    let mut data = vec![0.0; shape.iter().product()];
    noise::fill_normal(seed, &mut data);
    Tensor::from_data(TensorData::new(data, shape), device)
}

fn small() -> NetworkConfig {
    NetworkConfig { width: 2, latent_dim: 5, ..NetworkConfig::default() }
}

/// One of each kind of network, with everything that it can have.
fn every_kind() -> Vec<NetworkConfig> {
    let spectral = DiscriminatorNorm::Spectral;
    vec![
        small(),
        NetworkConfig { generator_tail: 3, discriminator_depth: 2, ..small() },
        NetworkConfig { size: 32, channels: 3, discriminator_norm: DiscriminatorNorm::None, ..small() },
        NetworkConfig {
            size: 64,
            channels: 3,
            discriminator_norm: spectral,
            discriminator_width: 3,
            ..small()
        },
        NetworkConfig { kernel: 3, channels: 3, leaky_slope: 0.3, pack: 2, ..small() },
        NetworkConfig { generator_norm: false, minibatch_std: 2, ..small() },
        NetworkConfig {
            attention: 14,
            width: 8,
            discriminator_norm: spectral,
            generator_spectral: true,
            ..small()
        },
        NetworkConfig { classes: 3, ..small() },
        NetworkConfig { classes: 3, conditioning: Conditioning::Concat, ..small() },
        NetworkConfig { classes: 3, discriminator_output: DiscriminatorOutput::ClassLoss, ..small() },
        NetworkConfig { discriminator_output: DiscriminatorOutput::Energy, ..small() },
        NetworkConfig {
            discriminator_output: DiscriminatorOutput::Posterior,
            discriminator_norm: DiscriminatorNorm::None,
            ..small()
        },
        NetworkConfig { refiner: 3, ..small() },
        NetworkConfig {
            architecture: Architecture::Resnet,
            width: 4,
            discriminator_norm: spectral,
            ..small()
        },
        NetworkConfig {
            architecture: Architecture::Resnet,
            size: 32,
            attention: 16,
            width: 8,
            classes: 2,
            generator_spectral: true,
            minibatch_std: 3,
            discriminator_norm: DiscriminatorNorm::None,
            ..small()
        },
        NetworkConfig {
            architecture: Architecture::Mlp,
            size: 8,
            width: 6,
            discriminator_norm: spectral,
            ..small()
        },
        NetworkConfig {
            architecture: Architecture::Mlp,
            size: 1,
            channels: 2,
            activations: Activations::Tanh,
            initialization: Initialization::Orthogonal,
            generator_norm: false,
            ..small()
        },
        NetworkConfig {
            architecture: Architecture::Progressive,
            width: 3,
            discriminator_norm: spectral,
            ..small()
        },
        NetworkConfig {
            architecture: Architecture::Progressive,
            size: 32,
            channels: 3,
            minibatch_std: 2,
            discriminator_norm: DiscriminatorNorm::None,
            ..small()
        },
        NetworkConfig {
            architecture: Architecture::Mlp,
            width: 6,
            size: 1,
            channels: 2,
            activations: Activations::Maxout,
            discriminator_norm: DiscriminatorNorm::None,
            pack: 3,
            ..small()
        },
        NetworkConfig {
            architecture: Architecture::Mlp,
            width: 6,
            size: 2,
            classes: 2,
            conditioning: Conditioning::Concat,
            discriminator_octaves: 3,
            discriminator_extent: 2.5,
            discriminator_norm: DiscriminatorNorm::None,
            ..small()
        },
        NetworkConfig {
            architecture: Architecture::Mlp,
            width: 6,
            size: 4,
            discriminator_output: DiscriminatorOutput::Energy,
            ..small()
        },
    ]
}

#[test]
fn every_kind_has_the_right_shapes() {
    let device = Device::flex();
    let mut configs = every_kind();
    for size in [28, 32, 64] {
        for (channels, generator_tail, discriminator_depth) in [(1, 0, 1), (1, 3, 2), (3, 0, 3), (3, 5, 1)] {
            let discriminator_width = if channels == 1 { 0 } else { 3 };
            configs.push(NetworkConfig {
                size,
                channels,
                generator_tail,
                discriminator_depth,
                discriminator_width,
                ..small()
            });
        }
    }
    for config in configs {
        config.check().unwrap_or_else(|error| panic!("{config:?}: {error}"));
        let generator = Generator::new(&config, 1, &device);
        let condition = Condition::in_turn(0, 6, config.classes, &device);
        let made = generator.forward_in(training::normal(6, 5, 1, &device), &condition);
        assert_eq!(made.dims(), [6, config.channels, config.size, config.size], "{config:?}");
        let packed = made.reshape([6 / config.pack, config.channels * config.pack, config.size, config.size]);
        let judged = Discriminator::new(&config, 1, &device).judge(packed, &condition);
        assert_eq!(judged.scores.dims(), [6 / config.pack, 1], "{config:?}");
        assert_eq!(judged.features.dims()[0], 6 / config.pack);
    }
}

/// The networks of PacGAN's published code, by the number of their parameters.
#[test]
fn published_networks_have_the_published_sizes() {
    let device = Device::flex();
    let count = |parameters: Parameters| {
        let trained = parameters.0.iter().filter(|t| !t.name.contains("running"));
        trained.map(|t| t.data.len()).sum::<usize>()
    };
    let mut plane = NetworkConfig {
        architecture: Architecture::Mlp,
        size: 1,
        channels: 2,
        width: 400,
        latent_dim: 2,
        generator_depth: 4,
        activations: Activations::Maxout,
        discriminator_norm: DiscriminatorNorm::None,
        discriminator_width: 200,
        discriminator_depth: 3,
        ..NetworkConfig::default()
    };
    assert_eq!(count(Parameters::read(&Generator::new(&plane, 1, &device))), 484_802);
    for pack in 1..=4 {
        plane.pack = pack;
        let parameters = Parameters::read(&Discriminator::new(&plane, 1, &device));
        assert_eq!(count(parameters), 405_201 + 2000 * (pack - 1));
    }
    // Theirs also have biases that the normalization after them takes away: 1024 + 32 + 16 + 8, and 28 and 14.
    let stacked = |judge: usize| NetworkConfig {
        kernel: 3,
        channels: 3,
        width: 8,
        latent_dim: 256,
        discriminator_width: judge,
        ..NetworkConfig::default()
    };
    let generator = Generator::new(&stacked(4), 1, &device);
    assert_eq!(count(Parameters::read(&generator)), 287_875 - 1080);
    for (judge, parameters, biases) in [(4, 1889, 28), (2, 585, 14)] {
        let discriminator = Discriminator::new(&stacked(judge), 1, &device);
        assert_eq!(count(Parameters::read(&discriminator)), parameters - biases);
    }
}

#[test]
fn initial_weights_are_those_of_dcgan() {
    let device = Device::flex();
    let config = NetworkConfig { width: 16, ..NetworkConfig::default() };
    let parameters = Parameters::read(&Generator::new(&config, 1, &device));
    assert_eq!(parameters, Parameters::read(&Generator::new(&config, 1, &device)));
    assert_ne!(parameters, Parameters::read(&Generator::new(&config, 2, &device)));
    for tensor in parameters.0 {
        let n = tensor.data.len() as f64;
        let mean = tensor.data.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let (centre, spread) = match tensor.name.rsplit('.').next().unwrap() {
            "weight" => (0.0, 0.02),
            "gamma" => (1.0, 0.02),
            "running_var" => (1.0, 0.0),
            _ => (0.0, 0.0),
        };
        assert!((mean - centre).abs() <= 5.0 * spread / n.sqrt(), "{} has mean {mean}", tensor.name);
        let variance = tensor.data.iter().map(|&v| (f64::from(v) - centre).powi(2)).sum::<f64>() / n;
        let error = 5.0 * spread * spread * (2.0 / n).sqrt();
        assert!((variance - spread * spread).abs() <= error, "{} has variance {variance}", tensor.name);
    }
}

#[test]
fn uniform_weights_and_biases_are_bounded_by_the_number_of_inputs() {
    let device = Device::flex();
    let config = NetworkConfig {
        architecture: Architecture::Mlp,
        size: 1,
        channels: 2,
        width: 100,
        activations: Activations::Maxout,
        discriminator_norm: DiscriminatorNorm::None,
        initialization: Initialization::Uniform,
        ..NetworkConfig::default()
    };
    let read = |config: &NetworkConfig| Parameters::read(&Discriminator::new(config, 1, &device)).0;
    let parameters = read(&config);
    let mut bound = 1.0;
    for tensor in &parameters {
        if tensor.name.ends_with("weight") {
            bound = 1.0 / (tensor.shape[0] as f64).sqrt();
        }
        let n = tensor.data.len() as f64;
        let largest = tensor.data.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
        assert!(largest <= bound * (1.0 + f64::from(f32::EPSILON)), "{}: {largest} > {bound}", tensor.name);
        // Squares of uniform numbers have mean 1/3 and variance 4/45.
        let mean = tensor.data.iter().map(|&v| (f64::from(v) / bound).powi(2)).sum::<f64>() / n;
        assert!((mean - 1.0 / 3.0).abs() <= 5.0 * (4.0 / 45.0 / n).sqrt(), "{}: {mean}", tensor.name);
    }
    let frequent = read(&NetworkConfig { discriminator_frequency: 8.0, ..config });
    for (i, (found, start)) in frequent.iter().zip(&parameters).enumerate() {
        let factor = if i < 2 { 8.0 } else { 1.0 };
        let expected: Vec<f32> = start.data.iter().map(|value| factor * value).collect();
        assert_eq!(found.data, expected, "{}", found.name);
    }
}

#[test]
fn parameters_survive_a_round_trip_and_refuse_other_networks() {
    let device = Device::flex();
    for config in every_kind() {
        let parameters = Parameters::read(&Generator::new(&config, 1, &device));
        let written = parameters.write(Generator::new(&config, 2, &device)).unwrap();
        assert_eq!(Parameters::read(&written), parameters);
        let mut names: Vec<&str> = parameters.0.iter().map(|t| &*t.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), parameters.0.len(), "names are unique");
        assert!(parameters.write(Discriminator::new(&config, 2, &device)).is_err());
        let missing = Parameters(parameters.0[..1].to_vec());
        assert!(missing.write(Generator::new(&config, 2, &device)).is_err());
    }
}

/// The graph, evaluated in f64, against the network: transposed weights or a wrong order would show.
#[test]
fn the_graph_computes_what_the_network_computes() {
    for config in every_kind() {
        // Weights of unit gain, so that images are far from 0.
        let config = NetworkConfig { initialization: Initialization::Orthogonal, ..config };
        let generator = Generator::new(&config, 5, &training::training_device());
        let mut parameters = Parameters::read(&generator);
        for tensor in &mut parameters.0 {
            if tensor.name.ends_with("sigma") {
                tensor.data.fill(0.5);
            }
        }
        let generator = parameters.write(generator).unwrap();
        let generator = reestimate(generator, 4, 32, 6);
        let latent = [0.5f32, -1.0, 2.0, 0.25, -0.75];
        let label = config.classes.saturating_sub(1);
        let device = Device::flex();
        let condition = Condition::in_turn(label, 1, config.classes, &device);
        let z = Tensor::<2>::from_floats([latent], &device);
        let image = values(generator.valid().forward_in(z, &condition));
        let graph = generator.graph();
        assert_eq!(graph.latent_dim(), 5);
        assert_eq!(graph.shape(graph.output()), [1, config.channels, config.size, config.size]);
        let label = [label as f32];
        let inputs: &[&[f32]] = if config.classes > 0 { &[&latent, &label] } else { &[&latent] };
        let expected = evaluate(&graph, inputs).unwrap();
        assert_eq!(expected.len(), image.len());
        let largest = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        assert!(largest > 0.01, "{config:?} draws nothing");
        for (i, (expected, found)) in expected.iter().zip(&image).enumerate() {
            // Up to ten layers, each a chain of at most 72 products of values up to about 4, summed in f32.
            let tolerance = 10.0 * 72.0 * 4.0 * f32::EPSILON;
            assert!((expected - found).abs() < tolerance, "{config:?} pixel {i}: {expected} {found}");
        }
    }
}

/// In the middle of a fade, the smaller image enlarged has a part in the result.
#[test]
fn a_stage_that_is_faded_in_is_part_of_the_graph() {
    let config = NetworkConfig {
        architecture: Architecture::Progressive,
        width: 3,
        discriminator_norm: DiscriminatorNorm::None,
        initialization: Initialization::Orthogonal,
        ..small()
    };
    let device = Device::flex();
    let whole = Generator::new(&config, 5, &device);
    let latent = [0.5f32, -1.0, 2.0, 0.25, -0.75];
    let mut drawn = vec![];
    for share in [0.25, 0.75, 1.0] {
        let generator = whole.clone().with_growth(Growth { stage: 1, share });
        let graph = generator.graph();
        let image = values(generator.forward(Tensor::<2>::from_floats([latent], &device)));
        let expected = evaluate(&graph, &[&latent]).unwrap();
        for (expected, found) in expected.iter().zip(&image) {
            // As in the test above.
            assert!((expected - found).abs() < 10.0 * 72.0 * 4.0 * f32::EPSILON, "{expected} {found}");
        }
        // Exports verify themselves: the runtime draws what the graph draws.
        export::export(&graph, &export::Options::default()).unwrap();
        assert!(!drawn.contains(&image), "{share}");
        drawn.push(image);
    }
}

#[test]
fn a_unet_is_its_graph() {
    let device = training::training_device();
    let network = UNet::new([2, 3], 16, 3, 3, 4, &device).unwrap();
    let mut parameters = Parameters::read(&network);
    for tensor in &mut parameters.0 {
        // Away from the small initial values, so that errors would show.
        tensor.data.iter_mut().filter(|_| tensor.name.ends_with("weight")).for_each(|w| *w *= 8.0);
    }
    let network = parameters.write(network).unwrap().valid();
    let image = images([1, 2, 16, 16], 1, &Device::flex());
    let expected = evaluate(&network.graph(), &[&values(image.clone())]).unwrap();
    let found = values(network.forward(image));
    assert_eq!(found.len(), 3 * 16 * 16);
    for (expected, found) in expected.iter().zip(&found) {
        // Eight layers of at most 192 products of values up to about 4.
        assert!((expected - found).abs() < 8.0 * 192.0 * 4.0 * f32::EPSILON, "{expected} {found}");
    }
    assert!(UNet::new([1, 1], 28, 4, 3, 0, &device).is_err(), "28 pixels are halved twice at most");
}

/// Spectral normalization leaves only the direction of a weight.
#[test]
fn a_spectral_discriminator_ignores_the_length_of_its_weights() {
    let device = Device::flex();
    for architecture in [Architecture::Dcgan, Architecture::Resnet] {
        let config =
            NetworkConfig { architecture, width: 2, discriminator_depth: 2, ..NetworkConfig::default() };
        let pictures = images([3, 1, 28, 28], 1, &device);
        let scores = |scale: f32, discriminator: Discriminator| {
            let mut parameters = Parameters::read(&discriminator);
            let weights = parameters.0.iter_mut().filter(|tensor| tensor.name.ends_with("weight"));
            weights.for_each(|tensor| tensor.data.iter_mut().for_each(|w| *w *= scale));
            let discriminator = parameters.write(discriminator).unwrap();
            values(discriminator.judge(pictures.clone(), &Condition::default()).scores)
        };
        let new = |discriminator_norm| {
            let config = NetworkConfig { discriminator_norm, ..config.clone() };
            Discriminator::new(&config, 1, &device)
        };
        let (none, norm) = (DiscriminatorNorm::None, DiscriminatorNorm::Spectral);
        // A power of two, so that every product is the same but for its exponent.
        assert_eq!(scores(1.0, new(norm)), scores(8.0, new(norm)));
        assert_ne!(scores(1.0, new(none)), scores(8.0, new(none)));
        for tensor in Parameters::read(&new(norm)).0 {
            if tensor.name.ends_with(".u") || tensor.name.ends_with(".v") {
                let length = tensor.data.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                let tolerance = tensor.data.len() as f64 * f64::from(f32::EPSILON);
                assert!((length - 1.0).abs() <= tolerance, "{} has length {length}", tensor.name);
            }
        }
    }
}

/// Every discriminator that has a tangent, with weights of order one and attention that counts, and the shape of six inputs.
fn discriminators_with_tangents(
    device: &Device,
) -> impl Iterator<Item = (NetworkConfig, Discriminator, [usize; 4])> {
    every_kind().into_iter().filter_map(|config| {
        let config = NetworkConfig { initialization: Initialization::Orthogonal, ..config };
        let discriminator = Discriminator::new(&config, 3, device);
        if config.discriminator_norm == DiscriminatorNorm::Batch && discriminator.mixes_images() {
            return None;
        }
        let mut parameters = Parameters::read(&discriminator);
        parameters.0.iter_mut().filter(|t| t.name.ends_with("sigma")).for_each(|t| t.data.fill(0.5));
        let discriminator = parameters.write(discriminator).unwrap();
        let shape = [6, config.channels * config.pack, config.size, config.size];
        Some((config, discriminator, shape))
    })
}

/// The tangent along `v` is the inner product of `v` with the gradient that autodiff finds.
#[test]
fn tangents_are_gradients() {
    let device = Device::flex().autodiff();
    for (config, discriminator, shape) in discriminators_with_tangents(&device) {
        let condition = Condition::in_turn(0, 6, config.classes, &device);
        let x = images(shape, 1, &device).require_grad();
        let v = images(shape, 2, &device);
        let grads = discriminator.judge(x.clone(), &condition).scores.sum().backward();
        let grad = values(x.grad(&grads).unwrap());
        let expected: f64 =
            grad.iter().zip(values(v.clone())).map(|(g, v)| f64::from(*g) * f64::from(v)).sum();
        let length: f64 = grad.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let tangent = discriminator.tangent(x, v, &condition);
        assert_eq!(tangent.dims(), [6, 1]);
        let found: f64 = values(tangent).iter().map(|&t| f64::from(t)).sum();
        // A sum over at most 6 * 3072 products along a vector of spread 1, of gradients each a chain of some ten layers.
        let tolerance = 10.0 * 136.0 * f64::from(f32::EPSILON) * (length + expected.abs());
        assert!(
            length > 1e-3 && (found - expected).abs() < tolerance,
            "{config:?}: {found} {expected} {length}"
        );
    }
}

/// In bf16 too, as far as it goes: along the gradient the tangent is its square.
#[test]
fn tangents_are_gradients_in_bf16() {
    let device = Device::flex().autodiff();
    for (config, discriminator, shape) in discriminators_with_tangents(&device) {
        let exact = Condition::in_turn(0, 6, config.classes, &device);
        let mixed = exact.clone().with_precision(Precision::Bf16);
        let gradient = |condition: &Condition| {
            let x = images(shape, 1, &device).require_grad();
            let grads = discriminator.judge(x.clone(), condition).scores.sum().backward();
            x.grad(&grads).unwrap()
        };
        let g = gradient(&mixed);
        assert_ne!(values(g.clone()), values(gradient(&exact)), "{config:?}");
        let square: f64 = values(g.clone()).iter().map(|&g| f64::from(g).powi(2)).sum();
        let tangent = discriminator.tangent(images(shape, 1, &device), Tensor::from_inner(g), &mixed);
        let found: f64 = values(tangent).iter().map(|&t| f64::from(t)).sum();
        // Roundings of at most 2^-8 have no common sign: in sums of hundreds of products what is left is less than one of them.
        assert!((found - square).abs() < square / 256.0, "{config:?}: {found} {square}");
    }
}

/// The derivative of the tangent by the weights, a second derivative, against differences of the tangent.
#[test]
fn tangents_know_of_the_weights() {
    let device = Device::flex().autodiff();
    let config = NetworkConfig {
        architecture: Architecture::Mlp,
        size: 3,
        activations: Activations::Tanh,
        discriminator_norm: DiscriminatorNorm::None,
        initialization: Initialization::Orthogonal,
        discriminator_depth: 2,
        width: 4,
        ..NetworkConfig::default()
    };
    let discriminator = Discriminator::new(&config, 3, &device);
    let (x, v) = (images([4, 1, 3, 3], 1, &device), images([4, 1, 3, 3], 2, &device));
    let tangent = |parameters: &Parameters| {
        let discriminator = parameters.write(discriminator.clone()).unwrap();
        discriminator.tangent(x.clone(), v.clone(), &Condition::default()).sum()
    };
    let parameters = Parameters::read(&discriminator);
    let grads = discriminator.tangent(x.clone(), v.clone(), &Condition::default()).sum().backward();
    let grad = values(discriminator.first_weight().grad(&grads).unwrap());
    let at = parameters.0.iter().position(|t| t.name == "layers.0.weight").unwrap();
    // The error is h^2 / 6 of the third derivative, for which the fourth of tanh is at most 4.1, inputs are up to 2.5, cubed,
    // the moved sum and the next weights up to 4 and 1.4, for four images: below 250 h^2. And the rounding of sums of some
    // 16 values, divided by h.
    let h = 4e-3f32;
    for (i, &grad) in grad.iter().enumerate() {
        let moved = |by: f32| {
            let mut parameters = parameters.clone();
            parameters.0[at].data[i] += by;
            f64::from(tangent(&parameters).into_scalar::<f32>())
        };
        let expected = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
        let tolerance = 250.0 * f64::from(h).powi(2) + 64.0 * f64::from(f32::EPSILON) / f64::from(h);
        assert!((f64::from(grad) - expected).abs() < tolerance, "{i}: {grad} {expected}");
    }
}

/// Beside itself a network is what it is.
#[test]
fn a_network_beside_itself_is_itself() {
    let device = Device::flex();
    for config in every_kind() {
        let one = Discriminator::new(&config, 3, &device);
        let shape = [6, config.channels * config.pack, config.size, config.size];
        let condition = Condition::in_turn(0, 6, config.classes, &device);
        let x = images(shape, 1, &device);
        let alone = values(one.judge(x.clone(), &condition).scores);
        let beside = values(one.judge_beside(&one, x.clone(), &condition).scores);
        // A divergence of posteriors is a difference of numbers about 1.
        let is_posterior = config.discriminator_output == DiscriminatorOutput::Posterior;
        let length = alone.iter().fold(if is_posterior { 1.0f32 } else { 1e-3 }, |most, v| most.max(v.abs()));
        for (alone, beside) in alone.iter().zip(&beside) {
            // LeakyReLU is two products in one and a sum of two in the other, in up to eight layers.
            assert!((alone - beside).abs() <= 64.0 * f32::EPSILON * length, "{config:?}: {alone} {beside}");
        }
    }
}
