//! What a console draws, and what it says of its model.

use core::fmt;

use embedded_io::{Read, Write};
use pocketgan_format::Step;
use pocketgan_runtime::{Generator, Latent, Model, Role};

use super::Console;
use crate::command::Draw;
use crate::run::set_inputs;
use crate::terminal::Closed;
use crate::{Clock, Display, TextDisplay};

impl<P: Read + Write, C: Clock> Console<P, C> {
    /// Draws with a model, or says what it is.
    pub(super) fn picture(
        &mut self,
        draw: Draw,
        model: &Model<'_>,
        arena: &mut [f32],
        exact: bool,
    ) -> Result<(), Closed> {
        match draw {
            Draw::Seed(seed) => self.show([Latent::from_seed(seed)].into_iter(), model, arena, exact),
            Draw::Walk { from, to, steps } => {
                let last = (steps - 1).max(1) as f32;
                let way = (0..steps).map(|step| Latent::between(from, to, step as f32 / last));
                self.show(way, model, arena, exact)
            }
            Draw::Bench { images } => self.bench(images, model, arena, exact),
            Draw::Label(label) => self.set_label(model, label),
            Draw::Info => self.info(model),
        }
    }

    fn show(
        &mut self,
        latents: impl Iterator<Item = Latent<'static>>,
        model: &Model<'_>,
        arena: &mut [f32],
        exact: bool,
    ) -> Result<(), Closed> {
        let Some(mut generator) = self.generator(model, arena, exact)? else { return Ok(()) };
        for latent in latents {
            set_inputs(&mut generator, latent, self.label);
            let image = generator.run();
            TextDisplay::new(&mut self.terminal).show(&image).map_err(|_| Closed)?;
            if exact {
                self.say(format_args!("exact: {:08x}", image.crc32()))?;
            }
        }
        Ok(())
    }

    /// A generator; `None` where there is none, which was said.
    fn generator<'m, 'a>(
        &mut self,
        model: &Model<'m>,
        arena: &'a mut [f32],
        exact: bool,
    ) -> Result<Option<Generator<'m, 'a>>, Closed> {
        let kernels = if exact { self.exact } else { self.fast };
        match Generator::with_kernels(model, arena, kernels) {
            Ok(generator) => Ok(Some(generator)),
            Err(error) => {
                self.say(format_args!("no picture: {error}"))?;
                Ok(None)
            }
        }
    }

    fn bench(
        &mut self,
        images: u32,
        model: &Model<'_>,
        arena: &mut [f32],
        exact: bool,
    ) -> Result<(), Closed> {
        let Some(mut generator) = self.generator(model, arena, exact)? else { return Ok(()) };
        let start_us = self.clock.now_us();
        let mut us = 0;
        for seed in 0..images {
            set_inputs(&mut generator, Latent::from_seed(seed.into()), self.label);
            generator.run();
            us = self.clock.now_us() - start_us;
        }
        let (images, us) = (u64::from(images), us.max(1));
        let hundredths = images * 100_000_000 / us;
        self.say(format_args!(
            "time: {images} images in {us} us, {} us each, {}.{:02} images/s",
            us / images.max(1),
            hundredths / 100,
            hundredths % 100
        ))
    }

    fn set_label(&mut self, model: &Model<'_>, label: u32) -> Result<(), Closed> {
        if !model.inputs().any(|input| input.role == Role::Label) {
            return self.say(format_args!("the model knows no classes"));
        }
        self.label = label;
        self.say(format_args!("drawing class {label}"))
    }

    fn info(&mut self, model: &Model<'_>) -> Result<(), Closed> {
        let file = model.file();
        let ([height, width, channels], [low, high]) = (model.output_shape(), model.range());
        self.say(format_args!("picture: {height} x {width} x {channels}, from {low:.1} to {high:.1}"))?;
        for input in model.inputs() {
            let [height, width, channels] = input.shape;
            self.say(format_args!("input: {:?}, {height} x {width} x {channels}", input.role))?;
        }
        let (flash_bytes, arena_bytes) = (file.flash_bytes(), file.arena_bytes());
        self.say(format_args!("memory of the model: {flash_bytes} bytes of flash, {arena_bytes} of arena"))?;
        self.say(format_args!("sha256: {}", Hex(&file.sha256())))?;
        // A layer is some steps, one after the other.
        let mut steps = file.steps().peekable();
        while let Some(first) = steps.next() {
            let (layer, mut count, mut products, mut last) =
                (first.layer(), 1, file.step_macs(&first), first);
            while let Some(step) = steps.next_if(|step| step.layer() == layer) {
                (count, products, last) = (count + 1, products + file.step_macs(&step), step);
            }
            match last {
                Step::TapGemm(step) => {
                    let (input, output) = (step.input, step.output);
                    self.say(format_args!(
                        "layer {layer}: {} x {} x {} to {} x {} x {}, {count} steps, {products} products",
                        input.height,
                        input.width,
                        input.channels,
                        output.height,
                        output.width,
                        output.channels
                    ))?;
                }
                Step::Nest(step) => {
                    let function = step.function;
                    self.say(format_args!(
                        "layer {layer}: {function:?}, {count} steps, {products} products"
                    ))?;
                }
            }
        }
        Ok(())
    }
}

/// Bytes as digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
