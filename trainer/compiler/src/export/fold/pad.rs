//! Zeros around a picture that a convolution reads: its padding, not values in memory.

use super::Folder;
use crate::graph::{Conv2dGeometry, Op, Value};

impl Folder {
    /// What a convolution reads, without the zeros that concatenations put around it, and the geometry that has them as
    /// padding.
    pub(super) fn unpadded(&self, g: &Conv2dGeometry, input: Value) -> (Value, Conv2dGeometry) {
        let (mut picture, mut geometry) = (input, g.clone());
        while let Some(node) = self.graph.node(picture)
            && let Op::Concat { axis: axis @ (2 | 3) } = node.op
            && let Some(inside) = self.only_nonzero(&node.inputs)
        {
            let extents =
                |parts: &[Value]| parts.iter().map(|&part| self.graph.shape(part)[axis]).sum::<usize>();
            let more = [extents(&node.inputs[..inside]), extents(&node.inputs[inside + 1..])];
            if more.iter().any(|&amount| amount > LARGEST) {
                break;
            }
            geometry.padding[axis - 2] += more[0];
            geometry.padding[axis] += more[1];
            picture = node.inputs[inside];
        }
        (picture, geometry)
    }

    /// The place of the only part that is not all zeros.
    fn only_nonzero(&self, parts: &[Value]) -> Option<usize> {
        let mut others = (0..parts.len()).filter(|&i| !self.is_zero(parts[i]));
        others.next().filter(|_| others.next().is_none())
    }

    fn is_zero(&self, value: Value) -> bool {
        match self.graph.node(value).map(|node| (&node.op, &node.inputs)) {
            Some((Op::Constant(tensor), _)) => tensor.data.iter().all(|&v| v == 0.0),
            Some((Op::Broadcast(_) | Op::Reshape(_), inputs)) => self.is_zero(inputs[0]),
            _ => false,
        }
    }
}

/// More zeros than that may be further away than a tap of the format reaches.
const LARGEST: usize = 1024;
