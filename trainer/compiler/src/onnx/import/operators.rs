//! Which function lowers which operator.

use anyhow::Result;

use super::call::{Call, Lower};
use super::operand::Kind;
use super::{
    activation, attention, cast, constants, convolution, elementwise, indexing, matmul, normalization,
    padding, pooling, reduce, resize, scatter, shape_ops, transposed,
};

/// The function that lowers an operator, if it is supported.
pub(super) fn find(domain: &str, op_type: &str) -> Option<Lower> {
    if !domain.is_empty() {
        return None;
    }
    Some(match op_type {
        "Add" | "Sub" | "Mul" | "Div" => elementwise::arithmetic,
        "Pow" => elementwise::pow,
        "Mod" => elementwise::modulo,
        "Max" | "Min" | "Sum" | "Mean" => elementwise::variadic,
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" => elementwise::comparison,
        "And" | "Or" | "Xor" => elementwise::logic,
        "Not" => elementwise::not,
        "IsNaN" | "IsInf" => elementwise::is_special,
        "Where" => elementwise::select,
        "BitShift" => elementwise::bit_shift,
        "BitwiseNot" => elementwise::bitwise_not,
        "Clip" => elementwise::clip,
        "PRelu" => elementwise::prelu,

        "Relu" | "LeakyRelu" | "Tanh" | "Sigmoid" | "Abs" | "Exp" | "Log" | "Sqrt" | "Floor" | "Ceil"
        | "Round" | "Sign" | "Sin" | "Cos" | "Tan" | "Asin" | "Acos" | "Atan" | "Sinh" | "Cosh" | "Asinh"
        | "Acosh" | "Atanh" | "Erf" => activation::simple,
        "Neg" | "Reciprocal" => activation::inverse,
        "Elu" | "Celu" | "Selu" | "Softplus" | "Softsign" | "HardSigmoid" | "HardSwish" | "Mish"
        | "Swish" | "Gelu" | "ThresholdedRelu" | "Shrink" => activation::composed,

        "Identity" => shape_ops::identity,
        "Dropout" => shape_ops::dropout,
        "Reshape" => shape_ops::reshape,
        "Flatten" => shape_ops::flatten,
        "Squeeze" => shape_ops::squeeze,
        "Unsqueeze" => shape_ops::unsqueeze,
        "Transpose" => shape_ops::transpose,
        "Concat" => shape_ops::concat,
        "Split" => shape_ops::split,
        "Expand" => shape_ops::expand,
        "Tile" => shape_ops::tile,
        "DepthToSpace" | "SpaceToDepth" => shape_ops::depth_space,

        "Slice" => indexing::slices,
        "Gather" => indexing::gather,
        "GatherElements" => indexing::gather_elements,
        "GatherND" => indexing::gather_nd,
        "OneHot" => indexing::one_hot,
        "Compress" => indexing::compress,
        "ReverseSequence" => indexing::reverse_sequence,
        "Trilu" => indexing::trilu,
        "Scatter" | "ScatterElements" => scatter::scatter_elements,
        "ScatterND" => scatter::scatter_nd,

        "Constant" => constants::constant,
        "ConstantOfShape" => constants::constant_of_shape,
        "Shape" => constants::shape,
        "Size" => constants::size,
        "Range" => constants::range,
        "EyeLike" => constants::eye_like,
        "NonZero" => constants::non_zero,
        "HannWindow" | "HammingWindow" | "BlackmanWindow" => constants::signal_window,

        "Cast" => cast::cast,
        "CastLike" => cast::cast_like,
        "QuantizeLinear" | "DequantizeLinear" => cast::quantize,

        "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" | "ReduceProd" | "ReduceL1" | "ReduceL2"
        | "ReduceSumSquare" | "ReduceLogSum" | "ReduceLogSumExp" => reduce::reduce,
        "Softmax" | "LogSoftmax" | "Hardmax" => reduce::softmax,
        "ArgMax" | "ArgMin" => reduce::arg,
        "TopK" => reduce::top_k,
        "CumProd" => reduce::cum_prod,
        "CumSum" => reduce::cum_sum,
        "LpNormalization" => reduce::lp_normalization,

        "MatMul" => matmul::matmul,
        "Gemm" => matmul::gemm,
        "Einsum" => matmul::einsum,
        "Attention" => attention::attention,

        "Conv" => convolution::conv,
        "ConvTranspose" => transposed::conv_transpose,
        "MaxPool" | "AveragePool" | "LpPool" => pooling::pool,
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => pooling::global,
        "Pad" => padding::pad,
        "CenterCropPad" => padding::center_crop_pad,
        "Resize" | "Upsample" => resize::resize,

        "BatchNormalization" => normalization::batch,
        "InstanceNormalization" => normalization::instance,
        "GroupNormalization" => normalization::group,
        "LayerNormalization" => normalization::layer,
        "RMSNormalization" => normalization::root_mean_square,
        "MeanVarianceNormalization" => normalization::mean_variance,
        "LRN" => normalization::local_response,
        _ => return None,
    })
}

/// The kind of the first result of an operator on each element.
pub(super) fn kind_of_result(call: &Call<'_>) -> Result<Kind> {
    Ok(match &*call.node.op_type {
        "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual" | "And" | "Or" | "Xor" | "Not"
        | "IsNaN" | "IsInf" => Kind::Bool,
        "Cast" => match call.attributes.int("to")? {
            Some(to) => Kind::of(i32::try_from(to).unwrap_or_default())?,
            None => Kind::Float,
        },
        "CastLike" | "Where" => call.input(1)?.kind,
        _ => call.input(0)?.kind,
    })
}
