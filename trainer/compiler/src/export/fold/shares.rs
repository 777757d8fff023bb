//! Sums of products: also of those that are written as a product and a sum; of operands as they lie, not transposed; and
//! with shares, as a softmax makes them.
//!
//! Of the last, in: `sum over j of (e[i, j] / d[i]) * v[j, c]`. Out: the sum divided, which has fewer values than the shares.

use anyhow::Result;

use super::Folder;
use crate::graph::{Binary, Op, Value};

impl Folder {
    /// The sum along some axes of products that nothing else reads, as one contraction, which needs no memory for them.
    /// Constants are left alone: those of contractions are stored as weights are.
    pub(super) fn sum_of_products(
        &mut self,
        name: &str,
        axes: &[usize],
        products: Value,
    ) -> Result<Option<Value>> {
        let Some(node) = self.graph.node(products).filter(|_| self.sole[products.index()]) else {
            return Ok(None);
        };
        let shape = self.graph.shape(products).to_vec();
        let factors = node.inputs.clone();
        let variable = |value: &Value| {
            let constant = matches!(self.graph.node(*value).map(|n| &n.op), Some(Op::Constant(_)));
            self.graph.shape(*value) == shape && !constant
        };
        if !matches!(node.op, Op::Binary(Binary::Mul)) || !factors.iter().all(variable) {
            return Ok(None);
        }
        let labels: Vec<usize> = (0..shape.len()).collect();
        let out: Vec<usize> = labels.iter().copied().filter(|axis| !axes.contains(axis)).collect();
        let sums = self.contract(&format!("{name}.products"), [&labels, &labels, &out], factors)?;
        let whole: Vec<usize> =
            labels.iter().map(|axis| if axes.contains(axis) { 1 } else { shape[*axis] }).collect();
        self.reshape(name, &whole, sums).map(Some)
    }

    /// A contraction, which reads what its operands are transpositions of.
    pub(super) fn contract(
        &mut self,
        name: &str,
        [a, b, out]: [&[usize]; 3],
        mut inputs: Vec<Value>,
    ) -> Result<Value> {
        let mut labels = [a.to_vec(), b.to_vec()];
        for (labels, input) in labels.iter_mut().zip(&mut inputs) {
            while let Some(node) = self.graph.node(*input)
                && let Op::Transpose(permutation) = &node.op
            {
                let turned = labels.clone();
                permutation.iter().zip(turned).for_each(|(&axis, label)| labels[axis] = label);
                *input = node.inputs[0];
            }
        }
        let [a, b] = labels;
        if let Some(value) = self.divide_after(name, [&a, &b, out], &inputs)? {
            return Ok(value);
        }
        self.push(name, Op::Contract { a, b, out: out.to_vec() }, inputs)
    }

    /// A contraction of quotients whose divisor is the same along all that is summed, divided afterwards; none if it is
    /// no such, or others read the quotients.
    fn divide_after(
        &mut self,
        name: &str,
        [a, b, out]: [&[usize]; 3],
        inputs: &[Value],
    ) -> Result<Option<Value>> {
        for (side, labels) in [a, b].into_iter().enumerate() {
            let shares = inputs[side];
            let Some(node) = self.graph.node(shares).filter(|_| self.sole[shares.index()]) else { continue };
            let (&Op::Binary(Binary::Div), &[dividend, divisor]) = (&node.op, &node.inputs[..]) else {
                continue;
            };
            let (shape, of_divisor) = (self.graph.shape(shares).to_vec(), self.graph.shape(divisor).to_vec());
            let summed = |axis: usize| !out.contains(&labels[axis]);
            let constant_where_summed =
                (0..shape.len()).all(|axis| !summed(axis) || of_divisor.get(axis) == Some(&1));
            let result: usize = out
                .iter()
                .map(|label| {
                    let extent = |labels: &[usize], value: Value| {
                        labels.iter().position(|l| l == label).map(|axis| self.graph.shape(value)[axis])
                    };
                    extent(a, inputs[0]).or(extent(b, inputs[1])).unwrap_or(1)
                })
                .product();
            if self.graph.shape(dividend) != shape
                || of_divisor.len() != shape.len()
                || !constant_where_summed
                || result >= shape.iter().product()
            {
                continue;
            }
            let mut operands = inputs.to_vec();
            operands[side] = dividend;
            let op = Op::Contract { a: a.to_vec(), b: b.to_vec(), out: out.to_vec() };
            let sums = self.push(&format!("{name}.sums"), op, operands)?;
            // The divisor, its axes in the order of the result.
            let kept: Vec<usize> = (0..shape.len()).filter(|&axis| !summed(axis)).collect();
            let extents: Vec<usize> = kept.iter().map(|&axis| of_divisor[axis]).collect();
            let divisor = self.reshape(&format!("{name}.kept"), &extents, divisor)?;
            let place = |label: &usize| kept.iter().position(|&axis| labels[axis] == *label);
            let permutation: Vec<usize> = out.iter().filter_map(place).collect();
            let divisor = self.push(&format!("{name}.turned"), Op::Transpose(permutation), vec![divisor])?;
            let aligned: Vec<usize> =
                out.iter().map(|label| place(label).map_or(1, |i| extents[i])).collect();
            let divisor = self.reshape(&format!("{name}.divisor"), &aligned, divisor)?;
            return self.push(name, Op::Binary(Binary::Div), vec![sums, divisor]).map(Some);
        }
        Ok(None)
    }
}
