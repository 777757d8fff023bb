//! Sums of products in which, along the runs, one operand stays: products of matrices, as attention has them.
//!
//! A tile of the operand that moves is copied to the stack and used for every row of the other. Partial sums lie in the
//! result, so that the order of additions is the defined one.

use super::loops::{Loops, Place, advance, for_each};
use super::values::Reader;
use super::{RUN, SHORT};
use crate::{Axis, Combine, Function, MAX_AXES, Nest};

/// Computes the nest if it is of this form; false, and nothing done, otherwise.
pub(super) fn product(nest: &Nest<'_>, loops: &Loops, arena: &mut [f32]) -> bool {
    let inner = loops.inner();
    let products = nest.function == Function::Mul && nest.combine == Combine::Sum;
    if !products
        || loops.reduced().is_empty()
        || nest.out_f16
        || (inner.extent as usize) < SHORT
        || !nest.writes_each_once()
    {
        return false;
    }
    if inner.a == 0 {
        run(Roles { rows: Reader::new(nest.a), columns: Reader::new(nest.b), swapped: false }, loops, arena);
    } else if inner.b == 0 {
        run(Roles { rows: Reader::new(nest.b), columns: Reader::new(nest.a), swapped: true }, loops, arena);
    } else {
        return false;
    }
    true
}

/// Which operand is which.
struct Roles<'a> {
    /// Stays along the runs.
    rows: Reader<'a>,
    /// Moves along the runs.
    columns: Reader<'a>,
    /// Whether the rows are the second operand.
    swapped: bool,
}

impl Roles<'_> {
    /// The strides, or places, of rows and columns.
    fn of<T>(&self, a: T, b: T) -> [T; 2] {
        if self.swapped { [b, a] } else { [a, b] }
    }
}

fn run(mut roles: Roles<'_>, loops: &Loops, arena: &mut [f32]) {
    let inner = loops.inner();
    let Some((along, outer_reduced)) = loops.reduced().split_last() else { return };
    // The next axis has rows that share columns, or else there is one row.
    let one = Axis { extent: 1, ..Axis::default() };
    let (rows, outer) = match loops.outer().split_last() {
        Some((rows, outer)) if roles.of(rows.a, rows.b)[1] == 0 => (rows, outer),
        _ => (&one, loops.outer()),
    };
    let mut tile = [[0.0; LANES]; DEPTH];
    for_each(outer, loops.start(), |start| {
        for first in (0..inner.extent as usize).step_by(LANES) {
            let lanes = LANES.min(inner.extent as usize - first);
            let mut at = start;
            at.step(inner, first as isize);
            let (mut position, mut begun) = ([0; MAX_AXES], false);
            loop {
                for depth_first in (0..along.extent as usize).step_by(DEPTH) {
                    let depth = DEPTH.min(along.extent as usize - depth_first);
                    let mut at = at;
                    at.step(along, depth_first as isize);
                    pack(&mut roles, inner, along, at, &mut tile[..depth], lanes, arena);
                    for _ in 0..rows.extent {
                        add_row(&mut roles, [inner, along], at, &tile[..depth], lanes, begun, arena);
                        at.step(rows, 1);
                    }
                    begun = true;
                }
                if !advance(outer_reduced, &mut position, &mut at) {
                    break;
                }
            }
        }
    });
}

/// Copies `lanes` columns to the tile, all others zero.
fn pack(
    roles: &mut Roles<'_>,
    inner: &Axis,
    along: &Axis,
    at: Place,
    tile: &mut [[f32; LANES]],
    lanes: usize,
    arena: &[f32],
) {
    let [_, inner_stride] = roles.of(inner.a, inner.b);
    let [_, along_stride] = roles.of(along.a, along.b);
    let [_, mut start] = roles.of(at.a, at.b);
    for row in tile {
        let values = roles.columns.read(arena, start, inner_stride, lanes);
        *row = [0.0; LANES];
        row[..lanes].copy_from_slice(values);
        start = start.wrapping_add_signed(along_stride as isize);
    }
}

/// Adds the products of one row with the tile to the result, or begins it.
fn add_row(
    roles: &mut Roles<'_>,
    [inner, along]: [&Axis; 2],
    at: Place,
    tile: &[[f32; LANES]],
    lanes: usize,
    begun: bool,
    arena: &mut [f32],
) {
    let [stride, _] = roles.of(along.a, along.b);
    let [start, _] = roles.of(at.a, at.b);
    // Changes no value that is added to it.
    let mut sums = [-0.0; LANES];
    if begun {
        let mut out = at.out;
        for sum in &mut sums[..lanes] {
            *sum = arena[out];
            out = out.wrapping_add_signed(inner.out as isize);
        }
    }
    let row = roles.rows.read(arena, start, stride, tile.len());
    // A copy whose address nobody takes stays in registers.
    let mut registers = sums;
    for (&x, columns) in row.iter().zip(tile) {
        for (sum, &y) in registers.iter_mut().zip(columns) {
            *sum += x * y;
        }
    }
    sums = registers;
    // `product` takes no results in half precision.
    let mut out = at.out;
    for &sum in &sums[..lanes] {
        arena[out] = sum;
        out = out.wrapping_add_signed(inner.out as isize);
    }
}

/// Columns of a tile.
const LANES: usize = 16;

/// Rows of a tile.
const DEPTH: usize = 32;

const _: () = assert!(LANES <= RUN && DEPTH <= RUN);
