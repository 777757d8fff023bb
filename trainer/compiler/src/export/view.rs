//! Where the values of a tensor lie: a buffer, a start, and a stride for each axis.
//!
//! Slices, transpositions, repetitions and windows are other views of the same memory; only what no view can express is
//! copied.

/// A tensor's values in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) memory: Memory,
    /// Of the first element, in values.
    pub(crate) start: usize,
    pub(crate) shape: Vec<usize>,
    /// Values from one element to the next, for each axis.
    pub(crate) strides: Vec<isize>,
}

/// What a view looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// A buffer in the arena.
    Buffer(usize),
    /// A tensor of the file.
    Tensor(usize),
    /// One number for all elements.
    Scalar(u32),
}

/// Order in which axes lie in memory, from the slowest to the fastest.
pub(crate) fn packed_strides(shape: &[usize], order: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for &axis in order.iter().rev() {
        strides[axis] = stride;
        stride *= shape[axis] as isize;
    }
    strides
}

/// Pictures lie channels last; everything else as it is.
pub(crate) fn natural_order(shape: &[usize]) -> Vec<usize> {
    match shape.len() {
        4 => vec![0, 2, 3, 1],
        rank => (0..rank).collect(),
    }
}

impl View {
    /// All of `memory`, without gaps, its axes in `order`.
    pub(crate) fn packed(memory: Memory, shape: &[usize], order: &[usize]) -> Self {
        Self { memory, start: 0, shape: shape.to_vec(), strides: packed_strides(shape, order) }
    }

    /// Axes from the slowest to the fastest in memory; axes that repeat come first.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.shape.len()).collect();
        let key = |axis: usize| match self.strides[axis].unsigned_abs() {
            0 => usize::MAX,
            stride => stride,
        };
        order.sort_by_key(|&axis| core::cmp::Reverse(key(axis)));
        order
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the elements fill a stretch of memory in the order of the axes given.
    pub(crate) fn is_packed(&self, order: &[usize]) -> bool {
        let packed = packed_strides(&self.shape, order);
        (0..self.shape.len()).all(|axis| self.shape[axis] == 1 || self.strides[axis] == packed[axis])
    }

    pub(crate) fn transpose(&self, permutation: &[usize]) -> Self {
        let pick = |axis: &usize| (self.shape[*axis], self.strides[*axis]);
        let (shape, strides) = permutation.iter().map(pick).unzip();
        Self { shape, strides, ..self.clone() }
    }

    pub(crate) fn slice(&self, axis: usize, start: usize, step: isize, len: usize) -> Self {
        let mut view = self.clone();
        view.start = view.start.wrapping_add_signed(start as isize * self.strides[axis]);
        view.strides[axis] *= step;
        view.shape[axis] = len;
        view
    }

    pub(crate) fn broadcast(&self, shape: &[usize]) -> Self {
        let own = self.shape.iter().zip(&self.strides).map(|(&n, &stride)| if n == 1 { 0 } else { stride });
        let strides = core::iter::repeat_n(0, shape.len() - self.shape.len()).chain(own).collect();
        Self { shape: shape.to_vec(), strides, ..self.clone() }
    }

    pub(crate) fn window(&self, axis: usize, size: usize, stride: usize, dilation: usize) -> Self {
        let mut view = self.clone();
        view.shape[axis] = (self.shape[axis] - 1 - (size - 1) * dilation) / stride + 1;
        view.shape.push(size);
        view.strides.push(self.strides[axis] * dilation as isize);
        view.strides[axis] *= stride as isize;
        view
    }

    /// The same elements under another shape, if some strides say so.
    pub(crate) fn reshape(&self, shape: &[usize]) -> Option<Self> {
        let old: Vec<(usize, isize)> =
            self.shape.iter().copied().zip(self.strides.iter().copied()).filter(|(n, _)| *n != 1).collect();
        let mut strides = vec![0; shape.len()];
        let mut next = 0;
        let mut axis = 0;
        while axis < shape.len() {
            if shape[axis] == 1 {
                axis += 1;
                continue;
            }
            // The shortest runs of old and new axes with the same number of elements.
            let (first_old, first_new) = (next, axis);
            let (mut have, mut want) = (old.get(next)?.0, shape[axis]);
            next += 1;
            axis += 1;
            while have != want {
                if have < want {
                    have *= old.get(next)?.0;
                    next += 1;
                } else {
                    want *= shape.get(axis)?;
                    axis += 1;
                }
            }
            let run = &old[first_old..next];
            let merges = run.windows(2).all(|pair| pair[0].1 == pair[1].1 * pair[1].0 as isize);
            if !merges {
                return None;
            }
            let mut stride = run.last()?.1;
            for i in (first_new..axis).rev() {
                strides[i] = stride;
                stride *= shape[i] as isize;
            }
        }
        Some(Self { shape: shape.to_vec(), strides, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_major(shape: &[usize]) -> View {
        View::packed(Memory::Buffer(0), shape, &(0..shape.len()).collect::<Vec<_>>())
    }

    #[test]
    fn reshapes_split_and_merge_axes() {
        let view = row_major(&[2, 3, 4]);
        assert_eq!(view.reshape(&[6, 2, 1, 2]).expect("packed").strides, [4, 2, 2, 1]);
        let transposed = view.transpose(&[0, 2, 1]);
        assert_eq!(transposed.reshape(&[2, 2, 2, 3]).expect("splits only").strides, [12, 2, 1, 4]);
        assert_eq!(transposed.reshape(&[2, 12]), None);
        assert_eq!(row_major(&[]).reshape(&[1, 1]).expect("one element").strides, [0, 0]);
    }

    #[test]
    fn slices_may_run_backwards_and_windows_overlap() {
        let view = row_major(&[2, 5]);
        let backwards = view.slice(1, 4, -2, 3);
        assert_eq!((backwards.start, backwards.shape, backwards.strides), (4, vec![2, 3], vec![5, -2]));
        let window = view.window(1, 2, 1, 3);
        assert_eq!((window.shape, window.strides), (vec![2, 2, 2], vec![5, 1, 3]));
    }

    #[test]
    fn pictures_lie_channels_last() {
        let view = View::packed(Memory::Buffer(0), &[1, 3, 4, 5], &natural_order(&[1, 3, 4, 5]));
        assert_eq!(view.strides[1..], [1, 15, 3]);
        assert!(view.is_packed(&[0, 2, 3, 1]) && !view.is_packed(&[0, 1, 2, 3]));
        assert_eq!(view.order(), [0, 2, 3, 1]);
    }
}
