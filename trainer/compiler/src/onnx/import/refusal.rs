//! What a model needs and a graph cannot say, for people.

use core::error::Error;
use core::fmt;

/// Every node of a model that cannot be imported.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// The nodes, in order.
    pub nodes: Vec<RefusedNode>,
    /// Inputs that some of them could do with if their values were fixed.
    pub inputs: Vec<String>,
}

/// A node that cannot be imported.
#[derive(Clone, Debug)]
pub struct RefusedNode {
    /// Its name, or that of its first output.
    pub name: String,
    /// The operator.
    pub op_type: String,
    /// The operator's domain.
    pub domain: String,
    /// Version of the domain's operator set.
    pub opset: i64,
    /// `name=value` of each attribute.
    pub attributes: Vec<String>,
    /// Why, and what to do about it.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nodes[..] {
            [_] => write!(f, "one node cannot be imported:")?,
            nodes => write!(f, "{} nodes cannot be imported:", nodes.len())?,
        }
        for node in self.nodes.iter().take(SHOWN) {
            write!(f, "\n  {node}")?;
        }
        if self.nodes.len() > SHOWN {
            write!(f, "\n  and {} more", self.nodes.len() - SHOWN)?;
        }
        if !self.inputs.is_empty() {
            let names = self.inputs.join(", ");
            write!(f, "\nsome of them would do with fixed values of {names}: --fix {}=...", self.inputs[0])?;
        }
        Ok(())
    }
}

impl fmt::Display for RefusedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {} {}", self.name, self.op_type, self.domain, self.opset)?;
        if !self.attributes.is_empty() {
            write!(f, "; {}", self.attributes.join(", "))?;
        }
        write!(f, "): {}", self.reason)
    }
}

impl Error for Refusal {}

/// Why an operator is not supported, and what to do.
pub(super) fn advice(domain: &str, op_type: &str) -> String {
    let reason = match (domain, op_type) {
        ("", "RNN" | "LSTM" | "GRU") => "recurrent layers are not supported",
        ("", "Loop" | "Scan" | "SequenceMap") => {
            "loops are not supported; export the model with its loops unrolled (torch.jit.trace does), or simplify the \
             file with onnxsim"
        }
        ("", "ConcatFromSequence" | "ReverseSequence") => {
            "sequences are not supported; simplify the file with onnxsim"
        }
        ("", name) if name.contains("Sequence") => {
            "sequences are not supported; simplify the file with onnxsim"
        }
        ("", name) if name.starts_with("Optional") => "optional values are not supported",
        ("", "Bernoulli" | "Multinomial") => {
            "random numbers inside the model are not supported; make the noise an input"
        }
        ("", name) if name.starts_with("Random") => {
            "random numbers inside the model are not supported; make the noise an input, or export with fixed noise"
        }
        ("", "StringNormalizer" | "TfIdfVectorizer" | "RegexFullMatch") => "strings are not supported",
        ("", name) if name.starts_with("String") => "strings are not supported",
        ("", "NonMaxSuppression" | "Unique" | "RoiAlign" | "MaxRoiPool" | "NonZero") => {
            "the shape of its result depends on the data, or it is made for detection; it is not supported"
        }
        ("", "GridSample" | "DeformConv" | "AffineGrid") => "sampling at computed places is not supported",
        ("", "DFT" | "STFT" | "MelWeightMatrix") => "Fourier transforms are not supported",
        ("", "ImageDecoder") => "compressed pictures are not decoded",
        ("", "NegativeLogLikelihoodLoss" | "SoftmaxCrossEntropyLoss") => {
            "losses are for training; export the generator alone, in evaluation mode"
        }
        ("", name)
            if name.contains("Integer") || name.starts_with("QLinear") || name == "DynamicQuantizeLinear" =>
        {
            "integer arithmetic is not supported; export the model before it is quantized"
        }
        ("", name) if name.starts_with("Bitwise") || name == "BitCast" => {
            "operations on bits are not supported"
        }
        ("", _) => {
            "this operator is not supported; export with an older opset_version, or simplify the file with onnxsim"
        }
        ("ai.onnx.ml", _) => "classical machine learning is not supported",
        ("ai.onnx.preview.training", _) => "training is not supported; export the generator alone",
        ("com.microsoft", _) => {
            "operators of onnxruntime are not supported; export the model before onnxruntime optimizes it"
        }
        _ => "operators of this domain are not supported, and the file does not define it as a function",
    };
    reason.to_owned()
}

/// Nodes that an error shows.
const SHOWN: usize = 50;
