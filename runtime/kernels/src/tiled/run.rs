//! Taps of few channels, joined.

use core::ops::Range;

use crate::TapGemm;

/// Taps that read pixels side by side: where all are inside the input, they are one with the channels of all. A picture has
/// few channels, and sums would be loaded and stored for each tap.
pub(super) struct Run {
    first: usize,
    pub(super) taps: usize,
    /// The columns of positions for which all taps are inside the input.
    columns: Range<usize>,
}

/// A part of a run.
pub(super) struct Piece {
    /// First tap.
    pub(super) t: usize,
    pub(super) taps: usize,
    /// Columns of positions.
    pub(super) columns: [Range<usize>; 2],
}

impl Run {
    /// The run that starts with tap `t`.
    #[inline(always)]
    pub(super) fn from(op: &TapGemm<'_>, t: usize) -> Self {
        let [_, first] = op.inside(op.taps[t]);
        let mut run = Self { first: t, taps: 1, columns: first };
        let few = op.input.channels == op.input.pixel_stride && op.input.channels <= FEW;
        while few
            && let Some(&[dy, dx]) = op.taps.get(t + run.taps)
            && [dy.wrapping_sub(op.taps[t][0]), dx.wrapping_sub(op.taps[t][1])] == [0, run.taps as i16]
        {
            let [_, columns] = op.inside([dy, dx]);
            run.columns = run.columns.start.max(columns.start)..run.columns.end.min(columns.end);
            run.taps += 1;
        }
        run
    }

    /// The whole of it, and what each tap reads besides.
    #[inline(always)]
    pub(super) fn pieces(&self) -> usize {
        if self.taps > 1 { 1 + self.taps } else { 1 }
    }

    #[inline(always)]
    pub(super) fn piece(&self, op: &TapGemm<'_>, piece: usize) -> Piece {
        let Self { first, taps, ref columns } = *self;
        let Some(tap) = piece.checked_sub(1) else {
            return Piece { t: first, taps, columns: [columns.clone(), 0..0] };
        };
        let t = first + tap;
        let [_, inside] = op.inside(op.taps[t]);
        // Where no column has all taps, all are on one side.
        let (left, right) =
            if columns.is_empty() { (inside.end, inside.end) } else { (columns.start, columns.end) };
        Piece {
            t,
            taps: 1,
            columns: [inside.start..left.min(inside.end), right.max(inside.start)..inside.end],
        }
    }
}

/// Channels of which loading and storing sums would take as long as adding to them.
const FEW: usize = 16;
