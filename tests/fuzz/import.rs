//! Any bytes at all as an ONNX file: an error, or a network that becomes a file. Never a panic, and never more time or
//! memory than the small file deserves.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pocketgan_compiler::export::{Options, export};
use pocketgan_compiler::graph::Graph;
use pocketgan_compiler::onnx::{ImportOptions, import};

fuzz_target!(|input: &[u8]| {
    let Ok(imported) = import(input, &ImportOptions::default()) else { return };
    if elements(&imported.graph) <= MAX_ELEMENTS {
        // An output that is no picture, an operation that has no step: errors, all of them.
        let _ = export(&imported.graph, &Options::default());
    }
});

/// Elements of all that the graph reads, computes and holds.
fn elements(graph: &Graph) -> usize {
    let read = graph.inputs().iter().map(|input| &*input.shape);
    let computed = graph.nodes().map(|(value, _)| graph.shape(value));
    let extents = read.chain(computed).map(|shape| shape.iter().product::<usize>());
    extents.fold(graph.parameters(), usize::saturating_add)
}

/// Work that keeps a run in milliseconds: every element is at most the sum of as many products.
const MAX_ELEMENTS: usize = 1 << 12;
