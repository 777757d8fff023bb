use std::io::Write as _;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Tensor;

use super::*;
use crate::training;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch").join(name)
}

fn pictures(generator: &Generator, latents: &[f32]) -> Vec<f32> {
    let latent_dim = generator.latent_dim();
    let latents = Tensor::<1>::from_floats(latents, &Device::flex());
    crate::network::values(generator.forward(latents.reshape([-1, latent_dim as i32])))
}

/// A generator whose statistics have seen data.
fn generator(config: &NetworkConfig) -> Generator {
    let generator = Generator::new(config, 7, &training::training_device());
    training::reestimate(generator, 4, 32, 1).to_device(&Device::flex())
}

fn config(size: usize) -> NetworkConfig {
    NetworkConfig { size, channels: 3, width: 2, latent_dim: 5, ..NetworkConfig::default() }
}

/// A tensor as a file holds it: name, type, shape, bytes.
type Stored = (String, &'static str, Vec<usize>, Vec<u8>);

fn safetensors(tensors: &[Stored]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut bytes = vec![];
    for (name, dtype, shape, data) in tensors {
        let offsets = [bytes.len(), bytes.len() + data.len()];
        header.insert(
            name.clone(),
            serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": offsets}),
        );
        bytes.extend_from_slice(data);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &bytes].concat()
}

fn load_bytes(bytes: &[u8], architecture: Architecture) -> Result<Loaded> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    load(file.path(), architecture)
}

fn message(result: Result<Loaded>) -> String {
    format!("{:#}", result.expect_err("an error"))
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The tensors of `generator` under the names of PyTorch's Sequential, with a dense layer of PyTorch's layout.
fn sequential(generator: &Generator) -> Vec<Stored> {
    let stored = |NamedTensor { name, mut shape, mut data }: NamedTensor| {
        let (layer, word) = name.rsplit_once('.').unwrap();
        let word = match word {
            "gamma" => "weight",
            "beta" => "bias",
            other => other,
        };
        let position = layer.split('.').nth(1).unwrap();
        if (layer, word) == ("layers.0", "weight") {
            let [rows, columns] = shape[..] else { panic!("{shape:?}") };
            data = (0..columns * rows).map(|i| data[i % rows * columns + i / rows]).collect();
            shape = vec![columns, rows];
        }
        (format!("module.main.{position}.{word}"), "F32", shape, bytes_of(&data))
    };
    Parameters::read(generator).0.into_iter().map(stored).collect()
}

const SIZES: [(usize, Architecture); 3] =
    [(28, Architecture::Dcgan28), (32, Architecture::Dcgan32), (64, Architecture::Dcgan64)];

#[test]
fn a_generator_survives_the_way_through_names_of_pytorch_and_ours() {
    for (size, architecture) in SIZES {
        let config = config(size);
        let generator = generator(&config);
        let expected = Parameters::read(&generator);

        let mut store = SafetensorsStore::from_bytes(None);
        generator.save_into(&mut store).unwrap();
        let as_it_is = store.get_bytes().unwrap();
        for bytes in [as_it_is, safetensors(&sequential(&generator))] {
            let loaded = load_bytes(&bytes, architecture).unwrap();
            assert_eq!(Parameters::read(&loaded.generator), expected);
            assert_eq!(loaded.config, config);
            let latents = [0.5, -1.0, 2.0, 0.25, -0.125];
            assert_eq!(pictures(&loaded.generator, &latents), pictures(&generator, &latents));
            assert_eq!(loaded.mapping.len(), expected.0.len());
            let ours: Vec<_> = loaded.mapping.iter().map(|(_, ours, _)| ours).collect();
            assert!(expected.0.iter().all(|t| ours.contains(&&t.name)));
        }
        for (_, other) in SIZES.into_iter().filter(|(other, _)| *other != size) {
            let text = message(load_bytes(&safetensors(&sequential(&generator)), other));
            assert!(text.contains(&format!("{other} generator")) && text.contains("<--"), "{text}");
        }
    }
}

/// PyTorch computed the pictures in f64 from the same f32 weights. Rounding errors of a sum of n products grow like a
/// random walk, to sqrt(n) 2^-24 of its largest part. 2x2 taps reach a pixel, so that n is 3 + 32 + 16 + 8 over the
/// layers; after normalization, with weights of 0.4, sums stay below 8: 4e-6, and 1e-5 leaves room for what a layer
/// makes of the errors before it.
fn agrees_with_pytorch(file: &str, pictures_of: &str, architecture: Architecture) -> Loaded {
    let loaded = load(&data(file), architecture).unwrap();
    let stored = std::fs::read(data(pictures_of)).unwrap();
    let stored: Vec<f32> =
        stored.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let (latents, expected) = stored.split_at(2 * loaded.generator.latent_dim());
    let found = pictures(&loaded.generator, latents);
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{file}: {worst:e}");
    assert!(worst <= 1e-5, "{file}: {worst:e}");
    loaded
}

#[test]
fn files_of_pytorch_draw_the_pictures_that_pytorch_drew() {
    for file in ["linear28.pt", "linear28-legacy.pt", "linear28.safetensors"] {
        let loaded = agrees_with_pytorch(file, "linear28.bin", Architecture::Dcgan28);
        assert_eq!(loaded.mapping.len(), 14, "every layer has a bias");
        assert_eq!(loaded.unused, ["bn0.num_batches_tracked", "bn1.num_batches_tracked"]);
        assert!(loaded.to_string().contains("fc.weight"), "{loaded}");
    }
    let loaded = agrees_with_pytorch("sequential32.pth", "sequential32.bin", Architecture::Dcgan32);
    assert_eq!(loaded.mapping.len(), 16, "no layer has a bias");
    let first = &loaded.mapping[0];
    assert_eq!((&*first.0, &*first.1), ("generator.module.main.0.weight", "layers.0.weight"));
    assert_eq!(first.2, [3, 8, 4, 4]);
}

/// PyTorch's transposed convolution over one pixel adds one bias to each channel.
#[test]
fn a_bias_of_the_first_channels_reaches_all_their_pixels() {
    let generator = generator(&config(32));
    let mut tensors = sequential(&generator);
    let dense = tensors.iter_mut().find(|t| t.0 == "module.main.0.weight").unwrap();
    let values: Vec<f32> =
        dense.3.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    dense.3 = bytes_of(&(0..values.len()).map(|i| values[i % 128 * 5 + i / 128]).collect::<Vec<_>>());
    dense.2 = vec![5, 8, 4, 4];
    let bias: Vec<f32> = (0..8).map(|i| i as f32 - 3.5).collect();
    tensors.push(("module.main.0.bias".into(), "F32", vec![8], bytes_of(&bias)));
    let loaded = load_bytes(&safetensors(&tensors), Architecture::Dcgan32).unwrap();

    let mut expected = Parameters::read(&generator).0;
    let spread = bias.iter().flat_map(|&b| [b; 16]).collect();
    expected.insert(1, NamedTensor { name: "layers.0.bias".into(), shape: vec![128], data: spread });
    assert_eq!(Parameters::read(&loaded.generator).0, expected);
}

#[test]
fn other_precisions_are_converted() {
    let generator = generator(&config(28));
    let tensors = sequential(&generator);
    let expected = Parameters::read(&generator).0;
    type Convert = (&'static str, fn(f32) -> Vec<u8>, f32);
    // Half a unit in the last place; f16 also has a smallest step of 2^-24.
    let types: [Convert; 3] = [
        ("F64", |v| f64::from(v).to_le_bytes().to_vec(), 0.0),
        ("F16", |v| half::f16::from_f32(v).to_le_bytes().to_vec(), f32::EPSILON * 4096.0),
        ("BF16", |v| half::bf16::from_f32(v).to_le_bytes().to_vec(), f32::EPSILON * 32768.0),
    ];
    for (dtype, convert, relative) in types {
        let mut tensors = tensors.clone();
        for (_, of, _, bytes) in &mut tensors {
            *of = dtype;
            *bytes = bytes
                .chunks_exact(4)
                .flat_map(|b| convert(f32::from_le_bytes(b.try_into().unwrap())))
                .collect();
        }
        let loaded = load_bytes(&safetensors(&tensors), Architecture::Dcgan28).unwrap();
        for (found, expected) in Parameters::read(&loaded.generator).0.iter().zip(&expected) {
            for (a, b) in found.data.iter().zip(&expected.data) {
                assert!(
                    (a - b).abs() <= relative * b.abs() + relative.min(2.0f32.powi(-25)),
                    "{dtype}: {a} {b}"
                );
            }
        }
    }
}

#[test]
fn every_deviation_is_named() {
    let generator = generator(&config(28));
    let tensors = sequential(&generator);
    let name_of = |i: usize| tensors[i].0.clone();
    for i in 0..tensors.len() {
        let optional = name_of(i).ends_with("main.7.bias");
        let mut missing = tensors.clone();
        missing.remove(i);
        let result = load_bytes(&safetensors(&missing), Architecture::Dcgan28);
        assert!(optional || message(result).contains("missing  <--"), "without {}", name_of(i));

        let mut longer = tensors.clone();
        longer[i].2[0] += 1;
        let bytes = longer[i].3.len() / longer[i].2[0].max(2).saturating_sub(1) * longer[i].2[0];
        longer[i].3.resize(bytes, 0);
        let text = message(load_bytes(&safetensors(&longer), Architecture::Dcgan28));
        assert!(text.contains(&name_of(i)) && text.contains("<--"), "{text}");

        for (value, part) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
            let mut wrong = tensors.clone();
            wrong[i].3[..4].copy_from_slice(&value.to_le_bytes());
            let text = message(load_bytes(&safetensors(&wrong), Architecture::Dcgan28));
            assert!(text.contains(&format!("{} holds {part} at 0", name_of(i))), "{text}");
        }

        let mut integers = tensors.clone();
        integers[i].1 = "I32";
        let text = message(load_bytes(&safetensors(&integers), Architecture::Dcgan28));
        assert!(text.contains("not floating-point numbers"), "{text}");
    }
}

#[test]
fn surplus_and_doubtful_tensors_are_errors() {
    let generator = generator(&config(28));
    let tensors = sequential(&generator);
    let refused = |tensors: &[Stored], part: &str| {
        let text = message(load_bytes(&safetensors(tensors), Architecture::Dcgan28));
        assert!(text.contains(part), "{text}");
    };
    let mut surplus = tensors.clone();
    surplus.push(("extra\u{1b}[2J.scale".into(), "F32", vec![1], bytes_of(&[1.0])));
    refused(&surplus, "extra\\u{1b}[2J.scale [1]  <--");

    let mut twice = tensors.clone();
    twice.extend(tensors.iter().map(|t| (t.0.replace("module", "average"), t.1, t.2.clone(), t.3.clone())));
    refused(&twice, "also module.main.0.weight");

    let mut negative = tensors.clone();
    let variance = negative.iter_mut().find(|t| t.0.ends_with("running_var")).unwrap();
    variance.3[..4].copy_from_slice(&(-1.0f32).to_le_bytes());
    refused(&negative, "negative variance");

    // The shapes of a discriminator may be those of a generator in reverse.
    let reversed: Vec<Stored> = tensors
        .iter()
        .map(|t| {
            let words: Vec<_> = t.0.split('.').collect();
            let at: usize = words[2].parse().unwrap();
            (format!("main.{}.{}", 9 - at, words[3]), t.1, t.2.clone(), t.3.clone())
        })
        .collect();
    refused(&reversed, "is this a discriminator?");

    let mut swapped: Vec<Stored> = Parameters::read(&generator)
        .0
        .into_iter()
        .map(|t| (t.name.replace("layers.2", "layers.x"), "F32", t.shape, bytes_of(&t.data)))
        .map(|t| (t.0.replace("layers.5", "layers.2"), t.1, t.2, t.3))
        .map(|t| (t.0.replace("layers.x", "layers.5"), t.1, t.2, t.3))
        .collect();
    refused(&swapped, "layers.5");
    swapped.retain(|t| !t.0.starts_with("layers.4") && !t.0.starts_with("layers.7"));
    refused(&swapped, "[2W, W, 4, 4]");
    refused(&[], "[98W, L]");
}

#[test]
fn truncated_and_damaged_files_are_errors() {
    for (file, step) in [("linear28.pt", 61), ("linear28-legacy.pt", 37), ("linear28.safetensors", 29)] {
        let whole = std::fs::read(data(file)).unwrap();
        let short = (0..64).chain((64..whole.len()).step_by(step)).chain(whole.len() - 40..whole.len());
        for len in short {
            let result = load_bytes(&whole[..len], Architecture::Dcgan28);
            assert!(result.is_err(), "{file} of {len} bytes");
        }
        // A flipped bit of a value gives another generator; any other gives an error. None gives a panic.
        for at in (0..whole.len()).step_by(step / 6) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            let _ = load_bytes(&damaged, Architecture::Dcgan28);
        }
    }
}

fn zipped(pickle: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    for (name, bytes) in [("x/data.pkl", pickle), ("x/byteorder", &b"little"[..]), ("x/data/0", &[0; 4])] {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        archive.start_file(name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn hostile_pickles_are_not_run_and_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let call = format!("cos\nsystem\n(Vtouch {}\ntR", marker.display());
    let mut bomb = b"]q\x00".to_vec();
    for i in 0..30u8 {
        bomb.push(b'(');
        bomb.extend([b'h', i].repeat(8));
        bomb.extend([b'l', b'q', i + 1]);
    }
    bomb.push(b'.');
    let storage = "(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI1\ntQ";
    let view = |extent: usize| {
        let shape = format!("(I{extent}\nI1000\nt(I0\nI0\nt");
        format!("}}Vw.weight\nctorch._utils\n_rebuild_tensor_v2\n({storage}I0\n{shape}I00\n}}tRs.")
            .into_bytes()
    };
    let cases: [(Vec<u8>, &str); 8] = [
        (format!("{call}.").into_bytes(), "Expected a dictionary"),
        (format!("}}Vw\n{call}s.").into_bytes(), "layers.0.weight [98W, L]"),
        (bomb, "memo bomb"),
        ([[b'('; 5000], [b'l'; 5000]].concat(), "nesting"),
        (view(1000), "the whole file"),
        (view(usize::MAX / 8), "overflows"),
        (vec![b'N'; 2 << 20], "the limit is"),
        (vec![], ""),
    ];
    for (pickle, part) in cases {
        let text =
            message(load_bytes(&zipped(&pickle, zip::CompressionMethod::Stored), Architecture::Dcgan28));
        assert!(text.contains(part), "{part}: {text}");
        assert!(load_bytes(&pickle, Architecture::Dcgan28).is_err(), "{part}");
    }
    assert!(!marker.exists(), "the pickle was run");

    let text =
        message(load_bytes(&zipped(&[b'N'; 9999], zip::CompressionMethod::Deflated), Architecture::Dcgan28));
    assert!(text.contains("compressed archive"), "{text}");
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(message(load_bytes(&tar, Architecture::Dcgan28)).contains("tar file"));
    let header = [&u64::MAX.to_le_bytes()[..], b"{"].concat();
    assert!(message(load_bytes(&header, Architecture::Dcgan28)).contains("the limit is"));
    assert!(message(load(folder.path(), Architecture::Dcgan28)).contains("not a file"));
    assert!(load(&marker, Architecture::Dcgan28).is_err());
}

#[test]
fn generators_of_other_architectures_are_refused() {
    let folder = std::env::var_os("POCKETGAN_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from)
        .join("foreign-models");
    if !folder.is_dir() {
        eprintln!("skipped: no data in {}", folder.display());
        return;
    }
    let files = [
        ("ashish_mlp/generator.pth", "gen.0.weight [256, 64]  <--"),
        ("quickdraw_dcgan/gan_artifact.pth", "generator_state.model.5.weight [128, 64, 3, 3]  <--"),
        ("ryhan_dcgan/generator.pth", "gen.0.0.weight [64, 256, 3, 3]  <--"),
    ];
    for (file, part) in files {
        for (_, architecture) in SIZES {
            let text = message(load(&folder.join(file), architecture));
            println!("{text}\n");
            assert!(text.contains(part) && text.contains("missing  <--"), "{text}");
        }
    }
}
