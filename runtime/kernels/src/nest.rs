//! The operation for everything that is no sum over taps: a strided loop nest.
//!
//! `out[o] = combine over the reduced axes of function(a[o, r], b[o, r])`, where each of the three views adds, for every
//! axis, position times stride to its start. Without reduced axes `activation(function(a[o], b[o]) + shift[o])`, which is a
//! normalization and what follows it. Transposing, slicing, broadcasting, joining, pooling, normalising and matrix
//! products are all of this form.

use half::f16;

use crate::{Activation, Function};

/// Most axes that are iterated.
pub const MAX_AXES: usize = 8;

/// One axis of a loop nest. A stride of zero repeats; a negative one runs backwards.
///
/// # Units
/// Strides are counted in values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// Positions, at least 1.
    pub extent: u32,
    /// Stride of the first operand.
    pub a: i32,
    /// Stride of the second operand.
    pub b: i32,
    /// Stride of the result; zero for a reduced axis.
    pub out: i32,
}

/// Where an operand is read.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// In the arena, from this index on.
    Arena(usize),
    /// In the arena in half precision, from this half on: two lie in each word, the first in its low bits.
    ArenaF16(usize),
    /// In single precision, from this index on.
    F32(&'a [f32], usize),
    /// In half precision, from this index on; arithmetic is `f32`.
    F16(&'a [f16], usize),
    /// One value for all positions; strides do not matter.
    Scalar(f32),
}

/// How the values of the reduced axes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// `x + y`
    Sum,
    /// `x * y`
    Product,
    /// The larger; NaN if either is.
    Max,
    /// The smaller; NaN if either is.
    Min,
}

/// One loop nest. Everything but the arena, in which its result and, perhaps, its operands lie.
///
/// # Shapes
/// `axes`: from the outermost to the innermost, the last `reduced` of them reduced. For [`Function::Take`] one more
/// follows, which is not iterated: its extent is the table's length and its stride `a` leads from one entry to the next.
#[derive(Clone, Copy, Debug)]
pub struct Nest<'a> {
    /// Applied to each pair of values.
    pub function: Function,
    /// Joins the function's values; without reduced axes there is nothing to join.
    pub combine: Combine,
    /// Extents and strides.
    pub axes: &'a [Axis],
    /// How many of the iterated axes are reduced, counted from the innermost.
    pub reduced: usize,
    /// The first operand.
    pub a: Operand<'a>,
    /// The second operand; `Scalar(0.0)` for a function of one.
    pub b: Operand<'a>,
    /// Added to the function's value; it has the strides of `b`. Only where nothing is reduced.
    pub shift: Option<Operand<'a>>,
    /// Applied last. Only where nothing is reduced, or else [`Activation::Identity`].
    pub activation: Activation,
    /// Index in the arena of the result's first value.
    pub out: usize,
    /// Whether the result is stored in half precision; `out` and its strides then count halves, as
    /// [`Operand::ArenaF16`] does. Each value is rounded once, when it is written.
    pub out_f16: bool,
}

/// An implementation of [`Nest`]. All implementations give the same bits, those of [`reference::nest`], except that
/// a NaN may be another, and that sums of products may be added without rounding each product; and all panic under the
/// same conditions, see [`Nest::check`].
///
/// [`reference::nest`]: crate::reference::nest
pub type NestFn = fn(nest: &Nest<'_>, arena: &mut [f32]);

impl<'a> Nest<'a> {
    /// The axes that are iterated: all but the table of [`Function::Take`].
    #[inline]
    pub fn iterated(&self) -> &'a [Axis] {
        match self.axes.split_last() {
            Some((_, iterated)) if self.function == Function::Take => iterated,
            _ => self.axes,
        }
    }

    /// Checks the operation against the length of its arena. Every implementation calls it first.
    ///
    /// After it, every index that starts and strides name lies inside what it indexes; so do the sums over some of the
    /// axes alone, since each axis adds a range that contains zero.
    ///
    /// # Panics
    /// - When there are more than [`MAX_AXES`] axes, or more reduced ones than axes; when an extent is zero; when a
    ///   reduced axis moves the result.
    /// - When a view leaves the arena or its values.
    /// - When the result's range of indices meets that of an operand in the arena; unless the two are the same view of
    ///   values that all differ, nothing is reduced, and the function is not [`Function::Take`].
    /// - When [`Function::Take`] has no table, or its table moves `b` or the result; when it or [`Function::Select`]
    ///   reduces.
    /// - When a function of one operand has a `b` other than `Scalar(0.0)`.
    /// - When there is a shift or an activation where something is reduced, or for [`Function::Take`] or
    ///   [`Function::Select`].
    #[inline(never)]
    pub fn check(&self, arena_len: usize) {
        let function = self.function;
        let iterated = self.iterated();
        assert!(iterated.len() <= MAX_AXES, "{} axes", iterated.len());
        assert!(self.axes.iter().all(|axis| axis.extent > 0), "an extent is zero");
        assert!(self.reduced <= iterated.len(), "{} of {} axes reduced", self.reduced, iterated.len());
        let (_, reduced) = iterated.split_at(iterated.len() - self.reduced);
        assert!(reduced.iter().all(|axis| axis.out == 0), "a reduced axis moves the result");
        if function == Function::Take {
            let table = self.axes.last();
            assert!(
                table.is_some_and(|table| table.b == 0 && table.out == 0),
                "the table moves b or the result, or is missing"
            );
        }
        if matches!(function, Function::Take | Function::Select) {
            assert!(self.reduced == 0, "a look-up or a choice reduces");
        }
        if self.reduced > 0 || matches!(function, Function::Take | Function::Select) {
            assert!(
                self.is_plain(),
                "what is reduced, looked up or chosen is not shifted and has no activation"
            );
        }
        if function.is_unary() {
            assert!(
                matches!(self.b, Operand::Scalar(b) if b.to_bits() == 0),
                "a function of one value has a second operand"
            );
        }
        let words = |[least, greatest]: [usize; 2], halves: bool| match halves {
            true => [least / 2, greatest / 2],
            false => [least, greatest],
        };
        let len = |halves: bool| if halves { arena_len.saturating_mul(2) } else { arena_len };
        let out = words(self.range(self.out, len(self.out_f16), |axis| axis.out), self.out_f16);
        let strides: [fn(&Axis) -> i32; 3] = [|axis| axis.a, |axis| axis.b, |axis| axis.b];
        let operands = [self.a, self.b, self.shift.unwrap_or(Operand::Scalar(0.0))];
        for (operand, stride) in operands.into_iter().zip(strides) {
            match operand {
                Operand::Arena(start) | Operand::ArenaF16(start) => {
                    let halves = matches!(operand, Operand::ArenaF16(_));
                    let range = words(self.range(start, len(halves), stride), halves);
                    let apart = range[1] < out[0] || out[1] < range[0];
                    let in_place = halves == self.out_f16 && self.is_in_place(start, stride);
                    assert!(apart || in_place, "the result overlaps an operand");
                }
                Operand::F32(values, start) => drop(self.range(start, values.len(), stride)),
                Operand::F16(values, start) => drop(self.range(start, values.len(), stride)),
                Operand::Scalar(_) => {}
            }
        }
    }

    /// The least and the greatest index of a view.
    ///
    /// # Panics
    /// When it leaves `0..len`.
    fn range(&self, start: usize, len: usize, stride: fn(&Axis) -> i32) -> [usize; 2] {
        let (mut below, mut above) = (0_u64, 0_u64);
        for axis in self.axes {
            let stride = stride(axis);
            // Less than 2^63 each; a sum that saturates lies outside anyway.
            let reach = u64::from(axis.extent - 1) * u64::from(stride.unsigned_abs());
            let side = if stride < 0 { &mut below } else { &mut above };
            *side = side.saturating_add(reach);
        }
        let least = usize::try_from(below).ok().and_then(|below| start.checked_sub(below));
        let greatest = usize::try_from(above).ok().and_then(|above| start.checked_add(above));
        match (least, greatest) {
            (Some(least), Some(greatest)) if greatest < len => [least, greatest],
            _ => panic!("a view from {start} on reaches {below} back and {above} forward in {len} values"),
        }
    }

    /// Whether a view is the result's, so that each value is read before it is written, and never again.
    fn is_in_place(&self, start: usize, stride: fn(&Axis) -> i32) -> bool {
        let same = |axis: &Axis| axis.extent == 1 || stride(axis) == axis.out;
        self.function != Function::Take
            && self.reduced == 0
            && start == self.out
            && self.axes.iter().all(same)
            && self.writes_each_once()
    }

    /// Whether the function's values are the results.
    pub(crate) fn is_plain(&self) -> bool {
        self.shift.is_none() && self.activation == Activation::Identity
    }

    /// Whether the result's view is seen to name no value twice: every stride is longer than all shorter ones reach
    /// together. True of every slice of an array, whatever the order of its axes.
    pub(crate) fn writes_each_once(&self) -> bool {
        let kept = &self.iterated()[..self.iterated().len() - self.reduced];
        kept.iter().enumerate().filter(|(_, axis)| axis.extent > 1).all(|(i, axis)| {
            let key = |i: usize, axis: &Axis| (axis.out.unsigned_abs(), i);
            let shorter = kept.iter().enumerate().filter(|&(j, other)| key(j, other) < key(i, axis));
            let reach = shorter.fold(0_u64, |sum, (_, other)| {
                sum.saturating_add(u64::from(other.out.unsigned_abs()) * u64::from(other.extent - 1))
            });
            u64::from(axis.out.unsigned_abs()) > reach
        })
    }
}

impl Combine {
    /// `x`, which came first, joined with `y`.
    #[inline(always)]
    pub fn apply(self, x: f32, y: f32) -> f32 {
        match self {
            Self::Sum => x + y,
            Self::Product => x * y,
            Self::Max => crate::function::max(x, y),
            Self::Min => crate::function::min(x, y),
        }
    }
}
