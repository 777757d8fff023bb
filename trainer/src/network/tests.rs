use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{Discriminator, DiscriminatorNorm, Generator, NetworkConfig, Parameters};
use crate::graph::evaluate::evaluate;
use crate::training::{self, reestimate};

#[test]
fn every_size_has_the_right_shapes() {
    let device = Device::flex();
    let norms = [DiscriminatorNorm::Batch, DiscriminatorNorm::None, DiscriminatorNorm::Spectral];
    for (size, norm) in [28, 32, 64].into_iter().zip(norms) {
        for (channels, generator_tail, discriminator_depth) in [(1, 0, 1), (1, 3, 2), (3, 0, 3), (3, 5, 1)] {
            let config = NetworkConfig {
                size,
                channels,
                width: 2,
                latent_dim: 5,
                generator_tail,
                discriminator_norm: norm,
                discriminator_depth,
                discriminator_width: if channels == 1 { 0 } else { 3 },
            };
            let generator = Generator::new(&config, 1, &device);
            let images = generator.forward(training::normal(3, 5, 1, &device));
            assert_eq!(images.dims(), [3, channels, size, size]);
            let scores = Discriminator::new(&config, 1, &device).forward(images);
            assert_eq!(scores.dims(), [3, 1]);
            let widths = config.channels_downwards();
            assert_eq!(widths[..2], [channels, if channels == 1 { 2 } else { 3 }]);
            let graph = generator.graph();
            assert_eq!(graph.shape(graph.output()), [1, channels, size, size]);
            assert_eq!(graph.latent_dim(), 5);
        }
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
fn parameters_survive_a_round_trip_and_refuse_other_networks() {
    let device = Device::flex();
    let config = NetworkConfig { width: 2, ..NetworkConfig::default() };
    let parameters = Parameters::read(&Generator::new(&config, 1, &device));
    let written = parameters.write(Generator::new(&config, 2, &device)).unwrap();
    assert_eq!(Parameters::read(&written), parameters);
    assert!(parameters.write(Discriminator::new(&config, 2, &device)).is_err());
    let missing = Parameters(parameters.0[..3].to_vec());
    assert!(missing.write(Generator::new(&config, 2, &device)).is_err());
}

/// The graph, evaluated in f64, against the network: transposed weights or a wrong order would show.
#[test]
fn the_graph_computes_what_the_network_computes() {
    for generator_tail in [0, 3] {
        check_graph(generator_tail);
    }
}

fn check_graph(generator_tail: usize) {
    let config = NetworkConfig { width: 2, latent_dim: 3, generator_tail, ..NetworkConfig::default() };
    let generator = Generator::new(&config, 5, &training::training_device());
    let generator = reestimate(generator, 4, 32, 6);
    let latent = [0.5f32, -1.0, 2.0];
    let image = generator.valid().forward(Tensor::<2>::from_floats([latent], &Device::flex()));
    let image = super::values(image);
    let expected = evaluate(&generator.graph(), &[&latent]).unwrap();
    assert_eq!(expected.len(), image.len());
    for (i, (expected, found)) in expected.iter().zip(&image).enumerate() {
        // Chains of at most 64 products after normalization to unit spread, and tanh, which does not widen errors.
        let tolerance = 4.0 * 64.0 * f32::EPSILON;
        assert!((expected - found).abs() < tolerance, "pixel {i}: {expected} {found}");
    }
}

/// Spectral normalization leaves only the direction of a weight.
#[test]
fn a_spectral_discriminator_ignores_the_length_of_its_weights() {
    let device = Device::flex();
    let norm = DiscriminatorNorm::Spectral;
    let config = NetworkConfig {
        width: 2,
        discriminator_norm: norm,
        discriminator_depth: 2,
        ..NetworkConfig::default()
    };
    let images = training::normal(3, 28 * 28, 1, &device).reshape([3, 1, 28, 28]);
    let scores = |scale: f32, discriminator: Discriminator| {
        let mut parameters = Parameters::read(&discriminator);
        let weights = parameters.0.iter_mut().filter(|tensor| tensor.name.ends_with("weight"));
        weights.for_each(|tensor| tensor.data.iter_mut().for_each(|w| *w *= scale));
        let discriminator = parameters.write(discriminator).unwrap();
        super::values(discriminator.forward(images.clone()))
    };
    let new = |discriminator_norm| {
        let config = NetworkConfig { discriminator_norm, ..config.clone() };
        Discriminator::new(&config, 1, &device)
    };
    // A power of two, so that every product is the same but for its exponent.
    assert_eq!(scores(1.0, new(norm)), scores(8.0, new(norm)));
    assert_ne!(scores(1.0, new(DiscriminatorNorm::None)), scores(8.0, new(DiscriminatorNorm::None)));
    let spectral = new(norm);
    assert_eq!(scores(1.0, spectral.clone()).len(), 3);
    for tensor in Parameters::read(&spectral).0 {
        if tensor.name.ends_with(".u") || tensor.name.ends_with(".v") {
            let length = tensor.data.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let tolerance = tensor.data.len() as f64 * f64::from(f32::EPSILON);
            assert!((length - 1.0).abs() <= tolerance, "{} has length {length}", tensor.name);
        }
    }
}

#[test]
fn leaky_relu_is_the_usual_one() {
    let device = Device::flex().autodiff();
    let inputs = [-3.0f32, -0.5, 0.0, 0.25, 4.0];
    let x = Tensor::<1>::from_floats(inputs, &device).require_grad();
    let y = super::discriminator::leaky_relu(x.clone().reshape([1, 1, 1, 5]));
    let grads = y.clone().sum().backward();
    let y = super::values(y);
    let grad = super::values(x.grad(&grads).unwrap());
    for (i, x) in inputs.into_iter().enumerate() {
        let slope = if x > 0.0 { 1.0 } else { 0.2 };
        assert!((y[i] - slope * x).abs() <= 2.0 * f32::EPSILON * x.abs());
        // At zero any slope between the two sides is a subgradient.
        assert!(x == 0.0 || (grad[i] - slope).abs() <= 2.0 * f32::EPSILON);
    }
}
