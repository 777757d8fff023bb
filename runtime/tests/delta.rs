//! Deltas as bytes: written, read, refused, merged, signed. None may panic, whatever they hold.

#[path = "shared/deltas.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod deltas;
#[path = "shared/programs.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod programs;

use core::cell::Cell;

use deltas::{Part, delta, encode, factor, learned, parts, replace, summary, values};
use half::f16;
use pocketgan_format::{
    AlignedBytes, Change, Delta, DeltaError, DeltaSummary, File, LearnedTensor, Losses, Network, Step,
    Target, ValueType, signature,
};
use pocketgan_runtime::{Generator, Latent, Model};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Two dense layers' worth of tensors: weights 0 and 2 in half precision, biases 1 and 3.
fn base() -> AlignedBytes {
    programs::tap_gemms().to_bytes().expect("a sound program")
}

/// All kinds of records.
fn all_parts() -> Vec<Part> {
    let mut all = parts(&programs::tap_gemms(), |v| v * 1.125 + 0.01);
    all.insert(2, (factor(1), ValueType::F32, (0..32).map(|i| 1.0 + i as f32 / 64.0).collect()));
    let target = Target { network: Network::Discriminator, ..replace(7) };
    all.push((target, ValueType::F16, vec![-0.5; 16]));
    all
}

/// Makes the checksum fit the bytes again, as somebody who means harm would.
fn forge(file: &mut AlignedBytes) {
    let bytes = file.as_mut_slice();
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    digest.update(&bytes[..12]);
    digest.update(&bytes[16..]);
    bytes[12..16].copy_from_slice(&digest.finalize().to_le_bytes());
}

/// Draws with a delta, where there is nothing against it.
fn draw(base: &[u8], delta: &[u8]) -> Result<Vec<f32>, DeltaError> {
    let model = Model::load(base).expect("a sound base").with_delta(Delta::parse(delta)?, f32::INFINITY)?;
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::new(&model, &mut arena).expect("as long as it asks for");
    Ok(generator.generate(Latent::from_seed(1)).values.to_vec())
}

#[test]
fn what_was_written_is_read_back() {
    let base = base();
    let file = File::parse(&base).expect("sound");
    let parts = all_parts();
    let bytes = delta(&file, &parts);
    assert_eq!(bytes.len(), Delta::encoded_bytes(learned(&parts)));
    assert_eq!(bytes.len(), 128 + 6 * 16 + 16 * (16 + 32 + 2) + 32 * (4 + 4 + 1));
    let read = Delta::parse(&bytes).expect("sound");
    assert_eq!(read.summary(), summary(&file));
    assert_eq!((read.bytes(), read.is_signed()), (&bytes[..], false));
    assert_eq!(read.changes().count(), parts.len());
    for ((target, stored, expected), (found, tensor)) in parts.iter().zip(read.changes()) {
        let round = |v: &f32| if *stored == ValueType::F16 { f16::from_f32(*v).to_f32() } else { *v };
        assert_eq!((found, tensor.value_type()), (*target, *stored));
        assert_eq!(values(tensor), expected.iter().map(round).collect::<Vec<_>>());
        assert_eq!(values(read.find(*target).expect("it is there")), values(tensor));
    }
    for absent in [replace(4), factor(0), factor(3), Target { network: Network::Discriminator, ..replace(6) }]
    {
        assert!(read.find(absent).is_none(), "{absent:?}");
    }
}

#[test]
fn values_are_rounded_to_nearest_even() {
    let base = base();
    let file = File::parse(&base).expect("sound");
    // Between 1 and 1 + 2^-10 halves have no value; the tie goes to the even one.
    let ulp = 1.0 / 1024.0;
    let row = vec![1.0 + ulp / 2.0, 1.0 + 1.5 * ulp, 1.0 + 0.51 * ulp, 65_519.0, -65_519.0, 1e-9, -0.0, 0.1];
    let expected = [1.0, 1.0 + 2.0 * ulp, 1.0 + ulp, 65_504.0, -65_504.0, 0.0, -0.0, 0.099_975_586];
    let bytes = delta(&file, &[(replace(0), ValueType::F16, row)]);
    let read = values(Delta::parse(&bytes).expect("sound").find(replace(0)).expect("written"));
    assert_eq!(read.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), expected.map(f32::to_bits));
}

#[test]
fn what_would_not_be_read_is_not_written() {
    let base = base();
    let file = File::parse(&base).expect("sound");
    let sound = summary(&file);
    let row = |target, value: f32| (target, ValueType::F16, vec![value; 8]);
    let header = |field| DeltaError::Header { field };
    let cases: [(DeltaSummary, Vec<Part>, DeltaError); 9] = [
        (sound, vec![], header("tensor_count")),
        (sound, (0..8193).map(|i| row(replace(i), 0.0)).collect(), header("tensor_count")),
        (sound, vec![row(replace(0), 65_520.0)], DeltaError::NotFinite { index: 0 }),
        (sound, vec![row(replace(0), 0.0), row(factor(1), f32::NAN)], DeltaError::NotFinite { index: 1 }),
        (
            sound,
            vec![row(replace(1), 0.0), row(replace(0), 0.0)],
            DeltaError::Record { index: 1, field: "order" },
        ),
        (
            sound,
            vec![row(replace(1), 0.0), row(replace(1), 0.0)],
            DeltaError::Record { index: 1, field: "order" },
        ),
        (sound, vec![(replace(1), ValueType::F32, vec![])], DeltaError::Record { index: 0, field: "rows" }),
        (DeltaSummary { merged: 0, ..sound }, vec![row(replace(0), 0.0)], header("merged")),
        (
            DeltaSummary { last: Losses { discriminator: f32::INFINITY, generator: 0.0 }, ..sound },
            vec![row(replace(0), 0.0)],
            header("losses"),
        ),
    ];
    for (summary, parts, error) in cases {
        assert_eq!(encode(&summary, &parts).err(), Some(error), "{} parts", parts.len());
    }
    let parts = all_parts();
    let need = Delta::encoded_bytes(learned(&parts));
    for have in [0, 127, need - 1] {
        let error = Delta::encode(&sound, learned(&parts), &mut vec![0; have]).expect_err("too short");
        assert_eq!(error, DeltaError::BufferTooSmall { need, have });
    }
}

#[test]
fn every_cut_and_every_flipped_bit_is_noticed() {
    let base = base();
    let intact = delta(&File::parse(&base).expect("sound"), &all_parts());
    for len in 0..intact.len() {
        assert!(Delta::parse(&AlignedBytes::copy(&intact[..len])).is_err(), "{len} bytes");
    }
    let mut flipped = AlignedBytes::copy(&intact);
    for at in 0..intact.len() {
        for bit in 0..8 {
            flipped.as_mut_slice()[at] ^= 1 << bit;
            assert!(Delta::parse(&flipped).is_err(), "bit {bit} of byte {at}");
            flipped.as_mut_slice()[at] ^= 1 << bit;
        }
    }
    let longer: Vec<u8> = intact.iter().copied().chain([0xff; 77]).collect();
    assert_eq!(Delta::parse(&AlignedBytes::copy(&longer)).expect("sound").bytes(), &intact[..]);
    let shifted: Vec<u8> = core::iter::once(0).chain(intact.iter().copied()).collect();
    let shifted = AlignedBytes::copy(&shifted);
    assert_eq!(Delta::parse(&shifted[1..]).err(), Some(DeltaError::Misaligned));
}

#[test]
fn forged_bytes_are_refused_or_draw() {
    let base = base();
    let file = File::parse(&base).expect("sound");
    let intact = delta(&file, &all_parts());
    let (mut refused, mut drawn) = (0, 0);
    for at in 0..intact.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff, intact[at] ^ 0x10, intact[at].wrapping_add(1)] {
            let mut bytes = AlignedBytes::copy(&intact);
            bytes.as_mut_slice()[at] = value;
            forge(&mut bytes);
            match draw(&base, &bytes) {
                Ok(_) => drawn += 1,
                Err(_) => refused += 1,
            }
        }
    }
    println!("{refused} refused, {drawn} drawn");
    assert!(refused > 500 && drawn > 500);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn forged_words_are_refused_or_draw(
        words in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..4)
    ) {
        let base = base();
        let mut bytes = delta(&File::parse(&base).expect("sound"), &all_parts());
        for (index, word) in words {
            let at = 4 * index.index((128 + 6 * 16) / 4);
            bytes.as_mut_slice()[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        forge(&mut bytes);
        let _ = draw(&base, &bytes);
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Delta::parse(&AlignedBytes::copy(&bytes)).is_err());
    }
}

/// Any change at all of small tensors, with any finite value.
fn any_part() -> impl Strategy<Value = Part> {
    let target =
        (any::<bool>(), 0..5_u32, any::<bool>()).prop_map(|(discriminator, tensor, factor)| Target {
            network: if discriminator { Network::Discriminator } else { Network::Generator },
            tensor,
            change: if factor { Change::Factor } else { Change::Replace },
        });
    let rows = prop_oneof![Just(1_usize), Just(4), Just(16), Just(32), 1..3_usize];
    let value = prop_oneof![-2.0..2.0_f32, prop::num::f32::NORMAL];
    (target, any::<bool>(), rows, value).prop_map(|(target, half, rows, value)| {
        (target, if half { ValueType::F16 } else { ValueType::F32 }, vec![value; 8 * rows])
    })
}

#[test]
fn well_formed_nonsense_is_refused_or_draws() {
    let bases = [programs::tap_gemms(), programs::nests()].map(|program| program.to_bytes().expect("sound"));
    let (refused, drawn) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig::with_cases(20_000));
    let strategy = (any::<bool>(), prop::collection::vec(any_part(), 1..4));
    let outcome = runner.run(&strategy, |(nests, mut parts)| {
        let base = &bases[usize::from(nests)];
        let file = File::parse(base).expect("sound");
        parts.sort_by_key(|(target, ..)| *target);
        let Ok(bytes) = encode(&summary(&file), &parts) else { return Ok(()) };
        let delta = Delta::parse(&bytes).expect("what was written can be read");
        let distance = delta.distance(&file);
        prop_assert!(distance >= 0.0, "{distance}");
        let checked = delta.check(&file, Some(&file), f32::INFINITY);
        let model = Model::load(base).expect("sound").with_delta(delta, f32::INFINITY);
        // Only what concerns the discriminator makes a difference.
        prop_assert!(checked.is_err() || model.is_ok());
        match model {
            Err(_) => refused.set(refused.get() + 1),
            Ok(model) => {
                let mut arena = vec![0.0; model.arena_len()];
                let mut generator = Generator::new(&model, &mut arena).expect("as long as it asks for");
                generator.run();
                drawn.set(drawn.get() + 1);
            }
        }
        Ok(())
    });
    println!("{} refused, {} drawn", refused.get(), drawn.get());
    outcome.expect("no counterexample");
    assert!(refused.get() > 1000 && drawn.get() > 1000);
}

#[test]
fn a_delta_that_does_not_fit_says_why() {
    let base = base();
    let nests = programs::nests().to_bytes().expect("sound");
    let [file, nests] = [&base, &nests].map(|bytes| File::parse(bytes).expect("sound"));
    let f32_rows = |target, rows: usize| (target, ValueType::F32, vec![1.0; 8 * rows]);
    let f16_rows = |target, rows: usize| (target, ValueType::F16, vec![1.0; 8 * rows]);
    let other = Target { network: Network::Discriminator, ..replace(4) };
    let check = |base: &File<'_>, parts: &[Part], discriminator: Option<&File<'_>>| {
        let bytes = delta(base, parts);
        Delta::parse(&bytes).expect("sound").check(base, discriminator, f32::INFINITY)
    };
    for (part, error) in [
        (f32_rows(replace(4), 1), DeltaError::NoSuchTensor { index: 0, tensor: 4 }),
        (f32_rows(factor(u32::MAX), 1), DeltaError::NoSuchTensor { index: 0, tensor: u32::MAX }),
        (f16_rows(replace(0), 15), DeltaError::OtherShape { index: 0, tensor: 0 }),
        (f32_rows(replace(0), 16), DeltaError::OtherShape { index: 0, tensor: 0 }),
        (f16_rows(replace(1), 4), DeltaError::OtherShape { index: 0, tensor: 1 }),
        (f32_rows(factor(1), 3), DeltaError::OtherShape { index: 0, tensor: 1 }),
        (f32_rows(factor(0), 16), DeltaError::OtherShape { index: 0, tensor: 0 }),
    ] {
        assert_eq!(check(&file, &[part], None), Err(error));
    }
    assert_eq!(check(&file, &[f32_rows(other, 1)], None), Ok(()));
    let error = DeltaError::NoSuchTensor { index: 1, tensor: 4 };
    assert_eq!(check(&file, &[f32_rows(replace(3), 1), f32_rows(other, 1)], Some(&file)), Err(error));

    // A table in the nests' tensor 0, read by step 0.
    let error = check(&nests, &[f16_rows(replace(0), 4)], None).expect_err("a nest reads it");
    assert_eq!(error, DeltaError::ReadByNest { step: 0, tensor: 0 });
    let mut program = programs::tap_gemms();
    program.tensors.push(program.tensors[3].clone());
    let unread = program.to_bytes().expect("sound");
    let unread = File::parse(&unread).expect("sound");
    let error = check(&unread, &[f32_rows(factor(4), 1)], None).expect_err("no step's bias");
    assert_eq!(error, DeltaError::NotABias { index: 0, tensor: 4 });
    // The last of the phases that share the bias adds to what is there.
    let mut program = programs::tap_gemms();
    let Some(Step::TapGemm(step)) = program.steps.last_mut() else { panic!("a tap GEMM") };
    step.accumulate = true;
    let adds = program.to_bytes().expect("sound");
    let adds = File::parse(&adds).expect("sound");
    let error = check(&adds, &[f32_rows(factor(3), 1)], None).expect_err("a factor would reach too far");
    assert_eq!(error, DeltaError::NotABias { index: 0, tensor: 3 });
    assert_eq!(check(&adds, &[f32_rows(replace(3), 1)], None), Ok(()));

    let bytes = delta(&file, &[f32_rows(replace(3), 1)]);
    let error = Delta::parse(&bytes).expect("sound").check(&nests, None, 1.0).expect_err("another base");
    let name = |file: &File<'_>| {
        let [a, b, c, d, ..] = file.sha256();
        u32::from_be_bytes([a, b, c, d])
    };
    assert_eq!(
        error.to_string(),
        format!(
            "the delta was learned from model {:08x}, this is {:08x}: load that model, or learn again",
            name(&file),
            name(&nests)
        )
    );
}

#[test]
fn distance_is_that_of_norms() {
    let base = base();
    let file = File::parse(&base).expect("sound");
    let distance = |parts: &[Part]| Delta::parse(&delta(&file, parts)).expect("sound").distance(&file);
    // A value of f32 is rounded once when it is scaled, one of f16 exactly doubled; the root halves relative errors.
    let near = |a: f32, b: f32| (a - b).abs() <= 8.0 * f32::EPSILON * b;
    assert_eq!(distance(&parts(&programs::tap_gemms(), |v| v)), 0.0);
    assert!(near(distance(&parts(&programs::tap_gemms(), |v| 2.0 * v)), 1.0));
    assert!(near(distance(&parts(&programs::tap_gemms(), |v| -v)), 2.0));
    // 3 of 8 lanes differ by 4 where all are 0.125: sqrt(3 * 16) / sqrt(8 / 64).
    let mut row = vec![0.125; 8];
    row[2..5].fill(4.125);
    assert!(near(distance(&[(replace(3), ValueType::F32, row)]), (3.0_f32 * 16.0 * 8.0).sqrt()));
    // Factors replace ones, and count for themselves.
    let mut both = parts(&programs::tap_gemms(), |v| 1.25 * v);
    both.push((factor(3), ValueType::F32, vec![1.5; 8]));
    both.sort_by_key(|(target, ..)| *target);
    assert!(near(distance(&both[4..]), 0.5) && near(distance(&both), 0.5));
    // What overflows is infinitely far.
    assert_eq!(distance(&[(replace(3), ValueType::F32, vec![3e38; 8])]), f32::INFINITY);
    assert_eq!(distance(&[(factor(1), ValueType::F32, vec![3e38; 32])]), f32::INFINITY);

    let bytes = delta(&file, &[(factor(3), ValueType::F32, vec![1.5; 8])]);
    let delta = Delta::parse(&bytes).expect("sound");
    assert_eq!(delta.check(&file, None, 0.5), Ok(()));
    let error = delta.check(&file, None, 0.25).expect_err("too far");
    assert_eq!(
        error.to_string(),
        "the delta is 0.5 from its base, and 0.25 is allowed: learn fewer steps, or allow more"
    );
    assert!(delta.check(&file, None, f32::NAN).is_err());
}

#[test]
fn merged_values_are_means() {
    let base = base();
    let file = File::parse(&base).expect("sound");
    let row = |value: f32| {
        vec![
            (replace(0), ValueType::F16, vec![value; 128]),
            (factor(3), ValueType::F32, vec![value / 3.0; 8]),
        ]
    };
    let of = |merged, steps, value: f32| {
        let last = Losses { discriminator: value, generator: 0.0 };
        let summary = DeltaSummary { merged, steps, last, ..summary(&file) };
        encode(&summary, &row(value)).expect("sound")
    };
    let files = [of(1, 10, 1.0), of(3, 20, 2.0), of(2, u32::MAX, 4.0)];
    let deltas = files.each_ref().map(|bytes| Delta::parse(bytes).expect("sound"));
    let merge = |deltas: &[Delta<'_>]| {
        let mut out = AlignedBytes::copy(&[0x55; 1024]);
        let len = Delta::merge(deltas, out.as_mut_slice())?;
        Ok::<_, DeltaError>(AlignedBytes::copy(&out[..len]))
    };
    let merged = merge(&deltas).expect("one base, one preset");
    let merged = Delta::parse(&merged).expect("sound");
    // (1 + 3 * 2 + 2 * 4) / 6, exact in half precision.
    assert_eq!(values(merged.find(replace(0)).expect("merged")), vec![2.5; 128]);
    let third = values(merged.find(factor(3)).expect("merged"));
    assert!(third.iter().all(|v| (v - 2.5 / 3.0).abs() <= f32::EPSILON), "{third:?}");
    let expected = DeltaSummary {
        merged: 6,
        steps: u32::MAX,
        examples: 48,
        last: Losses { discriminator: 2.5, generator: 0.0 },
        ..summary(&file)
    };
    assert_eq!(merged.summary(), expected);

    // The mean of a mean is the mean of all, and the mean of equals is what they are.
    let pair = merge(&deltas[..2]).expect("mergeable");
    let pair = Delta::parse(&pair).expect("sound");
    let twice = merge(&[pair, deltas[2]]).expect("mergeable");
    assert_eq!(Delta::parse(&twice).expect("sound").summary(), expected);
    assert_eq!(
        values(Delta::parse(&twice).expect("sound").find(replace(0)).expect("merged")),
        vec![2.5; 128]
    );
    let odd = encode(&summary(&file), &row(0.1)).expect("sound");
    let odd = Delta::parse(&odd).expect("sound");
    let same = merge(&[odd; 7]).expect("mergeable");
    for ((_, a), (_, b)) in Delta::parse(&same).expect("sound").changes().zip(odd.changes()) {
        assert_eq!(values(a), values(b));
    }

    assert_eq!(merge(&[]).err(), Some(DeltaError::NothingToMerge));
    let other = encode(&summary(&file), &row(0.0)[..1]).expect("sound");
    let other = Delta::parse(&other).expect("sound");
    assert_eq!(merge(&[odd, other]).err(), Some(DeltaError::OtherRecords { delta: 1 }));
    let foreign = encode(&DeltaSummary { base: [7; 32], ..summary(&file) }, &row(0.0)).expect("sound");
    let foreign = Delta::parse(&foreign).expect("sound");
    assert!(matches!(merge(&[odd, foreign]), Err(DeltaError::OtherBase { learned_from: [7, 7, 7, 7], .. })));
    let many = of(u32::MAX, 0, 1.0);
    let many = Delta::parse(&many).expect("sound");
    assert_eq!(merge(&[odd, many]).err(), Some(DeltaError::Header { field: "merged" }));
    let need = odd.bytes().len();
    let error = Delta::merge(&[odd, odd], &mut vec![0; need - 1]).expect_err("too short");
    assert_eq!(error, DeltaError::BufferTooSmall { need, have: need - 1 });
}

/// A short delta, signed by `secret`.
fn signed(file: &File<'_>, secret: &[u8; 32]) -> AlignedBytes {
    let unsigned = delta(file, &[(factor(3), ValueType::F32, vec![1.5; 8])]);
    let mut buffer = AlignedBytes::copy(&[&unsigned[..], &[0; 64]].concat());
    let len = Delta::sign(buffer.as_mut_slice(), secret).expect("room for a signature");
    assert_eq!(len, buffer.len());
    buffer
}

#[test]
fn a_signature_is_of_one_key_and_every_bit() {
    let base = base();
    let file = File::parse(&base).expect("sound");
    let key = signature::public_key(&[1; 32]);
    let mut bytes = signed(&file, &[1; 32]);
    let delta = Delta::parse(&bytes).expect("sound");
    assert!(delta.is_signed());
    assert_eq!((delta.verify(&key), delta.check(&file, None, 1.0)), (Ok(()), Ok(())));
    assert_eq!(delta.verify(&signature::public_key(&[2; 32])), Err(DeltaError::BadSignature));
    assert!(draw(&base, &bytes).is_ok());

    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes.as_mut_slice()[at] ^= 1 << bit;
            let verified = Delta::parse(&bytes).and_then(|delta| delta.verify(&key));
            assert!(verified.is_err(), "bit {bit} of byte {at}");
            // Whoever means harm makes the checksum fit.
            let mut forged = AlignedBytes::copy(&bytes[..bytes.len() - 64]);
            forge(&mut forged);
            let forged = AlignedBytes::copy(&[&forged[..], &bytes[bytes.len() - 64..]].concat());
            if at < bytes.len() - 64 && !(12..16).contains(&at) {
                let verified = Delta::parse(&forged).and_then(|delta| delta.verify(&key));
                assert!(verified.is_err(), "bit {bit} of byte {at}, with a fitting checksum");
            }
            bytes.as_mut_slice()[at] ^= 1 << bit;
        }
    }
    for len in bytes.len() - 64..bytes.len() {
        let cut = AlignedBytes::copy(&bytes[..len]);
        assert_eq!(Delta::parse(&cut).err(), Some(DeltaError::Truncated { need: bytes.len(), have: len }));
    }
}

#[test]
fn signing_again_replaces_a_signature() {
    let base = base();
    let file = File::parse(&base).expect("sound");
    let mut bytes = signed(&file, &[1; 32]);
    assert_eq!(Delta::sign(bytes.as_mut_slice(), &[2; 32]), Ok(bytes.len()));
    assert_eq!(&bytes[..], &signed(&file, &[2; 32])[..]);
    let unsigned = delta(&file, &[(factor(3), ValueType::F32, vec![1.5; 8])]);
    assert_eq!(
        Delta::parse(&unsigned).expect("sound").verify(&signature::public_key(&[1; 32])),
        Err(DeltaError::Unsigned)
    );
    let mut short = AlignedBytes::copy(&[&unsigned[..], &[0; 63]].concat());
    let (need, have) = (unsigned.len() + 64, unsigned.len() + 63);
    assert_eq!(Delta::sign(short.as_mut_slice(), &[1; 32]), Err(DeltaError::BufferTooSmall { need, have }));
    // Nothing was changed.
    assert_eq!(&short[..unsigned.len()], &unsigned[..]);
}

#[test]
#[should_panic(expected = "whole rows of 8")]
fn values_come_in_rows() {
    let base = base();
    let summary = summary(&File::parse(&base).expect("sound"));
    let part = LearnedTensor { target: replace(0), stored: ValueType::F32, values: &[0.0; 9] };
    let _ = Delta::encode(&summary, core::iter::once(part), &mut [0; 1024]);
}
