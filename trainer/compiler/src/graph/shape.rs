//! Shapes: what each operation makes of the shapes it reads, and what it refuses.

use anyhow::{Context, Result, bail, ensure};

use super::{Conv2dGeometry, Op, Tensor};

impl Op {
    /// Shape of the result.
    ///
    /// # Errors
    /// When the number of inputs, weights or geometry do not fit.
    pub fn output_shape(&self, inputs: &[&[usize]]) -> Result<Vec<usize>> {
        match (self, inputs) {
            (Op::Constant(tensor), []) => Ok(tensor.shape.clone()),
            (Op::Dense { weight, bias }, [x]) => dense(weight, bias.as_ref(), x),
            (Op::Conv2d { weight, bias, geometry }, [x]) => {
                let ([batch, c, h, w], [n, ci, kh, kw]) = (image(x)?, axes_of(weight)?);
                geometry.check([kh, kw])?;
                let fits = ci.checked_mul(geometry.groups) == Some(c) && n % geometry.groups == 0;
                ensure!(fits, "weight {:?} in {} groups on {c} channels", weight.shape, geometry.groups);
                check_bias(bias.as_ref(), n)?;
                Ok(vec![batch, n, geometry.conv_extent(h, 0)?, geometry.conv_extent(w, 1)?])
            }
            (Op::ConvTranspose2d { weight, bias, geometry }, [x]) => {
                let ([batch, c, h, w], [ci, no, kh, kw]) = (image(x)?, axes_of(weight)?);
                geometry.check([kh, kw])?;
                ensure!(ci == c && c % geometry.groups == 0, "weight {:?} on {c} channels", weight.shape);
                let n = no.checked_mul(geometry.groups).context("too many channels")?;
                check_bias(bias.as_ref(), n)?;
                Ok(vec![batch, n, geometry.transposed_extent(h, 0)?, geometry.transposed_extent(w, 1)?])
            }
            (Op::BatchNorm { gamma, beta, mean, variance, .. }, [x]) => {
                let &[_, c, ..] = *x else { bail!("batch norm of {x:?}, which has no axis of channels") };
                for t in [gamma, beta, mean, variance] {
                    ensure!(t.shape == [c], "batch norm over {:?} on {c} channels", t.shape);
                }
                Ok(x.to_vec())
            }
            (Op::Unary(_), [x]) => Ok(x.to_vec()),
            (Op::Binary(_), [a, b]) => broadcast(a, b),
            (Op::Select, [condition, a, b]) => broadcast(condition, &broadcast(a, b)?),
            (Op::Reduce { axes, .. }, [x]) => {
                ensure!(axes.is_sorted_by(|a, b| a < b), "axes {axes:?} do not ascend");
                let mut shape = x.to_vec();
                for &axis in axes {
                    *shape.get_mut(axis).with_context(|| format!("axis {axis} of {x:?}"))? = 1;
                }
                Ok(shape)
            }
            (Op::Contract { a, b, out }, [x, y]) => contract(a, b, out, x, y),
            (Op::Reshape(shape), [x]) => {
                let count =
                    |shape: &[usize]| shape.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent));
                ensure!(count(x) == count(shape), "reshape {x:?} to {shape:?}");
                Ok(shape.clone())
            }
            (Op::Transpose(permutation), [x]) => {
                let mut seen = permutation.clone();
                seen.sort_unstable();
                ensure!(seen.iter().copied().eq(0..x.len()), "transpose {x:?} by {permutation:?}");
                Ok(permutation.iter().map(|&axis| x[axis]).collect())
            }
            (&Op::Slice { axis, start, step, len }, [x]) => {
                let mut shape = x.to_vec();
                let extent = shape.get_mut(axis).with_context(|| format!("axis {axis} of {x:?}"))?;
                let last = len.checked_sub(1).and_then(|last| isize::try_from(last).ok()?.checked_mul(step));
                let last = last.and_then(|reach| start.checked_add_signed(reach));
                let inside = start < *extent && last.is_some_and(|last| last < *extent) && step != 0;
                ensure!(inside, "slice of {len} from {start} by {step} leaves axis {axis} of {x:?}");
                *extent = len;
                Ok(shape)
            }
            (Op::Broadcast(shape), [x]) => {
                ensure!(broadcast(x, shape)? == *shape, "broadcast {x:?} to {shape:?}");
                Ok(shape.clone())
            }
            (&Op::Window { axis, size, stride, dilation }, [x]) => {
                let mut shape = x.to_vec();
                let extent = shape.get_mut(axis).with_context(|| format!("axis {axis} of {x:?}"))?;
                ensure!(size > 0 && stride > 0 && dilation > 0, "window, stride and dilation start at 1");
                let span = (size - 1).checked_mul(dilation).filter(|span| span < extent);
                let span =
                    span.with_context(|| format!("a window of {size} exceeds axis {axis} of {x:?}"))?;
                *extent = (*extent - 1 - span) / stride + 1;
                shape.push(size);
                Ok(shape)
            }
            (&Op::Concat { axis }, [first, rest @ ..]) => {
                let mut shape = first.to_vec();
                ensure!(axis < shape.len(), "axis {axis} of {first:?}");
                for other in rest {
                    let fits = other.len() == shape.len()
                        && (0..shape.len()).all(|i| i == axis || other[i] == shape[i]);
                    ensure!(fits, "concat {first:?} and {other:?} along axis {axis}");
                    shape[axis] = shape[axis].saturating_add(other[axis]);
                }
                Ok(shape)
            }
            (&Op::Gather { axis }, [x, indices]) => {
                ensure!(axis < x.len(), "axis {axis} of {x:?}");
                Ok([&x[..axis], indices, &x[axis + 1..]].concat())
            }
            _ => bail!("{} inputs are not what the operation reads", inputs.len()),
        }
    }
}

/// The shape of both, as NumPy broadcasts.
///
/// # Errors
/// When they have none.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (extent(a, i), extent(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => bail!("{a:?} and {b:?} cannot be broadcast to one shape"),
        })
        .collect()
}

fn dense(weight: &Tensor, bias: Option<&Tensor>, x: &[usize]) -> Result<Vec<usize>> {
    let [n, k] = weight.shape[..] else { bail!("weight {:?} is not a matrix", weight.shape) };
    let mut shape = x.to_vec();
    let last = shape.last_mut().filter(|last| **last == k);
    *last.with_context(|| format!("weight [{n}, {k}] reads {k} values, the input {x:?} has others"))? = n;
    check_bias(bias, n)?;
    Ok(shape)
}

fn contract(a: &[usize], b: &[usize], out: &[usize], x: &[usize], y: &[usize]) -> Result<Vec<usize>> {
    let unique = |labels: &[usize]| (1..labels.len()).all(|i| !labels[..i].contains(&labels[i]));
    ensure!(a.len() == x.len() && b.len() == y.len(), "labels {a:?} and {b:?} for {x:?} and {y:?}");
    ensure!([a, b, out].into_iter().all(unique), "a label twice in {a:?}, {b:?} or {out:?}");
    for (label, extent) in b.iter().zip(y) {
        let other = a.iter().position(|l| l == label).map(|i| x[i]);
        ensure!(other.is_none_or(|other| other == *extent), "label {label} of {x:?} and {y:?} differs");
    }
    out.iter()
        .map(|label| {
            let extent = a.iter().zip(x).chain(b.iter().zip(y)).find(|(l, _)| *l == label);
            extent.map(|(_, &extent)| extent).with_context(|| format!("label {label} is in neither input"))
        })
        .collect()
}

fn image(x: &[usize]) -> Result<[usize; 4]> {
    x.try_into().ok().with_context(|| format!("{x:?} is no [N, C, H, W]"))
}

fn axes_of(weight: &Tensor) -> Result<[usize; 4]> {
    let axes = weight.shape[..].try_into().ok().filter(|axes: &[usize; 4]| axes.iter().all(|&e| e > 0));
    axes.with_context(|| format!("weight {:?} has not 4 axes", weight.shape))
}

fn check_bias(bias: Option<&Tensor>, n: usize) -> Result<()> {
    if let Some(bias) = bias {
        ensure!(bias.shape == [n], "bias {:?} for {n} outputs", bias.shape);
    }
    Ok(())
}

impl Conv2dGeometry {
    fn check(&self, kernel_size: [usize; 2]) -> Result<()> {
        ensure!(
            self.kernel_size == kernel_size,
            "kernel {:?} with weights {kernel_size:?}",
            self.kernel_size
        );
        let positive = [self.kernel_size, self.stride, self.dilation].iter().flatten().all(|&v| v > 0);
        ensure!(positive && self.groups > 0, "kernel, stride, dilation and groups start at 1: {self:?}");
        let numbers = [self.kernel_size, self.stride, self.dilation, self.output_padding];
        let small = numbers.iter().flatten().chain(&self.padding).all(|&v| v <= LARGEST);
        ensure!(small, "a number of the geometry exceeds {LARGEST}: {self:?}");
        Ok(())
    }

    fn conv_extent(&self, size: usize, axis: usize) -> Result<usize> {
        let span = self.dilation[axis] * (self.kernel_size[axis] - 1) + 1;
        let padded = size + self.padding[axis] + self.padding[axis + 2];
        ensure!(padded >= span, "the kernel spans {span}, the padded input {padded}");
        Ok((padded - span) / self.stride[axis] + 1)
    }

    fn transposed_extent(&self, size: usize, axis: usize) -> Result<usize> {
        let full = (size - 1) * self.stride[axis]
            + self.dilation[axis] * (self.kernel_size[axis] - 1)
            + 1
            + self.output_padding[axis];
        let cut = self.padding[axis] + self.padding[axis + 2];
        ensure!(full > cut, "padding {cut} leaves nothing of {full}");
        Ok(full - cut)
    }
}

/// Far beyond any layer, and far from overflow.
const LARGEST: usize = 1 << 20;
