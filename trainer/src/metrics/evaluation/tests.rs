use core::cell::RefCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::rc::Rc;
use std::sync::Arc;

use pocketgan_compiler::graph::{Graph, Op, Tensor};
use pocketgan_compiler::onnx::{self, Reference};

use super::*;
use crate::metrics::Normalization;
use crate::training::noise;

const ALL: [Metric; 12] = [
    Metric::Neighbours,
    Metric::Parzen,
    Metric::SlicedWasserstein,
    Metric::MsSsim,
    Metric::Classes,
    Metric::InceptionStyleScore,
    Metric::Coverage,
    Metric::Density,
    Metric::Recall,
    Metric::Precision,
    Metric::Kid,
    Metric::Frechet,
];

/// Sums of the left, the middle and the right of a picture of 16x16, as features and as logits.
fn classifier() -> FeatureExtractor {
    let weight = |i: usize| if i % 16 / 6 == i / 256 { 0.1 } else { 0.0 };
    let dense =
        Op::Dense { weight: Tensor::new([3, 256], (0..768).map(weight).collect::<Vec<f32>>()), bias: None };
    let graph = Graph::chain(256, [("dense".into(), dense)]).expect("one layer");
    let file = onnx::write(&graph).expect("a dense layer is ONNX");
    let reference = Reference::load(&file, None).expect("our own file");
    FeatureExtractor::new(reference, Normalization { mean: 0.5, std: 0.5 }).expect("it runs")
}

/// Pictures with one bright third.
fn dataset(len: usize, seed: u64) -> Dataset {
    let mut rng = noise::rng(seed);
    let mut pixels = vec![];
    for i in 0..len {
        let bright = i % 3;
        pixels.extend((0..256).map(|at| {
            let base = if at % 16 / 6 == bright { 128 } else { 0 };
            (base + noise::below(&mut rng, 100)) as u8
        }));
    }
    Dataset::new("thirds", [1, 16, 16], pixels, None).expect("it has images")
}

fn row<'a>(result: &'a Evaluation, key: &str) -> &'a Row {
    result.rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("no row {key}"))
}

#[test]
fn every_metric_has_its_rows_and_its_stages_end() -> Result<()> {
    let (train, test, other) = (dataset(90, 1), dataset(60, 2), dataset(30, 3));
    let real = RealImages::choose(&train, Some(&test), 30, 0)?;
    let classifier = classifier();
    let evaluator = Evaluator {
        real: &real,
        training: &train,
        features: Some(&classifier),
        classifier: Some(&classifier),
        seed: 0,
    };
    let generated = other.images(&(0..30).collect::<Vec<_>>());
    let stages = Rc::new(RefCell::new(vec![]));
    let stage = |what: &'static str, len: usize| {
        let count = Arc::new(AtomicUsize::new(0));
        stages.borrow_mut().push((what, len, count.clone()));
        move |n| _ = count.fetch_add(n, Ordering::Relaxed)
    };
    let result = evaluator.evaluate(&ALL, &generated, stage)?;
    let keys = [
        "frechet",
        "kid",
        "precision",
        "recall",
        "density",
        "coverage",
        "inception_style_score",
        "classes",
        "class_kl",
        "ms_ssim",
        "sliced_wasserstein",
        "sliced_wasserstein_16x16",
        "parzen",
        "neighbour_distance",
        "neighbour_ratio",
    ];
    assert_eq!(result.rows.iter().map(|row| &*row.key).collect::<Vec<_>>(), keys);
    for row in &result.rows {
        assert!(row.generated.value.is_finite() && row.floor.value.is_finite(), "{row:?}");
    }
    for (what, len, count) in stages.borrow().iter() {
        assert_eq!(count.load(Ordering::Relaxed), *len, "{what}");
    }
    assert_eq!(stages.borrow().len(), 7);
    assert_eq!((row(&result, "classes").generated.value, row(&result, "classes").floor.value), (3.0, 3.0));
    assert_eq!(row(&result, "neighbour_ratio").floor.value, 1.0);

    // One metric alone has the same figure.
    let alone = evaluator.evaluate(&[Metric::Recall], &generated, |_, _| |_| ())?;
    assert_eq!(alone.rows, [row(&result, "recall").clone()]);
    assert!(alone.neighbours.is_none());
    Ok(())
}

#[test]
fn copies_and_collapses_show_where_they_should() -> Result<()> {
    let (train, test) = (dataset(90, 4), dataset(30, 5));
    let real = RealImages::choose(&train, Some(&test), 30, 0)?;
    let classifier = classifier();
    let evaluator = Evaluator {
        real: &real,
        training: &train,
        features: Some(&classifier),
        classifier: Some(&classifier),
        seed: 0,
    };
    let metrics: Vec<Metric> =
        ALL.into_iter().filter(|&metric| metric != Metric::SlicedWasserstein).collect();
    let copied = evaluator.evaluate(&metrics, &real.reference, |_, _| |_| ())?;
    assert_eq!(row(&copied, "neighbour_ratio").generated.value, 0.0);
    assert_eq!(row(&copied, "coverage").generated.value, 1.0);
    assert_eq!(row(&copied, "parzen").generated, row(&copied, "parzen").floor);

    let one = test.images(&[0; 30]);
    let collapsed = evaluator.evaluate(&metrics, &one, |_, _| |_| ())?;
    assert_eq!(row(&collapsed, "classes").generated.value, 1.0);
    // exp(0) but for the rounding of 30 sums.
    assert!((row(&collapsed, "inception_style_score").generated.value - 1.0).abs() < 1e-12);
    assert!((row(&collapsed, "ms_ssim").generated.value - 1.0).abs() < 1e-12);
    assert!(row(&collapsed, "ms_ssim").floor.value < 0.9);
    let ratio = row(&collapsed, "frechet");
    assert!(ratio.generated.value > 10.0 * ratio.floor.value, "{ratio:?}");
    Ok(())
}

#[test]
fn training_images_as_a_floor_are_not_their_own_neighbours() -> Result<()> {
    let train = dataset(61, 6);
    let real = RealImages::choose(&train, None, 30, 0)?;
    let evaluator = Evaluator { real: &real, training: &train, features: None, classifier: None, seed: 0 };
    let other = dataset(30, 7).images(&(0..30).collect::<Vec<_>>());
    let pixels = [Metric::MsSsim, Metric::Parzen, Metric::Neighbours];
    let result = evaluator.evaluate(&pixels, &other, |_, _| |_| ())?;
    assert!(row(&result, "neighbour_distance").floor.value > 0.0);
    assert!(evaluator.evaluate(&[Metric::Kid], &other, |_, _| |_| ()).is_err(), "no features");
    assert!(evaluator.evaluate(&[Metric::Classes], &other, |_, _| |_| ()).is_err(), "no classifier");
    assert!(evaluator.evaluate(&pixels, &other[256..], |_, _| |_| ()).is_err(), "one image less");
    Ok(())
}

#[test]
fn files_lose_their_tensors() {
    assert_eq!(file_of("mnist.onnx:/Relu"), "mnist.onnx");
    assert_eq!(file_of("tensor"), "tensor");
}
