//! What can be said to a console, one command a line.

use core::fmt;
use core::str::SplitAsciiWhitespace;

use crate::Plan;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Draw(Draw),
    Learn(Learn),
    Help,
    Exact,
    Fast,
    Memory,
    Reset,
    Exit,
}

/// What every board can do with its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Seed(u64),
    Walk { from: u64, to: u64, steps: u32 },
    Label(u32),
    Info,
    Bench { images: u32 },
}

/// What a board can do that learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learn {
    Steps(u32),
    Loss,
    Save,
    Revert,
    Factory,
    Examples,
    Receive { count: usize },
    Open,
    Plan(Plan),
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    Unknown,
    /// A number is missing or out of range.
    Number {
        least: u64,
        most: u64,
    },
    /// Neither of the plans.
    Plan,
    /// There is more than the command takes.
    More,
}

impl Command {
    /// The command that a line is; `None` for an empty one.
    pub(crate) fn parse(line: &str) -> Result<Option<Self>, Mistake> {
        let mut words = Words(line.split_ascii_whitespace());
        let Some(name) = words.next() else { return Ok(None) };
        let command = match name {
            "seed" => Self::Draw(Draw::Seed(words.number(0, u64::MAX)?)),
            "walk" => {
                let [from, to] = [words.number(0, u64::MAX)?, words.number(0, u64::MAX)?];
                Self::Draw(Draw::Walk { from, to, steps: words.number(2, MOST_IMAGES)? as u32 })
            }
            "label" => Self::Draw(Draw::Label(words.number(0, MOST_LABEL)? as u32)),
            "bench" => Self::Draw(Draw::Bench { images: words.number(1, MOST_IMAGES)? as u32 }),
            "learn" => Self::Learn(Learn::Steps(words.number(0, MOST_STEPS)? as u32)),
            "example" => match words.clone().next() {
                Some("file") => {
                    words.next();
                    Self::Learn(Learn::Open)
                }
                _ => Self::Learn(Learn::Receive { count: words.number(0, MOST_EXAMPLES)? as usize }),
            },
            "plan" => {
                let name = words.next();
                let plan = Plan::ALL.into_iter().find(|plan| Some(plan.name()) == name);
                Self::Learn(Learn::Plan(plan.ok_or(Mistake::Plan)?))
            }
            _ => PLAIN.into_iter().find(|&(plain, _)| plain == name).ok_or(Mistake::Unknown)?.1,
        };
        match words.next() {
            None => Ok(Some(command)),
            Some(_) => Err(Mistake::More),
        }
    }
}

/// What follows the name of a command.
#[derive(Clone)]
struct Words<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn number(&mut self, least: u64, most: u64) -> Result<u64, Mistake> {
        let number = self.next().and_then(|word| word.parse().ok());
        number.filter(|number| (least..=most).contains(number)).ok_or(Mistake::Number { least, most })
    }
}

/// Commands of one word.
const PLAIN: [(&str, Command); 12] = [
    ("info", Command::Draw(Draw::Info)),
    ("loss", Command::Learn(Learn::Loss)),
    ("save", Command::Learn(Learn::Save)),
    ("revert", Command::Learn(Learn::Revert)),
    ("factory", Command::Learn(Learn::Factory)),
    ("examples", Command::Learn(Learn::Examples)),
    ("help", Command::Help),
    ("exact", Command::Exact),
    ("fast", Command::Fast),
    ("memory", Command::Memory),
    ("reset", Command::Reset),
    ("exit", Command::Exit),
];

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no such command; `help` lists them"),
            Self::Number { least, most } => write!(f, "a number from {least} to {most} should follow"),
            Self::Plan => f.write_str("`full` or `small` should follow"),
            Self::More => f.write_str("the line has more words than the command takes"),
        }
    }
}

/// What `help` says.
pub(crate) const HELP: &str = "\
seed N         draw the picture of a seed
walk A B N     draw N pictures on the way from one seed to another
label N        draw this class from now on
bench N        draw N pictures and say how long that took
info           say what the model is
exact, fast    compute the same bits as every other board, or as fast as this one can
memory         RAM in use
reset, exit    start again, or end
";

/// What it says besides where a board learns.
pub(crate) const HELP_LEARNING: &str = "\
learn N        learn N steps from the examples
loss           losses of the first and the last step
save           keep what was learned, for good
revert         forget what was learned since the last save, or else the last save
factory        forget everything, for good
examples       say what there is to learn from
example N      receive N pictures as frames, to learn from them
example file   read them from a file, where there is one
plan P         learn all that the file says (full), or what 128 KB of RAM allow (small)
";

/// Numbers up to here are exact in `f32`, as which a model takes a label.
const MOST_LABEL: u64 = 1 << 24;
const MOST_IMAGES: u64 = 1000;

/// More than any guard allows.
const MOST_STEPS: u64 = 1_000_000;
const MOST_EXAMPLES: u64 = crate::RECEIVED as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands() {
        for (line, command) in [
            (" seed  18446744073709551615 ", Command::Draw(Draw::Seed(u64::MAX))),
            ("walk 3 4 5", Command::Draw(Draw::Walk { from: 3, to: 4, steps: 5 })),
            ("label 9", Command::Draw(Draw::Label(9))),
            ("bench 1", Command::Draw(Draw::Bench { images: 1 })),
            ("info", Command::Draw(Draw::Info)),
            ("learn 10", Command::Learn(Learn::Steps(10))),
            ("example 8", Command::Learn(Learn::Receive { count: 8 })),
            ("example file", Command::Learn(Learn::Open)),
            ("plan small", Command::Learn(Learn::Plan(Plan::Small))),
            ("save", Command::Learn(Learn::Save)),
            ("exit", Command::Exit),
        ] {
            assert_eq!(Command::parse(line), Ok(Some(command)), "{line:?}");
        }
        for line in ["", " \t"] {
            assert_eq!(Command::parse(line), Ok(None), "{line:?}");
        }
        let number = |least, most| Mistake::Number { least, most };
        for (line, mistake) in [
            ("draw 1", Mistake::Unknown),
            ("seed", number(0, u64::MAX)),
            ("seed 18446744073709551616", number(0, u64::MAX)),
            ("seed -1", number(0, u64::MAX)),
            ("walk 1 2", number(2, MOST_IMAGES)),
            ("walk 1 2 1", number(2, MOST_IMAGES)),
            ("label 16777217", number(0, MOST_LABEL)),
            ("bench 0", number(1, MOST_IMAGES)),
            ("learn", number(0, MOST_STEPS)),
            ("learn 1000001", number(0, MOST_STEPS)),
            ("example 9", number(0, MOST_EXAMPLES)),
            ("example files", number(0, MOST_EXAMPLES)),
            ("example file 1", Mistake::More),
            ("plan", Mistake::Plan),
            ("plan medium", Mistake::Plan),
            ("save 1", Mistake::More),
            ("seed 1 2", Mistake::More),
            ("walk 1 2 3 4", Mistake::More),
        ] {
            assert_eq!(Command::parse(line), Err(mistake), "{line:?}");
        }
    }

    #[test]
    fn help_lists_every_command() {
        let others = [("seed", false), ("walk", false), ("label", false), ("bench", false)];
        let lessons = [("learn", true), ("example", true), ("plan", true)];
        let plain = PLAIN.map(|(name, command)| (name, matches!(command, Command::Learn(_))));
        let listed = |help: &str, name| {
            help.lines().any(|line| line.split([' ', ',']).take(3).any(|word| word == name))
        };
        for (name, learns) in plain.into_iter().chain(others).chain(lessons) {
            assert_eq!(listed(HELP_LEARNING, name), learns, "{name}");
            assert_eq!(listed(HELP, name), !learns && name != "help", "{name}");
        }
    }
}
