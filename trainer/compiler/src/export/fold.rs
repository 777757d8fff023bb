//! Rewrites a graph into fewer operations that compute the same.
//!
//! Batch normalization, and any other scale and shift of channels, becomes part of the weights before it. A transposed
//! convolution over a single pixel, the first layer of many generators, becomes the dense layer that it is. A reshape
//! moves next to the dense layer whose result it is, so that both are one. What nobody reads is dropped.

mod enlarge;
mod pad;
mod shares;

use anyhow::{Result, bail};

use crate::graph::{Binary, Conv2dGeometry, Graph, Op, Reduction, Tensor, Unary, Value};

/// The graph without batch normalization.
///
/// # Errors
/// Never for a graph that was built by [`Graph::push`].
pub fn fold(graph: &Graph) -> Result<Graph> {
    let mut readers = vec![0; graph.value_count()];
    graph.nodes().flat_map(|(_, node)| &node.inputs).for_each(|input| readers[input.index()] += 1);
    readers[graph.output().index()] += 1;

    let inputs = (0..graph.inputs().len()).map(|i| graph.input(i));
    let mut folder = Folder {
        graph: Graph::new(graph.inputs().to_vec()),
        values: inputs.collect(),
        sole: vec![],
        sums: 0,
    };
    for (input, &count) in readers.iter().enumerate().take(graph.inputs().len()) {
        folder.mark(graph.input(input), count == 1);
    }
    for (value, node) in graph.nodes() {
        let inputs: Vec<Value> = node.inputs.iter().map(|input| folder.values[input.index()]).collect();
        let new = folder.node(&node.name, &node.op, inputs)?;
        folder.mark(new, readers[value.index()] == 1);
        folder.values.push(new);
    }
    folder.graph.set_output(folder.values[graph.output().index()]);
    // Inputs stay: they are what the file's user was promised.
    let mut kept = folder.graph.reached(folder.graph.output());
    kept[..graph.inputs().len()].fill(true);
    folder.graph.retain(&kept)
}

struct Folder {
    graph: Graph,
    /// What each value of the old graph became.
    values: Vec<Value>,
    /// Whether a value of the new graph has one reader.
    sole: Vec<bool>,
    /// Values of all kernels that are sums of others.
    sums: usize,
}

impl Folder {
    fn mark(&mut self, value: Value, sole: bool) {
        // What the new graph adds between two nodes of the old one is read there alone.
        self.sole.resize(self.graph.value_count(), true);
        self.sole[value.index()] = sole;
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<Value>) -> Result<Value> {
        let value = self.graph.push(name, op, inputs)?;
        self.mark(value, true);
        Ok(value)
    }

    /// Appends what a node becomes.
    fn node(&mut self, name: &str, op: &Op, inputs: Vec<Value>) -> Result<Value> {
        match op {
            Op::BatchNorm { gamma, beta, mean, variance, epsilon } => {
                let deviation = |v: f32| (f64::from(v) + f64::from(*epsilon)).sqrt();
                let scale: Vec<f64> = gamma
                    .data
                    .iter()
                    .zip(&variance.data)
                    .map(|(&g, &v)| f64::from(g) / deviation(v))
                    .collect();
                let moved = beta.data.iter().zip(&mean.data).zip(&scale);
                let shift: Vec<f64> = moved.map(|((&b, &m), s)| f64::from(b) - f64::from(m) * s).collect();
                if self.scale_channels(inputs[0], &scale, &shift)? {
                    return Ok(inputs[0]);
                }
                let mut shape = vec![1; self.graph.shape(inputs[0]).len() - 1];
                shape[0] = scale.len();
                let mut constant = |part: &str, values: &[f64]| {
                    let values = values.iter().map(|&v| v as f32).collect();
                    self.push(
                        &format!("{name}.{part}"),
                        Op::Constant(Tensor::new(shape.clone(), values)),
                        vec![],
                    )
                };
                let (scale, shift) = (constant("scale", &scale)?, constant("shift", &shift)?);
                let scaled =
                    self.push(&format!("{name}.scaled"), Op::Binary(Binary::Mul), vec![inputs[0], scale])?;
                self.push(name, Op::Binary(Binary::Add), vec![scaled, shift])
            }
            Op::Binary(function) => {
                if let Some(value) = self.function_with_enlarged(name, *function, [inputs[0], inputs[1]])? {
                    return Ok(value);
                }
                match function {
                    Binary::Add | Binary::Mul | Binary::Sub => self.scale_or_shift(name, *function, inputs),
                    _ => self.push(name, op.clone(), inputs),
                }
            }
            Op::Unary(function) => match self.function_of_enlarged(name, *function, inputs[0])? {
                Some(value) => Ok(value),
                None => match self.difference(*function, inputs[0]) {
                    // One pass over the table of a softmax instead of two.
                    Some(operands) => self.push(name, Op::Binary(Binary::ExpSub), operands),
                    None => self.push(name, op.clone(), inputs),
                },
            },
            Op::Conv2d { weight, bias, geometry } => {
                let (picture, geometry) = self.unpadded(geometry, inputs[0]);
                match self.convolution_of_enlarged(name, (weight, bias.as_ref(), &geometry), picture)? {
                    Some(value) => Ok(value),
                    None => {
                        let (weight, bias) = (weight.clone(), bias.clone());
                        self.push(name, Op::Conv2d { weight, bias, geometry }, vec![picture])
                    }
                }
            }
            Op::ConvTranspose2d { weight, bias, geometry } => {
                let shape = op.output_shape(&[self.graph.shape(inputs[0])])?;
                let &[batch, c, h, w] = self.graph.shape(inputs[0]) else { bail!("{name}: no picture") };
                let pixels = shape[2] * shape[3];
                if [h, w] != [1, 1] || geometry.groups != 1 || pixels > geometry.kernel_size.iter().product()
                {
                    return self.push(name, op.clone(), inputs);
                }
                let vector = self.reshape(&format!("{name}.flatten"), &[batch, c], inputs[0])?;
                let dense =
                    dense_over_one_pixel(weight, bias.as_ref(), geometry, [shape[1], shape[2], shape[3]]);
                let dense = self.push(name, dense, vec![vector])?;
                self.push(&format!("{name}.reshape"), Op::Reshape(shape), vec![dense])
            }
            Op::Reduce { reduction: Reduction::Sum, axes } => {
                match self.sum_of_products(name, axes, inputs[0])? {
                    Some(value) => Ok(value),
                    None => self.push(name, op.clone(), inputs),
                }
            }
            Op::Contract { a, b, out } => self.contract(name, [a, b, out], inputs),
            Op::Reshape(shape) => {
                let value = self.reshape(name, shape, inputs[0])?;
                self.normalize_enlargement(name, value)
            }
            _ => self.push(name, op.clone(), inputs),
        }
    }

    /// The operands of a difference that only an exponential reads.
    fn difference(&self, function: Unary, input: Value) -> Option<Vec<Value>> {
        let node = self.graph.node(input).filter(|_| function == Unary::Exp && self.sole[input.index()])?;
        matches!(node.op, Op::Binary(Binary::Sub)).then(|| node.inputs.clone())
    }

    /// A reshape directly after the dense layer, or the other reshape, that comes before it.
    fn reshape(&mut self, name: &str, shape: &[usize], input: Value) -> Result<Value> {
        if self.graph.shape(input) == shape {
            return Ok(input);
        }
        let mut source = input;
        let mut functions: Vec<(String, Unary)> = vec![];
        while let Some(node) = self.graph.node(source)
            && let Op::Unary(function) = node.op
            && self.sole[source.index()]
        {
            functions.push((node.name.clone(), function));
            source = node.inputs[0];
        }
        let node = self.graph.node(source).filter(|_| self.sole[source.index()]);
        if !matches!(node.map(|n| &n.op), Some(Op::Dense { .. })) {
            (source, functions) = (input, vec![]);
        }
        if let Some(node) = self.graph.node(source)
            && matches!(node.op, Op::Reshape(_))
        {
            source = node.inputs[0];
        }
        let mut value = match self.graph.shape(source) == shape {
            true => source,
            false => self.push(name, Op::Reshape(shape.to_vec()), vec![source])?,
        };
        for (name, function) in functions.into_iter().rev() {
            value = self.push(&name, Op::Unary(function), vec![value])?;
        }
        Ok(value)
    }

    /// A sum or product with one constant for each channel, as weights if it can be.
    fn scale_or_shift(&mut self, name: &str, function: Binary, inputs: Vec<Value>) -> Result<Value> {
        let constant = |value: Value| match self.graph.node(value).map(|node| &node.op) {
            Some(Op::Constant(tensor)) => Some(tensor.clone()),
            _ => None,
        };
        let operands = match (constant(inputs[0]), constant(inputs[1])) {
            (None, Some(tensor)) => Some((inputs[0], tensor)),
            (Some(tensor), None) if function != Binary::Sub => Some((inputs[1], tensor)),
            _ => None,
        };
        if let Some((value, tensor)) = operands
            && let Some(values) = self.per_channel(value, &tensor)
        {
            let (ones, zeros) = (vec![1.0; values.len()], vec![0.0; values.len()]);
            let folded = match function {
                Binary::Mul => self.scale_channels(value, &values, &zeros)?,
                Binary::Add => self.scale_channels(value, &ones, &values)?,
                _ => self.scale_channels(value, &ones, &values.iter().map(|v| -v).collect::<Vec<_>>())?,
            };
            if folded {
                return Ok(value);
            }
        }
        self.push(name, Op::Binary(function), inputs)
    }

    /// The constant as one number for each channel of the value: axis 1, or the last of what is not a picture.
    fn per_channel(&self, value: Value, tensor: &Tensor) -> Option<Vec<f64>> {
        let shape = self.graph.shape(value);
        let axis = if shape.len() == 4 { 1 } else { shape.len().checked_sub(1)? };
        let ahead = shape.len().checked_sub(tensor.shape.len())?;
        let own = |i: usize| i.checked_sub(ahead).map_or(1, |i| tensor.shape[i]);
        let fits = (0..shape.len()).all(|i| own(i) == 1 || i == axis && own(i) == shape[axis]);
        let at = |i: usize| f64::from(tensor.data[i % tensor.data.len()]);
        fits.then(|| (0..shape[axis]).map(at).collect())
    }

    /// Multiplies channel `n` by `scale[n]` and adds `shift[n]`, in the layer that computes the value, or in all of which
    /// it is the sum; false if there is none, or others read what is in between.
    fn scale_channels(&mut self, value: Value, scale: &[f64], shift: &[f64]) -> Result<bool> {
        let mut layers = vec![];
        if !self.summed_layers(value, scale.len(), &mut layers) {
            return Ok(false);
        }
        let zeros = vec![0.0; shift.len()];
        for (i, layer) in layers.into_iter().enumerate() {
            if let Some(op) = self.graph.op_mut(layer) {
                scale_outputs(op, scale, if i == 0 { shift } else { &zeros })?;
            }
        }
        Ok(true)
    }

    /// Appends the layers whose sum, or difference, a value is; false if it is not, or others read what is in between.
    fn summed_layers(&self, value: Value, channels: usize, layers: &mut Vec<Value>) -> bool {
        let mut layer = value;
        while self.sole[layer.index()]
            && let Some(node) = self.graph.node(layer)
            && matches!(node.op, Op::Reshape(_))
        {
            layer = node.inputs[0];
        }
        let (shape, whole) = (self.graph.shape(layer), self.graph.shape(value));
        let Some(node) = self.graph.node(layer).filter(|_| self.sole[layer.index()]) else { return false };
        let same_channels = whole.len() > 1 && shape.len() > 1 && whole[..2] == shape[..2];
        let fits = match &node.op {
            // Vectors whose elements, a block for each channel, are the values of one picture.
            Op::Dense { .. } if layer != value => {
                shape.len() == 2 && whole.len() > 2 && whole[..1] == shape[..1] && whole[1] == channels
            }
            Op::Dense { .. } => shape.last() == Some(&channels),
            Op::Conv2d { .. } | Op::ConvTranspose2d { .. } => same_channels && shape[1] == channels,
            Op::Binary(Binary::Add | Binary::Sub) if same_channels && shape.len() > 3 => {
                let whole = |input: &Value| self.graph.shape(*input) == shape;
                return node.inputs.iter().all(whole)
                    && node.inputs.iter().all(|&input| self.summed_layers(input, channels, layers));
            }
            Op::Broadcast(_) if same_channels && shape.len() > 3 => {
                let input = node.inputs[0];
                let own = self.graph.shape(input);
                return own.len() == shape.len()
                    && own[..2] == shape[..2]
                    && self.summed_layers(input, channels, layers);
            }
            _ => false,
        };
        layers.push(layer);
        fits
    }
}

/// Multiplies output channel `n` by `scale[n]` and adds `shift[n]`, in f64. A dense layer with more outputs than
/// channels is about to be reshaped: each channel is a block of its outputs.
fn scale_outputs(op: &mut Op, scale: &[f64], shift: &[f64]) -> Result<()> {
    let channels = scale.len();
    let (weight, bias, outputs) = match op {
        Op::Dense { weight, bias } => {
            let outputs = weight.shape[0];
            (weight, bias, outputs)
        }
        Op::Conv2d { weight, bias, .. } => {
            let outputs = weight.shape[0];
            (weight, bias, outputs)
        }
        Op::ConvTranspose2d { weight, bias, geometry } => {
            let outputs = weight.shape[1] * geometry.groups;
            let per_group = weight.shape[1];
            let inputs_per_group = weight.shape[0] / geometry.groups;
            let kernel: usize = weight.shape[2..].iter().product();
            for (row, values) in weight.data.chunks_exact_mut(kernel).enumerate() {
                let group = row / per_group / inputs_per_group;
                let n = group * per_group + row % per_group;
                values.iter_mut().for_each(|v| *v = (f64::from(*v) * scale[n]) as f32);
            }
            shift_bias(bias, outputs, 1, scale, shift);
            return Ok(());
        }
        _ => bail!("it has no weights"),
    };
    if outputs % channels != 0 {
        bail!("{outputs} outputs do not divide into {channels} channels");
    }
    let block = outputs / channels;
    let row_len = weight.data.len() / outputs;
    for (row, values) in weight.data.chunks_exact_mut(row_len).enumerate() {
        values.iter_mut().for_each(|v| *v = (f64::from(*v) * scale[row / block]) as f32);
    }
    shift_bias(bias, outputs, block, scale, shift);
    Ok(())
}

fn shift_bias(bias: &mut Option<Tensor>, outputs: usize, block: usize, scale: &[f64], shift: &[f64]) {
    let old = bias.take().map_or_else(|| vec![0.0; outputs], |b| b.data);
    let folded = old
        .iter()
        .enumerate()
        .map(|(n, &b)| (f64::from(b) * scale[n / block] + shift[n / block]) as f32)
        .collect();
    *bias = Some(Tensor::new([outputs], folded));
}

/// Each output pixel of a transposed convolution over one pixel meets at most one kernel element.
fn dense_over_one_pixel(weight: &Tensor, bias: Option<&Tensor>, g: &Conv2dGeometry, shape: [usize; 3]) -> Op {
    let [n, height, width] = shape;
    let [inputs, kh, kw] = [weight.shape[0], weight.shape[2], weight.shape[3]];
    let mut dense = vec![0.0; n * height * width * inputs];
    for c in 0..inputs {
        for o in 0..n {
            for ky in 0..kh {
                for kx in 0..kw {
                    let y = (ky * g.dilation[0]).checked_sub(g.padding[0]).filter(|&y| y < height);
                    let x = (kx * g.dilation[1]).checked_sub(g.padding[1]).filter(|&x| x < width);
                    if let (Some(y), Some(x)) = (y, x) {
                        dense[((o * height + y) * width + x) * inputs + c] =
                            weight.data[((c * n + o) * kh + ky) * kw + kx];
                    }
                }
            }
        }
    }
    let outputs = n * height * width;
    let bias = bias.map(|b| {
        Tensor::new([outputs], (0..outputs).map(|i| b.data[i / (height * width)]).collect::<Vec<_>>())
    });
    Op::Dense { weight: Tensor::new([outputs, inputs], dense), bias }
}
