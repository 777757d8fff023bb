//! One picture, drawn by everything that can draw it.

use burn::tensor::Device;
use pocketgan_runtime::{Model, dispatch};
use pocketgan_tests::burn::evaluate;
use pocketgan_trainer::config::Config;
use pocketgan_trainer::export::{self, Export, Options, WeightType};
use pocketgan_trainer::graph::{Graph, Op};
use pocketgan_trainer::network::{Generator, NetworkConfig};
use pocketgan_trainer::onnx;

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
    graphs
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
