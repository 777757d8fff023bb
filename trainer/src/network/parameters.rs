//! The numbers of a module under their paths, outside of any tensor library.

use anyhow::{Result, bail, ensure};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

use super::replaced;

/// A tensor under its path in the module, e.g. `convs.0.weight`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Path in the module.
    pub name: String,
    /// Extent of each dimension.
    pub shape: Vec<usize>,
    /// `shape.iter().product()` values, row-major.
    pub data: Vec<f32>,
}

/// All float tensors of a module, running statistics included, in the module's own order.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Parameters(pub Vec<NamedTensor>);

impl Parameters {
    /// Copies the numbers out of `module`.
    pub fn read<M: Module>(module: &M) -> Self {
        let mut reader = Reader { path: ModulePath::default(), tensors: vec![] };
        // `valid` also merges pending updates of running statistics.
        module.valid().visit(&mut reader);
        Self(reader.tensors)
    }

    /// `module` with these numbers.
    ///
    /// # Errors
    /// When a tensor is missing, left over, or of another shape.
    pub fn write<M: Module>(&self, module: M) -> Result<M> {
        let mut writer = Writer { path: ModulePath::default(), tensors: self.0.iter(), error: None };
        let module = module.map(&mut writer);
        if let Some(error) = writer.error {
            bail!(error);
        }
        let left = writer.tensors.next();
        ensure!(left.is_none(), "tensor {} has no place", left.map_or("", |t| &t.name));
        Ok(module)
    }
}

/// The values of a tensor.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().expect("the CPU device computes in f32")
}

/// Where a visit of a module is.
#[derive(Default)]
pub(super) struct ModulePath(Vec<String>);

impl ModulePath {
    pub(super) fn enter(&mut self, name: &str, container_type: &str) {
        if !Self::is_kind(container_type) {
            self.0.push(name.to_owned());
        }
    }

    pub(super) fn exit(&mut self, container_type: &str) {
        if !Self::is_kind(container_type) {
            self.0.pop();
        }
    }

    /// The field that is visited.
    pub(super) fn field(&self) -> Option<&str> {
        self.0.last().map(String::as_str)
    }

    /// Kinds of layers are no part of a path.
    fn is_kind(container_type: &str) -> bool {
        container_type.starts_with("Enum:")
    }
}

struct Reader {
    path: ModulePath,
    tensors: Vec<NamedTensor>,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        self.tensors.push(NamedTensor {
            name: self.path.0.join("."),
            shape: tensor.dims().to_vec(),
            data: values(tensor),
        });
    }
}

struct Writer<'a> {
    path: ModulePath,
    tensors: core::slice::Iter<'a, NamedTensor>,
    error: Option<String>,
}

impl ModuleMapper for Writer<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.0.join(".");
        let shape = param.dims();
        match self.tensors.next() {
            Some(t) if t.name == name && t.shape == shape => param.map(|old| replaced(&old, t.data.clone())),
            Some(t) => {
                let found = format!("found {} {:?} in place of {name} {shape:?}", t.name, t.shape);
                self.error.get_or_insert(found);
                param
            }
            None => {
                self.error.get_or_insert(format!("{name} {shape:?} is missing"));
                param
            }
        }
    }
}
