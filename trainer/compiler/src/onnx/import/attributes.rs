//! The attributes of a node, each read with the type that the operator gives it.

use anyhow::{Context, Result, bail, ensure};

use crate::onnx::pb;
use crate::onnx::pb::attribute_proto::AttributeType;

/// Attributes by name; those that refer to a function's parameters are already replaced.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes<'a>(Vec<(&'a str, &'a pb::AttributeProto)>);

impl<'a> Attributes<'a> {
    /// The attributes of a node inside a function that was called with `outer`.
    pub(super) fn resolve(own: &'a [pb::AttributeProto], outer: Option<&Attributes<'a>>) -> Self {
        let resolve = |attribute: &'a pb::AttributeProto| {
            let given = match &*attribute.ref_attr_name {
                "" => attribute,
                name => outer?.find(name)?,
            };
            Some((&*attribute.name, given))
        };
        Self(own.iter().filter_map(resolve).collect())
    }

    pub(super) fn find(&self, name: &str) -> Option<&'a pb::AttributeProto> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, attribute)| *attribute)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    pub(super) fn int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.typed(name, AttributeType::Int)?.map(|attribute| attribute.i))
    }

    pub(super) fn int_or(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.int(name)?.unwrap_or(default))
    }

    /// An attribute that is 0 or 1.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int_or(name, i64::from(default))? != 0)
    }

    pub(super) fn float(&self, name: &str) -> Result<Option<f32>> {
        Ok(self.typed(name, AttributeType::Float)?.map(|attribute| attribute.f))
    }

    pub(super) fn float_or(&self, name: &str, default: f32) -> Result<f64> {
        Ok(f64::from(self.float(name)?.unwrap_or(default)))
    }

    pub(super) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>> {
        Ok(self.typed(name, AttributeType::Ints)?.map(|attribute| &attribute.ints[..]))
    }

    pub(super) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>> {
        Ok(self.typed(name, AttributeType::Floats)?.map(|attribute| &attribute.floats[..]))
    }

    pub(super) fn string_or(&self, name: &str, default: &'a str) -> Result<&'a str> {
        let Some(attribute) = self.typed(name, AttributeType::String)? else { return Ok(default) };
        str::from_utf8(&attribute.s).with_context(|| format!("attribute {name} is not UTF-8"))
    }

    pub(super) fn tensor(&self, name: &str) -> Result<Option<&'a pb::TensorProto>> {
        let Some(attribute) = self.typed(name, AttributeType::Tensor)? else { return Ok(None) };
        Ok(Some(attribute.t.as_ref().with_context(|| format!("attribute {name} holds no tensor"))?))
    }

    pub(super) fn graph(&self, name: &str) -> Result<&'a pb::GraphProto> {
        let attribute = self.typed(name, AttributeType::Graph)?;
        attribute
            .and_then(|attribute| attribute.g.as_ref())
            .with_context(|| format!("there is no graph {name}"))
    }

    /// Numbers of one geometry, e.g. `strides`: one for each of `rank` axes, from 1 to [`LARGEST`].
    pub(super) fn extents(&self, name: &str, rank: usize, default: usize) -> Result<Vec<usize>> {
        let Some(values) = self.ints(name)? else { return Ok(vec![default; rank]) };
        ensure!(values.len() == rank, "{name} {values:?} for {rank} axes");
        values
            .iter()
            .map(|&value| match usize::try_from(value) {
                Ok(extent @ 1..=LARGEST) => Ok(extent),
                _ => bail!("{name} {values:?} is not between 1 and {LARGEST}"),
            })
            .collect()
    }

    /// For people: `name=value`, what is long cut short.
    pub(super) fn describe(&self) -> Vec<String> {
        self.0.iter().map(|(name, attribute)| describe(name, attribute)).collect()
    }

    fn typed(&self, name: &str, kind: AttributeType) -> Result<Option<&'a pb::AttributeProto>> {
        let Some(attribute) = self.find(name) else { return Ok(None) };
        // The oldest files leave the type out.
        let fits = attribute.r#type == kind as i32 || attribute.r#type == AttributeType::Undefined as i32;
        ensure!(fits, "attribute {name} is not of type {}", kind.as_str_name());
        Ok(Some(attribute))
    }
}

fn describe(name: &str, attribute: &pb::AttributeProto) -> String {
    match AttributeType::try_from(attribute.r#type) {
        Ok(AttributeType::Float) => format!("{name}={}", attribute.f),
        Ok(AttributeType::Int) => format!("{name}={}", attribute.i),
        Ok(AttributeType::String) => {
            let text = String::from_utf8_lossy(&attribute.s);
            format!("{name}={:?}", text.chars().take(SHOWN).collect::<String>())
        }
        Ok(AttributeType::Ints) => format!("{name}={:?}", &attribute.ints[..attribute.ints.len().min(SHOWN)]),
        Ok(AttributeType::Floats) => {
            format!("{name}={:?}", &attribute.floats[..attribute.floats.len().min(SHOWN)])
        }
        Ok(kind) => format!("{name}=<{}>", kind.as_str_name().to_lowercase()),
        Err(_) => format!("{name}=?"),
    }
}

/// Far beyond any layer, and far from overflow.
pub(super) const LARGEST: usize = 1 << 20;

/// Elements of an attribute that an error shows.
const SHOWN: usize = 16;
