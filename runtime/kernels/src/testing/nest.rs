//! The suite of the loop nest: generated views over every kind of operand, the forms that have a path of their own, and
//! every promise of [`Nest`] broken in turn.

#[cfg(any(test, feature = "std"))]
mod rows;

use alloc::vec;
use alloc::vec::Vec;

use half::f16;

use super::Random;
#[cfg(any(test, feature = "std"))]
use super::{Panics, or_skip};
#[cfg(any(test, feature = "std"))]
use crate::MAX_AXES;
use crate::{Activation, Axis, Combine, Function, Kernels, Nest, NestFn, Operand, reference};

/// Two thousand nests of small random extents and strides.
///
/// # Panics
/// When the implementation is wrong.
#[cfg(any(test, feature = "std"))]
pub fn random(kernels: Option<Kernels>) {
    let Some(kernels) = or_skip(kernels) else { return };
    compare_random(kernels, &mut Random::from_env(), 2000);
}

pub(super) fn compare_random(kernels: Kernels, random: &mut Random, count: usize) {
    for i in 0..count {
        let rank = random.below(7);
        let extents: Vec<u32> =
            (0..rank).map(|_| random.one_of(&[1, 1, 2, 3, 4, 7, 9, 17, 65, 131])).collect();
        compare(kernels, Function::ALL[i % Function::ALL.len()], extents, random);
    }
}

/// Extents that a run, a tile or the shortest run just fits, or just does not.
///
/// # Panics
/// When the implementation is wrong.
#[cfg(any(test, feature = "std"))]
pub fn forms(kernels: Option<Kernels>) {
    let Some(kernels) = or_skip(kernels) else { return };
    let mut random = Random::from_env();
    let forms: &[&[u32]] = &[
        &[],
        &[1],
        &[64],
        &[65],
        &[1000],
        &[3, 7],
        &[200, 3],
        &[3, 64],
        &[7, 5, 130],
        &[5, 17, 33],
        &[33, 16, 32],
        &[2, 9, 15, 70],
        &[2, 3, 20, 3, 3],
        &[1, 2, 1, 3, 1, 2, 1, 2],
    ];
    for extents in forms {
        for function in [Function::Identity, Function::Add, Function::Mul, Function::Select, Function::Take] {
            for _ in 0..12 {
                compare(kernels, function, extents.to_vec(), &mut random);
            }
        }
    }
    for nest in products(&mut random) {
        let arena: Vec<f32> = (0..8000).map(|_| random.value()).collect();
        same(kernels, &nest, arena, "a product of matrices");
    }
    rows::rows(kernels, &mut random);
}

/// Products of matrices, the result at 0, the right at 2500 and the left at the end of 8000 values, in every order of rows
/// and columns; among them some whose results are written one over the other.
#[cfg(any(test, feature = "std"))]
fn products(random: &mut Random) -> Vec<Nest<'static>> {
    let mut products = Vec::new();
    for [rows, columns, depth] in [[3, 40, 50], [17, 8, 33], [1, 16, 65], [9, 31, 32], [9, 8, 270]] {
        let (left, right) = ([[depth, 1], [1, rows]], [[1, columns], [depth, 1]]);
        for [column, along] in right {
            for [row, left_along] in left {
                for [out_row, out_column] in [[columns, 1], [1, rows], [0, 1], [1, 0], [1, 1]] {
                    let axis = |extent: i32, a, b, out| Axis { extent: extent as u32, a, b, out };
                    let mut axes = alloc::vec![
                        axis(rows, row, 0, out_row),
                        axis(columns, 0, column, out_column),
                        axis(depth, left_along, along, 0),
                    ];
                    if random.below(3) == 0 {
                        axes.swap(0, 1);
                    }
                    products.push(Nest {
                        function: Function::Mul,
                        combine: Combine::Sum,
                        axes: axes.leak(),
                        reduced: 1,
                        a: Operand::Arena(8000 - (rows * depth) as usize),
                        b: Operand::Arena(2500),
                        shift: None,
                        activation: Activation::Identity,
                        out: 0,
                        out_f16: false,
                    });
                }
            }
        }
    }
    products
}

/// Nests that contradict themselves or their arena.
///
/// # Panics
/// When the implementation accepts one.
#[cfg(any(test, feature = "std"))]
pub fn broken_promises(kernels: Option<Kernels>, panics: Panics) {
    let Some(kernels) = or_skip(kernels) else { return };
    let refuses = |nest: &Nest<'_>, arena_len: usize| {
        panics(&|| implementation(kernels)(nest, &mut vec![1.0; arena_len]))
    };
    let axis = |extent, a, b, out| Axis { extent, a, b, out };
    let too_many = [axis(1, 1, 1, 1); MAX_AXES + 1];
    let (values, halves) = ([1.0; 11], [f16::ONE; 11]);
    // The rows of [3, 4] at 0 less the values at 12, summed over the rows, to 16.
    let axes = [axis(4, 1, 1, 1), axis(3, 4, 0, 0)];
    let sound = Nest {
        function: Function::Sub,
        combine: Combine::Sum,
        axes: &axes,
        reduced: 1,
        a: Operand::Arena(0),
        b: Operand::Arena(12),
        shift: None,
        activation: Activation::Identity,
        out: 16,
        out_f16: false,
    };
    assert!(!refuses(&sound, 20), "the sound nest runs");
    assert!(refuses(&sound, 19), "short arena");
    let broken: &[(&str, Nest<'_>)] = &[
        ("a before the arena", Nest { axes: &[axis(4, -1, 1, 1)], reduced: 0, ..sound }),
        ("b beyond the arena", Nest { b: Operand::Arena(17), ..sound }),
        ("start overflows", Nest { a: Operand::Arena(usize::MAX), ..sound }),
        ("result starts beyond", Nest { out: usize::MAX - 1, ..sound }),
        ("result beyond the arena", Nest { out: 17, ..sound }),
        ("short values", Nest { a: Operand::F32(&values, 0), ..sound }),
        ("short halves", Nest { a: Operand::F16(&halves, 0), ..sound }),
        ("no values", Nest { b: Operand::F32(&[], 0), ..sound }),
        ("extent of zero", Nest { axes: &[axis(0, 1, 1, 1), axis(3, 4, 0, 0)], ..sound }),
        ("huge extent", Nest { axes: &[axis(4, 1, 1, 1), axis(u32::MAX, 4, 0, 0)], ..sound }),
        ("huge stride", Nest { axes: &[axis(4, 1, 1, 1), axis(3, i32::MAX, 0, 0)], ..sound }),
        (
            "sum of reaches overflows",
            Nest { axes: &[axis(u32::MAX, i32::MAX, 1, 0); 8], reduced: 8, ..sound },
        ),
        ("more reduced axes than axes", Nest { reduced: 3, ..sound }),
        ("a reduced axis moves the result", Nest { reduced: 2, ..sound }),
        ("too many axes", Nest { axes: &too_many, reduced: 0, out: 19, ..sound }),
        ("result overlaps a", Nest { out: 11, ..sound }),
        ("result overlaps b", Nest { out: 13, ..sound }),
        ("in place and reduced", Nest { axes: &axes, b: Operand::Arena(16), ..sound }),
        ("in place with other strides", Nest { axes: &[axis(4, 1, 1, 2)], reduced: 0, out: 0, ..sound }),
        ("in place, twice", Nest { axes: &[axis(4, 0, 1, 0)], reduced: 0, out: 0, ..sound }),
        (
            "in place, meeting",
            Nest { axes: &[axis(2, 1, 0, 1), axis(2, 1, 0, 1)], reduced: 0, out: 0, ..sound },
        ),
        ("second operand of a function of one", Nest { function: Function::Abs, ..sound }),
        ("scalar of a function of one", Nest { function: Function::Abs, b: Operand::Scalar(-0.0), ..sound }),
        ("a shift of what is reduced", Nest { shift: Some(Operand::Scalar(1.0)), ..sound }),
        ("an activation of what is reduced", Nest { activation: Activation::Relu, ..sound }),
        (
            "result overlaps the shift",
            Nest { reduced: 0, axes: &[axis(4, 1, 1, 1)], shift: Some(Operand::Arena(15)), ..sound },
        ),
        (
            "a shift beyond its values",
            Nest { reduced: 0, axes: &[axis(4, 1, 1, 1)], shift: Some(Operand::F32(&values, 8)), ..sound },
        ),
        ("Select reduces", Nest { function: Function::Select, ..sound }),
        ("Take reduces", Nest { function: Function::Take, ..sound }),
        ("Take without a table", Nest { function: Function::Take, axes: &[], reduced: 0, ..sound }),
        ("Take in place", Nest { function: Function::Take, axes: &axes, reduced: 0, out: 12, ..sound }),
        (
            "the table leaves the arena",
            Nest {
                function: Function::Take,
                axes: &[axis(4, 1, 1, 1), axis(9, 4, 0, 0)],
                reduced: 0,
                ..sound
            },
        ),
        (
            "the table moves b",
            Nest {
                function: Function::Take,
                axes: &[axis(4, 1, 1, 1), axis(2, 4, 1, 0)],
                reduced: 0,
                ..sound
            },
        ),
        (
            "the table moves the result",
            Nest {
                function: Function::Take,
                axes: &[axis(2, 1, 1, 1), axis(2, 4, 0, 1)],
                reduced: 0,
                ..sound
            },
        ),
    ];
    for (name, nest) in broken {
        assert!(refuses(nest, 20), "{}: {name} is accepted", kernels.name);
    }
}

/// Where one view lies, relative to its start.
struct View {
    strides: Vec<i32>,
    /// Values before the start, and values in all.
    before: usize,
    len: usize,
}

/// Draws a nest over `extents` and compares the implementation with the reference.
fn compare(kernels: Kernels, function: Function, mut extents: Vec<u32>, random: &mut Random) {
    let seed = random.state;
    while extents.iter().map(|&extent| u64::from(extent)).product::<u64>() > 20_000 {
        let largest = (0..extents.len()).max_by_key(|&i| extents[i]).unwrap_or(0);
        extents[largest] = 2;
    }
    let reduces = !matches!(function, Function::Select | Function::Take);
    let reduced = if reduces { random.below(extents.len() + 1) } else { 0 };
    let kept = extents.len() - reduced;
    let table = (function == Function::Take).then(|| 1 + random.below(9) as u32);

    // Now and then the result is written over, or repeats: last in row-major order wins.
    let out = view(&extents, |i, random| i >= kept || random.below(40) == 0, random);
    let repeats =
        out.strides[..kept].iter().zip(&extents).any(|(&stride, &extent)| stride == 0 && extent > 1);
    let in_place = reduced == 0 && table.is_none() && !repeats;
    let a_extents: Vec<u32> = extents.iter().copied().chain(table).collect();
    let a = view(&a_extents, |_, random| random.below(4) == 0, random);
    let b = view(&extents, |_, random| random.below(4) == 0, random);

    // Arena: the result, then the operands, apart or not.
    let mut arena_len = random.below(4) + out.len;
    let out_start = arena_len - out.len + out.before;
    let values = |len: usize, random: &mut Random| -> Vec<f32> {
        let table = table.unwrap_or(1) as usize;
        (0..len).map(|_| value(function, table, random)).collect()
    };
    let (a_values, b_values) = (values(a.len + 3, random), values(b.len + 3, random));
    let halves = |values: &[f32]| -> Vec<f16> { values.iter().map(|&v| f16::from_f32(v)).collect() };
    let (a_halves, b_halves) = (halves(&a_values), halves(&b_values));
    let mut place = |view: &mut View, values: &'_ [f32], random: &mut Random| match random.below(5) {
        0 if in_place => {
            view.strides[..extents.len()].copy_from_slice(&out.strides);
            Place::Arena(out_start)
        }
        0..3 => {
            arena_len += random.below(3) + view.len;
            Place::Arena(arena_len - view.len + view.before)
        }
        3 => Place::File(random.below(2) == 0, view.before + random.below(3)),
        _ => Place::Scalar(values[0]),
    };
    let (mut a, mut b) = (a, b);
    let a_place = place(&mut a, &a_values, random);
    let b_place = place(&mut b, &b_values, random);
    let arena = values(arena_len + random.below(3), random);

    let axes: Vec<Axis> = a_extents
        .iter()
        .enumerate()
        .map(|(i, &extent)| Axis {
            extent,
            a: a.strides[i],
            b: b.strides.get(i).copied().unwrap_or(0),
            out: out.strides.get(i).copied().unwrap_or(0),
        })
        .collect();
    // With the strides of `b`, which may be the result's, and may be counted in halves.
    let shift_start = 2 * b.before.max(out.before);
    let shift_values = values(shift_start + 2 * (b.len.max(out.len) + 1), random);
    let finishes = reduced == 0 && reduces;
    let shift = random.one_of(&[
        None,
        None,
        Some(Operand::Scalar(0.3)),
        Some(Operand::F32(&shift_values, shift_start)),
    ]);
    let activation = random.one_of(&[
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu(0.2),
        Activation::Tanh,
    ]);
    let nest = Nest {
        function,
        shift: shift.filter(|_| finishes),
        activation: if finishes { activation } else { Activation::Identity },
        combine: random.one_of(&[Combine::Sum, Combine::Product, Combine::Max, Combine::Min]),
        axes: &axes,
        reduced,
        a: a_place.operand(&a_values, &a_halves),
        b: if function.is_unary() { Operand::Scalar(0.0) } else { b_place.operand(&b_values, &b_halves) },
        out: out_start,
        out_f16: false,
    };
    let context = alloc::format!("POCKETGAN_SEED={seed}");
    same(kernels, &nest, arena.clone(), &context);

    // The same with the arena, or parts of it, in half precision: each index then is one of a half, and views that lie
    // apart in values lie apart in halves, but may share a word where they meet; so each part starts at a word.
    let halves =
        |operand: Operand<'_>| matches!(operand, Operand::Arena(start) if start != out_start || !in_place);
    let in_arena = [nest.a, nest.b].map(halves);
    let half = |operand| match operand {
        Operand::Arena(start) => Operand::ArenaF16(2 * start),
        other => other,
    };
    let doubled: Vec<Axis> = axes
        .iter()
        .map(|axis| Axis {
            a: if in_arena[0] { 2 * axis.a } else { axis.a },
            b: if in_arena[1] { 2 * axis.b } else { axis.b },
            ..*axis
        })
        .collect();
    let mixed = Nest {
        axes: &doubled,
        a: if in_arena[0] { half(nest.a) } else { nest.a },
        b: if in_arena[1] { half(nest.b) } else { nest.b },
        ..nest
    };
    same(kernels, &mixed, arena.clone(), &context);
    let all = [nest.a, nest.b].map(|operand| matches!(operand, Operand::Arena(_)));
    let doubled: Vec<Axis> = axes
        .iter()
        .map(|axis| Axis {
            a: if all[0] { 2 * axis.a } else { axis.a },
            b: if all[1] { 2 * axis.b } else { axis.b },
            out: 2 * axis.out,
            ..*axis
        })
        .collect();
    let out = 2 * nest.out;
    let stored = Nest { axes: &doubled, a: half(nest.a), b: half(nest.b), out, out_f16: true, ..nest };
    same(kernels, &stored, arena, &context);
}

/// Runs the implementation and the reference on the same arena: they give the same bits, except that a sum of products
/// may be off where the implementation is none of those that define bits.
fn same(kernels: Kernels, nest: &Nest<'_>, arena: Vec<f32>, context: &str) {
    let (mut ours, mut theirs) = (arena.clone(), arena.clone());
    reference::nest(nest, &mut theirs);
    implementation(kernels)(nest, &mut ours);
    let products = nest.function == Function::Mul && nest.combine == Combine::Sum && nest.reduced > 0;
    let exact = !products || nest.out_f16 || in_order(kernels.name);
    let allowed = if exact { vec![0.0; arena.len()] } else { allowed(nest, arena) };
    for (i, ((ours, theirs), allowed)) in ours.iter().zip(&theirs).zip(&allowed).enumerate() {
        // IEEE 754 leaves open which NaN an operation gives.
        let same = ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan());
        let close = !allowed.is_finite() || f64::from((ours - theirs).abs()) <= *allowed;
        assert!(
            same || !exact && close,
            "{}: {ours} instead of {theirs} at {i}, {context}, {nest:?}",
            kernels.name
        );
    }
}

/// Whether the implementation promises the reference's order of additions.
fn in_order(name: &str) -> bool {
    ["reference", "portable"].contains(&name) || name.ends_with("-exact")
}

/// How far two sums of the same products may be apart. For `k` of them each is within `k * u * sum |a * b|` of the exact
/// one, where `u` is half the distance of 1 to the next number (Higham 2002, section 3.1), and within `k` halves of the
/// smallest number. Infinite where a partial sum may leave the range of `f32`.
fn allowed(nest: &Nest<'_>, arena: Vec<f32>) -> Vec<f64> {
    let magnitudes = |values: &[f32]| -> Vec<f32> { values.iter().map(|v| v.abs()).collect() };
    let halves = |values: &[f16]| -> Vec<f32> { values.iter().map(|v| v.to_f32().abs()).collect() };
    let stored = [nest.a, nest.b].map(|operand| match operand {
        Operand::F32(values, _) => magnitudes(values),
        Operand::F16(values, _) => halves(values),
        _ => vec![],
    });
    let operand = |i: usize| match [nest.a, nest.b][i] {
        Operand::F32(_, start) | Operand::F16(_, start) => Operand::F32(&stored[i], start),
        Operand::Scalar(value) => Operand::Scalar(value.abs()),
        arena => arena,
    };
    let halves_in_arena = [nest.a, nest.b].iter().any(|operand| matches!(operand, Operand::ArenaF16(_)));
    let mut sums = if halves_in_arena {
        // Clears the sign of both halves of each word.
        arena.iter().map(|v| f32::from_bits(v.to_bits() & 0x7fff_7fff)).collect()
    } else {
        magnitudes(&arena)
    };
    reference::nest(&Nest { a: operand(0), b: operand(1), ..*nest }, &mut sums);
    let reduced = &nest.axes[nest.axes.len() - nest.reduced..];
    let k: f64 = reduced.iter().map(|axis| f64::from(axis.extent)).product();
    // The sum of magnitudes is itself rounded, which twice the bound covers.
    let bound = |sum: &f32| match sum {
        sum if *sum < f32::MAX / 2.0 => 2.0 * k * f64::from(f32::EPSILON) * f64::from(*sum) + k * 1e-45,
        _ => f64::INFINITY,
    };
    sums.iter().map(bound).collect()
}

fn implementation(kernels: Kernels) -> NestFn {
    kernels.nest.expect("the suite is for implementations that have nests")
}

/// Where an operand lies.
enum Place {
    Arena(usize),
    /// In half precision or not, from an index on.
    File(bool, usize),
    Scalar(f32),
}

impl Place {
    fn operand<'a>(&self, values: &'a [f32], halves: &'a [f16]) -> Operand<'a> {
        match *self {
            Self::Arena(start) => Operand::Arena(start),
            Self::File(false, start) => Operand::F32(values, start),
            Self::File(true, start) => Operand::F16(halves, start),
            Self::Scalar(value) => Operand::Scalar(value),
        }
    }
}

/// An array over `extents` with its axes in any order, some of them backwards, some with gaps, and without those that
/// repeat.
fn view(extents: &[u32], repeats: impl Fn(usize, &mut Random) -> bool, random: &mut Random) -> View {
    let mut order: Vec<usize> = (0..extents.len()).collect();
    if random.below(2) == 0 {
        for i in (1..order.len()).rev() {
            order.swap(i, random.below(i + 1));
        }
    }
    let mut view = View { strides: alloc::vec![0; extents.len()], before: 0, len: 1 };
    for &i in order.iter().rev() {
        if repeats(i, random) {
            continue;
        }
        let stride = view.len + random.one_of(&[0, 0, 0, 1]);
        let reach = stride * (extents[i] as usize - 1);
        view.len += reach;
        let backwards = random.below(8) == 0;
        view.strides[i] = if backwards { -(stride as i32) } else { stride as i32 };
        view.before += if backwards { reach } else { 0 };
    }
    view
}

/// What a function is given: mostly small numbers, now and then one that is special.
fn value(function: Function, table: usize, random: &mut Random) -> f32 {
    match random.below(40) {
        0 => random.one_of(&[0.0, -0.0, 1.0, -1.0, 2.5, 1e-40, 3e38]),
        1 => random.one_of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]),
        _ if function == Function::Take => random.below(2 * table + 8) as f32 / 2.0 - 2.0,
        _ if function == Function::Select => random.below(2) as f32,
        2..10 => 40.0 * random.value(),
        _ => random.value(),
    }
}
