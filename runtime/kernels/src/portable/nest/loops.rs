//! The loops of a nest: fewer and longer ones than it was given, and the way through them.

use super::{RUN, SHORT};
use crate::{Axis, MAX_AXES, Nest, Operand};

/// Axes without those of extent 1, neighbours that are one in all three views merged.
pub(crate) struct Loops {
    kept: List,
    reduced: List,
    start: Place,
}

/// Where the three views are.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) a: usize,
    pub(crate) b: usize,
    pub(crate) out: usize,
}

#[derive(Default)]
struct List {
    axes: [Axis; MAX_AXES],
    len: usize,
}

impl Loops {
    /// Those of `nest`, which was checked. At least one axis is kept, if only one of extent 1.
    pub(crate) fn new(nest: &Nest<'_>) -> Self {
        let iterated = nest.iterated();
        let (kept, reduced) = iterated.split_at(iterated.len() - nest.reduced);
        let mut kept = List::merged(nest, kept);
        if kept.len == 0 {
            kept.push(Axis { extent: 1, ..Axis::default() });
        }
        // Results that are written once may be computed in any order: make the runs long.
        let axes = &mut kept.axes[..kept.len];
        if (axes[axes.len() - 1].extent as usize) < SHORT && nest.writes_each_once() {
            let longest = (0..axes.len()).max_by_key(|&i| axes[i].extent).unwrap_or(0);
            axes[longest..].rotate_left(1);
        }
        let start = Place { a: start(&nest.a), b: start(&nest.b), out: nest.out };
        Self { kept, reduced: List::merged(nest, reduced), start }
    }

    /// The axis along which runs go, the innermost of those kept.
    pub(crate) fn inner(&self) -> &Axis {
        &self.kept.axes[self.kept.len - 1]
    }

    /// The other axes that are kept.
    pub(crate) fn outer(&self) -> &[Axis] {
        &self.kept.axes[..self.kept.len - 1]
    }

    /// The axes that are reduced.
    pub(crate) fn reduced(&self) -> &[Axis] {
        &self.reduced.axes[..self.reduced.len]
    }

    /// Where the first value is.
    pub(crate) fn start(&self) -> Place {
        self.start
    }

    /// Every position of the kept axes but the inner.
    #[inline(always)]
    pub(crate) fn for_each_outer(&self, visit: impl FnMut(Place)) {
        for_each(self.outer(), self.start, visit);
    }

    /// Every run of the kept axes: where it starts, and its length.
    #[inline(always)]
    pub(crate) fn for_each_run(&self, mut visit: impl FnMut(Place, usize)) {
        self.for_each_outer(|at| for_each_part(self.inner(), at, &mut visit));
    }

    /// Every position of the kept axes.
    #[inline(always)]
    pub(crate) fn for_each_value(&self, visit: impl FnMut(Place)) {
        for_each(&self.kept.axes[..self.kept.len], self.start, visit);
    }
}

impl List {
    #[inline(never)]
    fn merged(nest: &Nest<'_>, axes: &[Axis]) -> Self {
        let mut list = Self::default();
        for axis in axes.iter().filter(|axis| axis.extent > 1) {
            let mut axis = *axis;
            // A scalar's strides mean nothing, and must not stand in the way.
            if matches!(nest.a, Operand::Scalar(_)) {
                axis.a = 0;
            }
            let is_scalar = |operand: Operand<'_>| matches!(operand, Operand::Scalar(_));
            if is_scalar(nest.b) && nest.shift.is_none_or(is_scalar) {
                axis.b = 0;
            }
            match list.axes[..list.len].last_mut() {
                Some(outer) if is_one(outer, &axis) => {
                    *outer = Axis { extent: outer.extent * axis.extent, ..axis };
                }
                _ => list.push(axis),
            }
        }
        list
    }

    fn push(&mut self, axis: Axis) {
        self.axes[self.len] = axis;
        self.len += 1;
    }
}

impl Place {
    /// `by` positions along `axis`. It stays inside, or returns there: intermediate values may wrap.
    #[inline(always)]
    pub(crate) fn step(&mut self, axis: &Axis, by: isize) {
        self.a = self.a.wrapping_add_signed((axis.a as isize).wrapping_mul(by));
        self.b = self.b.wrapping_add_signed((axis.b as isize).wrapping_mul(by));
        self.out = self.out.wrapping_add_signed((axis.out as isize).wrapping_mul(by));
    }
}

/// Runs along `axis`: where each starts, and its length.
#[inline(always)]
pub(crate) fn for_each_part(axis: &Axis, mut at: Place, mut visit: impl FnMut(Place, usize)) {
    let mut left = axis.extent as usize;
    while left > 0 {
        let len = left.min(RUN);
        visit(at, len);
        at.step(axis, len as isize);
        left -= len;
    }
}

/// Every position of `axes` in row-major order.
#[inline(always)]
pub(crate) fn for_each(axes: &[Axis], mut at: Place, mut visit: impl FnMut(Place)) {
    let mut position = [0; MAX_AXES];
    visit(at);
    while advance(axes, &mut position, &mut at) {
        visit(at);
    }
}

/// Moves to the next position in row-major order; false, and back at the first, after the last.
#[inline(always)]
pub(crate) fn advance(axes: &[Axis], position: &mut [u32; MAX_AXES], at: &mut Place) -> bool {
    for (axis, position) in axes.iter().zip(position).rev() {
        *position += 1;
        if *position < axis.extent {
            at.step(axis, 1);
            return true;
        }
        at.step(axis, -(axis.extent as isize - 1));
        *position = 0;
    }
    false
}

/// Whether the end of `inner` leads to its start at the next position of `outer`, in all three views.
fn is_one(outer: &Axis, inner: &Axis) -> bool {
    outer.extent.checked_mul(inner.extent).is_some()
        && [(outer.a, inner.a), (outer.b, inner.b), (outer.out, inner.out)]
            .iter()
            .all(|&(outer, step)| i64::from(outer) == i64::from(step) * i64::from(inner.extent))
}

/// Index of the first value.
pub(super) fn start(operand: &Operand<'_>) -> usize {
    match *operand {
        Operand::Arena(start)
        | Operand::ArenaF16(start)
        | Operand::F32(_, start)
        | Operand::F16(_, start) => start,
        Operand::Scalar(_) => 0,
    }
}
