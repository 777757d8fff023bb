//! What commands put into a model: latent vectors from seeds, pictures from files, class numbers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use image::imageops::FilterType;
use pocketgan_format::Role;
use pocketgan_runtime::{Generator, Image, Model, latent};

/// Options of commands that run any model.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct InputArgs {
    /// Picture for a model that reads one, resized to fit; repeated, each is drawn in turn
    #[arg(long, value_name = "PICTURE")]
    input: Vec<PathBuf>,
    /// Class for a model that reads one; without it, image i has class i modulo the number of columns
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..1 << 24))]
    label: Option<u32>,
}

/// The inputs of one model, ready to be set.
pub struct Inputs {
    roles: Vec<Role>,
    /// Values of each picture, channels last.
    pictures: Vec<Vec<f32>>,
    label: Option<u32>,
}

impl InputArgs {
    /// Reads what the model asks for.
    ///
    /// # Errors
    /// When a picture is missing or cannot be read, or an option means nothing to the model.
    pub(crate) fn prepare(&self, model: &Model<'_>) -> Result<Inputs> {
        let roles: Vec<Role> = model.inputs().map(|input| input.role).collect();
        let of_role = |role: Role| model.inputs().filter(move |input| input.role == role);
        let pictures = match (of_role(Role::Image).next(), &self.input[..]) {
            (None, []) => vec![],
            (None, _) => bail!("--input names a picture, but the model reads none"),
            (Some(input), []) => {
                let [height, width, channels] = input.shape;
                bail!("the model reads a picture of {width}x{height}x{channels}: name one with --input");
            }
            (Some(input), paths) => {
                paths.iter().map(|path| read(path, input.shape, model.range())).collect::<Result<_>>()?
            }
        };
        let same_shape =
            of_role(Role::Image).all(|i| Some(i.shape) == of_role(Role::Image).next().map(|i| i.shape));
        ensure!(same_shape, "the model reads pictures of several sizes, which cannot be named here");
        ensure!(
            self.label.is_none() || of_role(Role::Label).next().is_some(),
            "--label names a class, but the model reads none"
        );
        for input in of_role(Role::Values) {
            eprintln!("input {:?} is neither latent vector, picture nor class: its values are 0", input.name);
        }
        Ok(Inputs { roles, pictures, label: self.label })
    }
}

impl Inputs {
    /// Of a model that reads latent vectors and classes only.
    ///
    /// # Errors
    /// When it reads something else, or no latent vector.
    pub fn of_generator(model: &Model<'_>) -> Result<Self> {
        let roles: Vec<Role> = model.inputs().map(|input| input.role).collect();
        ensure!(
            roles.contains(&Role::Latent) && !roles.contains(&Role::Image) && !roles.contains(&Role::Values),
            "the model reads something else than latent vectors and classes"
        );
        Ok(Self { roles, pictures: vec![], label: None })
    }

    /// Number of pictures to draw from; 0 for a model that reads none.
    pub(crate) fn picture_count(&self) -> usize {
        self.pictures.len()
    }

    /// Whether the seed decides anything.
    pub(crate) fn has_latent(&self) -> bool {
        self.roles.contains(&Role::Latent)
    }

    /// Draws image `index`, whose latent vector has this seed, and whose class is `class` unless one was named.
    pub fn draw<'g>(
        &self,
        generator: &'g mut Generator<'_, '_>,
        seed: u64,
        index: usize,
        class: usize,
    ) -> Image<'g> {
        for (i, role) in self.roles.iter().enumerate() {
            let values = generator.input(i);
            match role {
                Role::Latent => latent::fill_normal(seed, values),
                Role::Image => values.copy_from_slice(&self.pictures[index % self.pictures.len()]),
                Role::Label => values.fill(self.label.map_or(class as f32, |label| label as f32)),
                Role::Values => values.fill(0.0),
            }
        }
        generator.run()
    }
}

/// A picture file as values in `range`, channels last.
fn read(path: &Path, [height, width, channels]: [usize; 3], [low, high]: [f32; 2]) -> Result<Vec<f32>> {
    let picture = image::open(path).with_context(|| format!("reading {}", path.display()))?;
    let picture = picture.resize_exact(u32::try_from(width)?, u32::try_from(height)?, FilterType::Triangle);
    let bytes = match channels {
        1 => picture.into_luma8().into_raw(),
        3 => picture.into_rgb8().into_raw(),
        _ => bail!("the model reads a picture of {channels} channels, {} has other ones", path.display()),
    };
    Ok(bytes.into_iter().map(|byte| low + (high - low) * f32::from(byte) / 255.0).collect())
}
