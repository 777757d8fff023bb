//! Sums of products in which, along the runs, one operand stays: products of matrices, as attention has them.
//!
//! Columns of the operand that moves and rows of the other are copied side by side to the stack; tiles of rows times two
//! vectors of columns add their products in registers. The order of additions is the defined one, but each product is
//! added without being rounded first: for `k` products, with `u` half the distance of 1 to the next number, both results
//! are within `k * u * sum |a * b|` of the exact one (Higham 2002, section 3.1).

use crate::portable::nest::{Loops, Place, RUN, Reader, SHORT, advance, for_each};
use crate::simd::{InnerLoop, Simd};
use crate::{Axis, Combine, Function, MAX_AXES, Nest};

/// Computes the nest if it is of this form; false, and nothing done, otherwise.
#[inline(always)]
pub(super) fn product<S: Simd<L>, const L: usize, const R: usize>(
    simd: S,
    nest: &Nest<'_>,
    loops: &Loops,
    arena: &mut [f32],
) -> bool {
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
    let readers = [Reader::new(nest.a), Reader::new(nest.b)];
    let views: [fn(&Axis) -> i32; 2] = [|axis| axis.a, |axis| axis.b];
    let starts: [fn(Place) -> usize; 2] = [|at| at.a, |at| at.b];
    // Which operand stays.
    let row = match (inner.a, inner.b) {
        (0, _) => 0,
        (_, 0) => 1,
        _ => return false,
    };
    let [a, b] = readers;
    let (rows, columns) = if row == 0 { (a, b) } else { (b, a) };
    let rows = Side { reader: rows, stride: views[row], start: starts[row] };
    let columns = Side { reader: columns, stride: views[1 - row], start: starts[1 - row] };
    run::<S, L, R>(simd, rows, columns, loops, arena);
    true
}

/// One operand.
struct Side<'a> {
    reader: Reader<'a>,
    stride: fn(&Axis) -> i32,
    start: fn(Place) -> usize,
}

/// What lies on the stack, on cache lines, which the widest vectors fill.
#[repr(align(64))]
struct Buffers<const L: usize, const R: usize> {
    columns: [[[f32; L]; 2]; DEPTH],
    rows: [[f32; R]; DEPTH],
    sums: [[[f32; L]; 2]; R],
}

#[inline(always)]
fn run<S: Simd<L>, const L: usize, const R: usize>(
    simd: S,
    mut rows: Side<'_>,
    mut columns: Side<'_>,
    loops: &Loops,
    arena: &mut [f32],
) {
    let inner = loops.inner();
    let Some((along, outer_reduced)) = loops.reduced().split_last() else { return };
    // The next axis has rows that share columns, or else there is one row.
    let one = Axis { extent: 1, ..Axis::default() };
    let (across, outer) = match loops.outer().split_last() {
        Some((rows, outer)) if (columns.stride)(rows) == 0 => (rows, outer),
        _ => (&one, loops.outer()),
    };
    let mut buffers = Buffers::<L, R> {
        columns: [[[0.0; L]; 2]; DEPTH],
        rows: [[0.0; R]; DEPTH],
        sums: [[[0.0; L]; 2]; R],
    };
    for_each(outer, loops.start(), |start| {
        for first in (0..inner.extent as usize).step_by(2 * L) {
            let lanes = (2 * L).min(inner.extent as usize - first);
            let mut at = start;
            at.step(inner, first as isize);
            let (mut position, mut begun) = ([0; MAX_AXES], false);
            loop {
                for depth_first in (0..along.extent as usize).step_by(DEPTH) {
                    let depth = DEPTH.min(along.extent as usize - depth_first);
                    let mut at = at;
                    at.step(along, depth_first as isize);
                    columns.pack(arena, at, [along, inner], &mut buffers.columns[..depth], lanes);
                    let mut left = across.extent as usize;
                    while left > 0 {
                        let height = tile_height::<R>(left);
                        if begun {
                            load(&mut buffers.sums, arena, at.out, [across, inner], [height, lanes]);
                        }
                        let (columns, sums) = (&buffers.columns[..depth], &mut buffers.sums);
                        // Fewer rows than a tile has might end where the arena does.
                        let whole = height == R;
                        if whole && let Some((rows, step)) = rows.lines(arena, at, [along, across]) {
                            let rows = Apart { rows, step };
                            simd.outline(Tile::<_, L, R, R> { rows, columns, sums, begun });
                        } else if whole && let Some(rows) = rows.rows(arena, at, [along, across], depth) {
                            simd.outline(Tile::<_, L, R, R> { rows, columns, sums, begun });
                        } else {
                            let packed = &mut buffers.rows[..depth];
                            rows.pack(arena, at, [along, across], packed, height);
                            add::<S, L, R>(simd, packed, columns, sums, height, begun);
                        }
                        store(&buffers.sums, arena, at.out, [across, inner], [height, lanes]);
                        at.step(across, height as isize);
                        left -= height;
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

/// Rows of the next tile, where so many are left.
#[inline(always)]
fn tile_height<const R: usize>(left: usize) -> usize {
    match left {
        _ if left >= R => R,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

impl Side<'_> {
    /// Where the rows of a tile lie side by side, and values from one such line to the next, if they do.
    #[inline(always)]
    fn lines<'s>(
        &'s self,
        arena: &'s [f32],
        at: Place,
        [along, across]: [&Axis; 2],
    ) -> Option<(&'s [f32], usize)> {
        let step = usize::try_from((self.stride)(along)).ok()?;
        let values = self.reader.values(arena).filter(|_| (self.stride)(across) == 1)?;
        Some((&values[(self.start)(at)..], step))
    }

    /// The rows of a tile, `depth` values of each, if these lie side by side.
    #[inline(always)]
    fn rows<'s, const R: usize>(
        &'s self,
        arena: &'s [f32],
        at: Place,
        [along, across]: [&Axis; 2],
        depth: usize,
    ) -> Option<[&'s [f32]; R]> {
        let step = usize::try_from((self.stride)(across)).ok()?;
        let values = self.reader.values(arena).filter(|_| (self.stride)(along) == 1)?;
        Some(core::array::from_fn(|row| &values[(self.start)(at) + row * step..][..depth]))
    }

    /// Copies `depth` values along the first axis times `len` along the second, all others of a line being left as they
    /// are: they are computed with, but not written.
    #[inline(always)]
    fn pack<T: Line>(
        &mut self,
        arena: &[f32],
        at: Place,
        [along, across]: [&Axis; 2],
        lines: &mut [T],
        len: usize,
    ) {
        let [along, across] = [along, across].map(self.stride);
        let mut start = (self.start)(at);
        if let Some(values) = self.reader.values(arena)
            && across == 1
            && len == T::LEN
        {
            for line in lines {
                line.values().copy_from_slice(&values[start..][..T::LEN]);
                start = start.wrapping_add_signed(along as isize);
            }
            return;
        }
        if across == 1 || along != 1 {
            for line in lines {
                line.values()[..len].copy_from_slice(self.reader.read(arena, start, across, len));
                start = start.wrapping_add_signed(along as isize);
            }
            return;
        }
        for i in 0..len {
            let mut start = start.wrapping_add_signed((across as isize).wrapping_mul(i as isize));
            for lines in lines.chunks_mut(RUN) {
                let values = self.reader.read(arena, start, along, lines.len());
                lines.iter_mut().zip(values).for_each(|(line, &value)| line.values()[i] = value);
                start = start.wrapping_add_signed((along as isize).wrapping_mul(lines.len() as isize));
            }
        }
    }
}

/// What lies side by side.
trait Line {
    /// How many. Copies of a length that the compiler knows are moves of registers.
    const LEN: usize;

    fn values(&mut self) -> &mut [f32];
}

impl<const L: usize> Line for [[f32; L]; 2] {
    const LEN: usize = 2 * L;

    #[inline(always)]
    fn values(&mut self) -> &mut [f32] {
        self.as_flattened_mut()
    }
}

impl<const R: usize> Line for [f32; R] {
    const LEN: usize = R;

    #[inline(always)]
    fn values(&mut self) -> &mut [f32] {
        self
    }
}

/// The sums so far from the result.
#[inline(always)]
fn load<const L: usize>(
    sums: &mut [[[f32; L]; 2]],
    arena: &[f32],
    mut start: usize,
    [across, inner]: [&Axis; 2],
    [height, lanes]: [usize; 2],
) {
    for sums in &mut sums[..height] {
        let sums = &mut sums.as_flattened_mut()[..lanes];
        if inner.out == 1 && lanes == 2 * L {
            sums[..2 * L].copy_from_slice(&arena[start..][..2 * L]);
        } else if inner.out == 1 {
            sums.copy_from_slice(&arena[start..][..lanes]);
        } else {
            let mut at = start;
            for sum in sums {
                *sum = arena[at];
                at = at.wrapping_add_signed(inner.out as isize);
            }
        }
        start = start.wrapping_add_signed(across.out as isize);
    }
}

/// The sums to the result.
#[inline(always)]
fn store<const L: usize>(
    sums: &[[[f32; L]; 2]],
    arena: &mut [f32],
    mut start: usize,
    [across, inner]: [&Axis; 2],
    [height, lanes]: [usize; 2],
) {
    for sums in &sums[..height] {
        let sums = &sums.as_flattened()[..lanes];
        if inner.out == 1 && lanes == 2 * L {
            arena[start..][..2 * L].copy_from_slice(&sums[..2 * L]);
        } else if inner.out == 1 {
            arena[start..][..lanes].copy_from_slice(sums);
        } else {
            let mut at = start;
            for &sum in sums {
                arena[at] = sum;
                at = at.wrapping_add_signed(inner.out as isize);
            }
        }
        start = start.wrapping_add_signed(across.out as isize);
    }
}

/// Adds the products of the first `height` of the rows.
#[inline(always)]
fn add<S: Simd<L>, const L: usize, const R: usize>(
    simd: S,
    rows: &[[f32; R]],
    columns: &[[[f32; L]; 2]],
    sums: &mut [[[f32; L]; 2]; R],
    height: usize,
    begun: bool,
) {
    match height {
        1 => simd.outline(Tile::<_, L, R, 1> { rows, columns, sums, begun }),
        2 => simd.outline(Tile::<_, L, R, 2> { rows, columns, sums, begun }),
        4 => simd.outline(Tile::<_, L, R, 4> { rows, columns, sums, begun }),
        _ => simd.outline(Tile::<_, L, R, R> { rows, columns, sums, begun }),
    }
}

/// Rows of a tile: for each product their values side by side.
trait Lines<const R: usize>: Copy {
    /// The value of each row in product `k`, read where it lies: a register of all would have to be taken apart.
    fn line(&self, k: usize) -> impl Fn(usize) -> f32;
}

impl<const R: usize> Lines<R> for &[[f32; R]] {
    #[inline(always)]
    fn line(&self, k: usize) -> impl Fn(usize) -> f32 {
        let line = &self[k];
        move |row| line[row]
    }
}

/// Lines `step` values apart.
#[derive(Clone, Copy)]
struct Apart<'a> {
    rows: &'a [f32],
    step: usize,
}

impl<const R: usize> Lines<R> for Apart<'_> {
    #[inline(always)]
    fn line(&self, k: usize) -> impl Fn(usize) -> f32 {
        let line: &[f32; R] = self.rows[k * self.step..].first_chunk().expect("the nest was checked");
        move |row| line[row]
    }
}

/// Each row's values side by side.
impl<const R: usize> Lines<R> for [&[f32]; R] {
    #[inline(always)]
    fn line(&self, k: usize) -> impl Fn(usize) -> f32 {
        move |row| self[row][k]
    }
}

/// The first `T` of `R` rows times two vectors of columns.
struct Tile<'a, A, const L: usize, const R: usize, const T: usize> {
    rows: A,
    columns: &'a [[[f32; L]; 2]],
    sums: &'a mut [[[f32; L]; 2]; R],
    /// Whether there are sums to add to.
    begun: bool,
}

impl<S: Simd<L>, A: Lines<R>, const L: usize, const R: usize, const T: usize> InnerLoop<S, L>
    for Tile<'_, A, L, R, T>
{
    type Output = ();

    #[allow(clippy::needless_range_loop, reason = "iterators over registers are not always inlined")]
    #[inline(always)]
    fn run(self, simd: S) {
        // Changes no value that is added to it.
        let mut acc = [[simd.splat(-0.0); 2]; T];
        if self.begun {
            for i in 0..T {
                for j in 0..2 {
                    acc[i][j] = simd.load(&self.sums[i][j]);
                }
            }
        }
        for (k, columns) in self.columns.iter().enumerate() {
            let row = self.rows.line(k);
            let columns = [simd.load(&columns[0]), simd.load(&columns[1])];
            for i in 0..T {
                let x = simd.splat(row(i));
                for j in 0..2 {
                    acc[i][j] = simd.mul_add(x, columns[j], acc[i][j]);
                }
            }
        }
        for i in 0..T {
            for j in 0..2 {
                simd.store(acc[i][j], &mut self.sums[i][j]);
            }
        }
    }
}

/// Products of a tile between two visits to the result.
const DEPTH: usize = 128;
