//! The geometry that convolutions and pooling share, for any number of spatial axes.

use anyhow::{Context, Result, bail, ensure};

use super::attributes::{Attributes, LARGEST};

/// One number for each spatial axis.
#[derive(Clone, Debug)]
pub(super) struct Spatial {
    pub(super) kernel: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) dilation: Vec<usize>,
    /// What is added before and after.
    pub(super) pads: Vec<[i64; 2]>,
}

impl Spatial {
    /// The geometry of a convolution or pooling over `input`, whose kernel is `kernel` or else an attribute.
    pub(super) fn read(
        attributes: &Attributes<'_>,
        input: &[usize],
        kernel: Option<&[usize]>,
    ) -> Result<Self> {
        let rank = input.len();
        let kernel = match kernel {
            Some(kernel) => {
                let stated = attributes.extents("kernel_shape", rank, 0)?;
                ensure!(
                    stated == kernel || stated.contains(&0),
                    "kernel_shape {stated:?}, but the weights are {kernel:?}"
                );
                kernel.to_vec()
            }
            None => {
                ensure!(attributes.has("kernel_shape"), "kernel_shape is missing");
                attributes.extents("kernel_shape", rank, 1)?
            }
        };
        let stride = attributes.extents("strides", rank, 1)?;
        let dilation = attributes.extents("dilations", rank, 1)?;
        let fits = kernel.iter().chain(input).all(|extent| (1..=LARGEST).contains(extent));
        ensure!(fits, "kernel {kernel:?} over {input:?}");
        let mut spatial = Self { kernel, stride, dilation, pads: pads(attributes, rank)? };
        match attributes.string_or("auto_pad", "NOTSET")? {
            "NOTSET" | "" => {}
            "VALID" => spatial.pads = vec![[0, 0]; rank],
            side @ ("SAME_UPPER" | "SAME_LOWER") => {
                spatial.pads = (0..rank)
                    .map(|i| {
                        let out = input[i].div_ceil(spatial.stride[i]);
                        let needed = out.saturating_sub(1) * spatial.stride[i] + spatial.span(i);
                        halves(needed.saturating_sub(input[i]) as i64, side == "SAME_UPPER")
                    })
                    .collect();
            }
            other => bail!("auto_pad {other:?}"),
        }
        Ok(spatial)
    }

    /// Elements between the first and the last that the kernel sees, both included.
    pub(super) fn span(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }
}

/// The attribute `pads`: zero where it is missing.
pub(super) fn pads(attributes: &Attributes<'_>, rank: usize) -> Result<Vec<[i64; 2]>> {
    let Some(pads) = attributes.ints("pads")? else { return Ok(vec![[0, 0]; rank]) };
    ensure!(pads.len() == 2 * rank, "pads {pads:?} for {rank} axes");
    ensure!(pads.iter().all(|pad| pad.unsigned_abs() <= LARGEST as u64), "pads {pads:?}");
    Ok((0..rank).map(|i| [pads[i], pads[i + rank]]).collect())
}

/// Splits padding in two; what is odd goes to the end, or to the start.
pub(super) fn halves(total: i64, end: bool) -> [i64; 2] {
    let [less, more] = [total / 2, total - total / 2];
    if end { [less, more] } else { [more, less] }
}

/// The number of batches and channels, and the spatial axes.
pub(super) fn split(shape: &[usize]) -> Result<([usize; 2], &[usize])> {
    let parts = shape.split_first_chunk::<2>().filter(|(_, spatial)| !spatial.is_empty());
    let (head, spatial) = parts.with_context(|| format!("{shape:?} is no [N, C, ..]"))?;
    Ok((*head, spatial))
}
