//! What a console does with one learner, until something else is stored.

use core::fmt;

use embedded_io::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use pocketgan_finetune::{Arena, ByteImages, Learner};
use pocketgan_format::crc32;
use pocketgan_runtime::{Delta, DeltaError, Model};

use super::End;
use super::learning::{Lessons, Mode, Next, with_delta};
use crate::command::{Command, Draw, Learn};
use crate::frame::Receiver;
use crate::terminal::Closed;
use crate::{Clock, RECEIVED};

/// One learner, on what was stored when it began.
pub(super) struct Session<'s, 'd, 'm, 'w, P, C, F> {
    pub(super) lessons: &'s mut Lessons<'d, P, C, F>,
    pub(super) base: Model<'m>,
    pub(super) learner: Learner<'m, 'w, Arena<'w>>,
    pub(super) mode: Mode,
    pub(super) received: &'w mut [u8],
    pub(super) frame: &'w mut [u8],
    pub(super) fresh: &'w mut [u8],
}

impl<P: Read + Write, C: Clock, F: NorFlash> Session<'_, '_, '_, '_, P, C, F> {
    /// Does what it is told; says so where the session ends by that.
    pub(super) fn obey(&mut self, command: Command) -> Result<Option<Next>, Closed> {
        match command {
            Command::Draw(draw) => self.draw(draw)?,
            Command::Learn(learn) => return self.follow(learn),
            Command::Help => self.lessons.console.help(true)?,
            Command::Exact => return Ok(Some(Next::Switch(Mode { exact: true, ..self.mode }))),
            Command::Fast => return Ok(Some(Next::Switch(Mode { exact: false, ..self.mode }))),
            Command::Memory => self.lessons.console.memory()?,
            Command::Reset => return Ok(Some(Next::End(End::Reset))),
            Command::Exit => return Ok(Some(Next::End(End::Exit))),
        }
        Ok(None)
    }

    fn follow(&mut self, learn: Learn) -> Result<Option<Next>, Closed> {
        let stays = self.learner.steps() == 0;
        match learn {
            Learn::Steps(steps) => self.learn(steps)?,
            Learn::Loss => self.loss()?,
            Learn::Save if stays => self.lessons.console.say(format_args!("nothing was learned since"))?,
            Learn::Save => return self.save(),
            // What was learned goes with its learner.
            Learn::Revert if !stays => return Ok(Some(Next::Again)),
            Learn::Revert => {
                let result = self.lessons.store.revert().map(drop);
                return self.stored_anew(result);
            }
            Learn::Factory => {
                let result = self.lessons.store.factory();
                return self.stored_anew(result);
            }
            Learn::Examples => {
                let (count, whence) =
                    (self.count(), if self.lessons.received > 0 { "received" } else { "built in" });
                self.lessons.console.say(format_args!("{count} examples, {whence}"))?;
            }
            Learn::Receive { count } => self.receive(count)?,
            Learn::Open => self.open()?,
            Learn::Plan(plan) => return Ok(Some(Next::Switch(Mode { plan, ..self.mode }))),
        }
        Ok(None)
    }

    /// Draws with what was learned so far, as it would be saved.
    fn draw(&mut self, draw: Draw) -> Result<(), Closed> {
        let count = self.lessons.example_count(&self.base);
        let console = &mut self.lessons.console;
        let model = match learned(&self.learner, &self.base, self.fresh, count) {
            Ok(model) => model,
            Err(error) => return console.say(format_args!("no picture: {error}")),
        };
        console.picture(draw, &model, self.learner.engine_mut().work(), self.mode.exact)
    }

    fn learn(&mut self, steps: u32) -> Result<(), Closed> {
        let (image_len, range) = (self.learner.task().image_len(), self.base.range());
        let bytes = match self.lessons.received {
            0 => self.lessons.examples,
            count => &self.received[..count * image_len],
        };
        let examples = ByteImages::new(bytes, image_len, range);
        let every = (steps / LINES).max(1);
        for step in 1..=steps {
            match self.learner.step(&examples) {
                Ok(losses) if step % every == 0 || step == steps => {
                    let done = self.learner.steps();
                    self.lessons.console.say(format_args!(
                        "step {done}: loss D {:.4} G {:.4}, scores {:.3} {:.3}",
                        losses.discriminator, losses.generator, losses.real, losses.fake
                    ))?;
                }
                Ok(_) => {}
                Err(error) => {
                    return self.lessons.console.say(format_args!("forgotten since the last save: {error}"));
                }
            }
        }
        Ok(())
    }

    fn loss(&mut self) -> Result<(), Closed> {
        let console = &mut self.lessons.console;
        if self.learner.steps() == 0 {
            return console.say(format_args!("nothing was learned since"));
        }
        for (when, losses) in ["first", "last"].into_iter().zip(self.learner.losses()) {
            console.say(format_args!(
                "{when} step: loss D {:.4} G {:.4}",
                losses.discriminator, losses.generator
            ))?;
        }
        if self.mode.exact {
            let crc = crc32(self.learner.learned().iter().map(|value| value.to_le_bytes()));
            console.say(format_args!("learned: {crc:08x}"))?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<Option<Next>, Closed> {
        let count = self.lessons.example_count(&self.base);
        match learned(&self.learner, &self.base, self.fresh, count) {
            Ok(model) => {
                let bytes = model.delta().map_or(&[][..], Delta::bytes);
                let result = self.lessons.store.save(bytes);
                if result.is_ok() {
                    self.lessons.console.say(format_args!("saved"))?;
                }
                self.stored_anew(result)
            }
            Err(error) => {
                self.lessons.console.say(format_args!("not saved: {error}"))?;
                Ok(None)
            }
        }
    }

    /// After the store has changed, or failed to.
    fn stored_anew<E: fmt::Display>(&mut self, result: Result<(), E>) -> Result<Option<Next>, Closed> {
        match result {
            Ok(()) => Ok(Some(Next::Again)),
            Err(error) => {
                self.lessons.console.say(format_args!("the store failed: {error}"))?;
                Ok(None)
            }
        }
    }

    /// Takes so many pictures as frames, numbered from 0, in any order; an empty frame ends early. None goes back to those
    /// that are built in.
    fn receive(&mut self, count: usize) -> Result<(), Closed> {
        let image_len = self.learner.task().image_len();
        let console = &mut self.lessons.console;
        self.lessons.received = 0;
        console.say(format_args!("waiting for {count} frames of {image_len} bytes"))?;
        let mut arrived = [false; RECEIVED];
        let mut receiver = Receiver::new(self.frame);
        while arrived[..count].contains(&false) {
            let frame = match receiver.push(console.terminal.byte()?) {
                None => continue,
                Some(Err(damaged)) => {
                    console.say(format_args!("{damaged}"))?;
                    continue;
                }
                Some(Ok(frame)) => frame,
            };
            let (number, len) = (usize::from(frame.number), frame.payload.len());
            if len == 0 {
                break;
            }
            if number >= count || len != image_len {
                console.say(format_args!("frame {number} of {len} bytes is none of these"))?;
                continue;
            }
            self.received[number * image_len..][..image_len].copy_from_slice(frame.payload);
            arrived[number] = true;
            console.say(format_args!("got {number}"))?;
        }
        let mut kept = 0;
        for number in (0..count).filter(|&number| arrived[number]) {
            self.received.copy_within(number * image_len..(number + 1) * image_len, kept * image_len);
            kept += 1;
        }
        self.lessons.received = kept;
        console.say(format_args!("{kept} of {count} arrived"))
    }

    /// Takes the pictures of the file, as many as there is room for. Without one those in use stay.
    fn open(&mut self) -> Result<(), Closed> {
        let image_len = self.learner.task().image_len();
        let count =
            (self.lessons.file)(self.received).map_or(0, |len| len.min(self.received.len()) / image_len);
        if count == 0 {
            return self
                .lessons
                .console
                .say(format_args!("there is no file with a picture of {image_len} bytes"));
        }
        self.lessons.received = count;
        self.lessons.console.say(format_args!("{count} read"))
    }

    fn count(&self) -> usize {
        self.lessons.example_count(&self.base) as usize
    }
}

/// The model with what was learned from so many examples; `base` where that is nothing.
fn learned<'b>(
    learner: &Learner<'_, '_, Arena<'_>>,
    base: &Model<'b>,
    buffer: &'b mut [u8],
    examples: u32,
) -> Result<Model<'b>, DeltaError> {
    if learner.steps() == 0 {
        return Ok(*base);
    }
    let len = learner.write_delta(examples, buffer)?;
    with_delta(base, Delta::parse(&buffer[..len])?)
}

/// Lines of progress while it learns.
const LINES: u32 = 8;
