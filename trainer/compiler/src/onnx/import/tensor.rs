//! Tensors of a file, widened: every element type that we read becomes `f64`.

use half::{bf16, f16};

use anyhow::{Context, Result, bail, ensure};

use super::operand::{Kind, Operand};
use crate::graph::{Binary, MAX_VALUES, Op};
use crate::onnx::pb;
use crate::onnx::pb::tensor_proto::{DataLocation, DataType};

/// The number of elements of `dims`.
///
/// # Errors
/// When an extent is negative, or there are more than [`MAX_VALUES`].
pub(super) fn element_count(dims: &[i64]) -> Result<(Vec<usize>, usize)> {
    let mut shape = Vec::with_capacity(dims.len());
    for &dim in dims {
        shape.push(usize::try_from(dim).ok().with_context(|| format!("a negative extent in {dims:?}"))?);
    }
    ensure!(shape.len() <= MAX_RANK, "{} axes, at most {MAX_RANK} are read", shape.len());
    let count = count(&shape).with_context(|| format!("the tensor {dims:?} exceeds {MAX_VALUES} values"))?;
    Ok((shape, count))
}

/// The number of elements, if it is not beyond [`MAX_VALUES`]; nor may it be without the axes that have none, so that
/// products of extents are far from overflow.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    let mut extents = shape.iter().filter(|&&extent| extent > 0);
    let count = extents.try_fold(1_usize, |count, &extent| count.checked_mul(extent));
    let count = count.filter(|&count| count <= MAX_VALUES)?;
    Some(if shape.contains(&0) { 0 } else { count })
}

/// The numbers of a tensor.
///
/// # Errors
/// When its type is not read, its data lies in another file, or the data is not as long as the shape says.
pub(super) fn decode(tensor: &pb::TensorProto) -> Result<Operand> {
    let (shape, count) = element_count(&tensor.dims)?;
    let external =
        tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty();
    ensure!(
        !external,
        "its data lies in another file; store the weights inside the model: onnx.save(model, path, \
         save_as_external_data=False)"
    );
    ensure!(tensor.segment.is_none(), "tensors in segments are not read");
    let kind = Kind::of(tensor.data_type)?;
    let data = if tensor.raw_data.is_empty() { typed(tensor, count)? } else { raw(tensor, count)? };
    ensure!(data.len() == count, "{} values for the shape {shape:?}", data.len());
    Ok(Operand::constant(kind, shape, data))
}

fn raw(tensor: &pb::TensorProto, count: usize) -> Result<Vec<f64>> {
    let bytes = &tensor.raw_data[..];
    let data_type = DataType::try_from(tensor.data_type).unwrap_or_default();
    let bits = match data_type {
        DataType::Int4 | DataType::Uint4 => 4,
        DataType::Bool | DataType::Int8 | DataType::Uint8 => 8,
        DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16 => 16,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        _ => 64,
    };
    let expected = (count * bits).div_ceil(8);
    ensure!(bytes.len() == expected, "{} bytes of data for {count} values of {bits} bits", bytes.len());
    Ok(match data_type {
        DataType::Bool => bytes.iter().map(|&byte| f64::from(u8::from(byte != 0))).collect(),
        DataType::Uint8 => bytes.iter().map(|&byte| f64::from(byte)).collect(),
        DataType::Int8 => bytes.iter().map(|&byte| f64::from(byte.cast_signed())).collect(),
        DataType::Uint4 => nibbles(bytes, count).map(f64::from).collect(),
        DataType::Int4 => nibbles(bytes, count).map(|n| f64::from((n << 4).cast_signed() >> 4)).collect(),
        DataType::Float16 => words(bytes, |b| f16::from_le_bytes(b).to_f64()),
        DataType::Bfloat16 => words(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        DataType::Int16 => words(bytes, |b| f64::from(i16::from_le_bytes(b))),
        DataType::Uint16 => words(bytes, |b| f64::from(u16::from_le_bytes(b))),
        DataType::Float => words(bytes, |b| f64::from(f32::from_le_bytes(b))),
        DataType::Int32 => words(bytes, |b| f64::from(i32::from_le_bytes(b))),
        DataType::Uint32 => words(bytes, |b| f64::from(u32::from_le_bytes(b))),
        DataType::Double => words(bytes, f64::from_le_bytes),
        // What exceeds 2^53 is rounded here and refused where it would be used as a number.
        DataType::Int64 => words(bytes, |b| i64::from_le_bytes(b) as f64),
        DataType::Uint64 => words(bytes, |b| u64::from_le_bytes(b) as f64),
        other => bail!("tensors of type {} are not supported", other.as_str_name()),
    })
}

fn words<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|&word| value(word)).collect()
}

fn nibbles(bytes: &[u8], count: usize) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|&byte| [byte & 15, byte >> 4]).take(count)
}

fn typed(tensor: &pb::TensorProto, count: usize) -> Result<Vec<f64>> {
    let ints = &tensor.int32_data;
    Ok(match DataType::try_from(tensor.data_type).unwrap_or_default() {
        DataType::Float => tensor.float_data.iter().map(|&v| f64::from(v)).collect(),
        DataType::Double => tensor.double_data.clone(),
        DataType::Int64 => tensor.int64_data.iter().map(|&v| v as f64).collect(),
        DataType::Uint32 | DataType::Uint64 => tensor.uint64_data.iter().map(|&v| v as f64).collect(),
        // The low bits of each number hold the type's own representation.
        DataType::Float16 => ints.iter().map(|&v| f16::from_bits(v as u16).to_f64()).collect(),
        DataType::Bfloat16 => ints.iter().map(|&v| bf16::from_bits(v as u16).to_f64()).collect(),
        DataType::Bool => ints.iter().map(|&v| f64::from(u8::from(v != 0))).collect(),
        DataType::Int4 | DataType::Uint4 => {
            let bytes: Vec<u8> = ints.iter().map(|&v| v as u8).collect();
            let packed =
                pb::TensorProto { raw_data: bytes, data_type: tensor.data_type, ..Default::default() };
            raw(&packed, count)?
        }
        _ => ints.iter().map(|&v| f64::from(v)).collect(),
    })
}

/// More axes than any operator needs.
const MAX_RANK: usize = 16;

/// The shape of both, as NumPy broadcasts.
///
/// # Errors
/// When they have none.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    Op::Binary(Binary::Add).output_shape(&[a, b])
}
