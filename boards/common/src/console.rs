//! A board that one talks to over a serial line: it draws what it is told, and, where it has a store, learns.

mod learning;
mod picture;
mod session;

pub use self::learning::Learning;

use core::fmt;

use embedded_io::{Read, Write};
use pocketgan_runtime::{Kernels, Model};

use crate::command::{Command, HELP, HELP_LEARNING};
use crate::run::run;
use crate::terminal::{Closed, Terminal};
use crate::{Clock, TextDisplay};

/// What a board gives for a conversation.
pub struct Device<'a, P, C> {
    /// A `.pgan` file.
    pub model: &'a [u8],
    /// Where commands come from and answers go.
    pub port: P,
    /// What times are taken with.
    pub clock: C,
    /// At least [`Model::arena_len`]; to learn, [`Plan::arena_len`](crate::Plan::arena_len) at an address that is a
    /// multiple of 16.
    pub arena: &'a mut [f32],
    /// The fastest kernels that the board has, see [`dispatch::best`](pocketgan_runtime::dispatch::best).
    pub fast: Kernels,
    /// Those that give the same bits as every other board's, see
    /// [`dispatch::exact`](pocketgan_runtime::dispatch::exact).
    pub exact: Kernels,
    /// RAM that is in use, if that can be said.
    pub usage: fn() -> Option<Usage>,
}

/// RAM in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of statics, the arena among them.
    pub static_bytes: usize,
    /// Most bytes of stack so far.
    pub stack_bytes: usize,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { static_bytes, stack_bytes } = self;
        let all = static_bytes + stack_bytes;
        write!(f, "memory: {all} bytes: {static_bytes} of statics, {stack_bytes} of stack at most")
    }
}

/// How a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By `exit`, or because the line was closed.
    Exit,
    /// By `reset`.
    Reset,
    /// The model cannot be used; the reason was said.
    Failed,
}

impl<P: Read + Write, C: Clock> Device<'_, P, C> {
    /// Draws the pictures of [`SEEDS`](crate::SEEDS), says what that took, and draws what it is told until told to end.
    pub fn draw(self) -> End {
        let Self { model, port, clock, arena, fast, exact, usage } = self;
        let mut console = Console { terminal: Terminal::new(port), clock, fast, exact, usage, label: 0 };
        console.draw(model, arena).unwrap_or(End::Exit)
    }
}

/// What a conversation needs whether or not the board learns.
struct Console<P, C> {
    terminal: Terminal<P>,
    clock: C,
    fast: Kernels,
    exact: Kernels,
    usage: fn() -> Option<Usage>,
    /// The class that is drawn, by a model that knows classes.
    label: u32,
}

impl<P: Read + Write, C: Clock> Console<P, C> {
    fn draw(&mut self, file: &[u8], arena: &mut [f32]) -> Result<End, Closed> {
        let Some(model) = self.load(file)? else { return Ok(End::Failed) };
        let mut display = TextDisplay::with_limit(&mut self.terminal, THUMBNAILS);
        match run(file, &mut self.clock, &mut display, arena, self.fast, self.exact) {
            Ok(report) => self.say(format_args!("{report}"))?,
            Err(error) => {
                self.say(format_args!("error: {error}"))?;
                return Ok(End::Failed);
            }
        }
        self.memory()?;
        let mut exact = false;
        self.say(format_args!("drawing as the file says; `help` lists what else"))?;
        loop {
            match self.command()? {
                Command::Draw(draw) => self.picture(draw, &model, arena, exact)?,
                Command::Learn(_) => self.say(format_args!("this board only draws"))?,
                Command::Help => self.help(false)?,
                Command::Exact => exact = true,
                Command::Fast => exact = false,
                Command::Memory => self.memory()?,
                Command::Reset => return Ok(End::Reset),
                Command::Exit => return Ok(End::Exit),
            }
        }
    }

    /// The model; `None` where it cannot be used, which was said.
    fn load<'m>(&mut self, file: &'m [u8]) -> Result<Option<Model<'m>>, Closed> {
        match Model::load(file) {
            Ok(model) => Ok(Some(model)),
            Err(error) => {
                self.say(format_args!("error: loading the model: {error}"))?;
                Ok(None)
            }
        }
    }

    /// The next command; lines that are none are answered.
    fn command(&mut self) -> Result<Command, Closed> {
        loop {
            let line = self.terminal.line()?;
            self.say(format_args!("> {}", line.text()))?;
            match Command::parse(line.text()) {
                Ok(Some(command)) => return Ok(command),
                Ok(None) => {}
                Err(mistake) => self.say(format_args!("{mistake}"))?,
            }
        }
    }

    fn help(&mut self, learns: bool) -> Result<(), Closed> {
        self.say(format_args!("{}", HELP.trim_end()))?;
        if learns { self.say(format_args!("{}", HELP_LEARNING.trim_end())) } else { Ok(()) }
    }

    fn memory(&mut self) -> Result<(), Closed> {
        match (self.usage)() {
            Some(usage) => self.say(format_args!("{usage}")),
            None => self.say(format_args!("memory: nobody measures it here")),
        }
    }

    fn say(&mut self, text: fmt::Arguments<'_>) -> Result<(), Closed> {
        self.terminal.say(text)
    }
}

/// Of the pictures of a run, as text.
const THUMBNAILS: u64 = 3;
