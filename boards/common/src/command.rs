//! What can be said to a console, one command a line.

use core::fmt;

use crate::Plan;

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Draw { seed: u64 },
    Learn { steps: u32 },
    Loss,
    Save,
    Revert,
    Factory,
    Examples,
    Receive { count: usize },
    Open,
    Exact,
    Fast,
    Plan(Plan),
    Memory,
    Reset,
    Exit,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    Unknown,
    /// A number is missing or out of range.
    Number {
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
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { return Ok(None) };
        let word = words.next();
        if words.next().is_some() {
            return Err(Mistake::More);
        }
        let number = |otherwise: Option<u64>, most: u64| match word {
            None => otherwise.ok_or(Mistake::Number { most }),
            Some(word) => {
                let number = word.parse().ok().filter(|&number| number <= most);
                number.ok_or(Mistake::Number { most })
            }
        };
        let command = match name {
            "draw" => Self::Draw { seed: number(Some(0), u64::MAX)? },
            "learn" => Self::Learn { steps: number(None, MOST_STEPS)? as u32 },
            "example" if word == Some("file") => Self::Open,
            "example" => Self::Receive { count: number(Some(1), MOST_EXAMPLES)? as usize },
            "plan" => {
                let plan = Plan::ALL.into_iter().find(|plan| Some(plan.name()) == word);
                Self::Plan(plan.ok_or(Mistake::Plan)?)
            }
            _ => {
                let (_, command) =
                    PLAIN.into_iter().find(|&(plain, _)| plain == name).ok_or(Mistake::Unknown)?;
                if word.is_some() {
                    return Err(Mistake::More);
                }
                command
            }
        };
        Ok(Some(command))
    }
}

/// Commands of one word.
const PLAIN: [(&str, Command); 11] = [
    ("help", Command::Help),
    ("loss", Command::Loss),
    ("save", Command::Save),
    ("revert", Command::Revert),
    ("factory", Command::Factory),
    ("examples", Command::Examples),
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
            Self::Number { most } => write!(f, "a number from 0 to {most} should follow"),
            Self::Plan => f.write_str("`full` or `small` should follow"),
            Self::More => f.write_str("the line has more words than the command takes"),
        }
    }
}

/// What `help` says.
pub(crate) const HELP: &str = "\
draw [seed]    draw a picture, as learned so far
learn N        learn N steps from the examples
loss           losses of the first and the last step
save           keep what was learned, for good
revert         forget what was learned since the last save, or else the last save
factory        forget everything, for good
examples       say what there is to learn from
example N      receive N pictures as frames, to learn from them
example file   read them from a file, where there is one
exact, fast    compute the same bits as every other board, or as fast as this one can
plan P         learn all that the file says (full), or what 128 KB of RAM allow (small)
memory         RAM in use
reset, exit    start again, or end
";

/// More than any guard allows.
const MOST_STEPS: u64 = 1_000_000;
const MOST_EXAMPLES: u64 = crate::RECEIVED as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_commands() {
        for (line, command) in [
            ("", None),
            (" \t", None),
            ("draw", Some(Command::Draw { seed: 0 })),
            (" draw  18446744073709551615 ", Some(Command::Draw { seed: u64::MAX })),
            ("learn 10", Some(Command::Learn { steps: 10 })),
            ("example 8", Some(Command::Receive { count: 8 })),
            ("example file", Some(Command::Open)),
            ("plan small", Some(Command::Plan(Plan::Small))),
            ("save", Some(Command::Save)),
        ] {
            assert_eq!(Command::parse(line), Ok(command), "{line:?}");
        }
        for (line, mistake) in [
            ("drew", Mistake::Unknown),
            ("draw 18446744073709551616", Mistake::Number { most: u64::MAX }),
            ("draw -1", Mistake::Number { most: u64::MAX }),
            ("learn", Mistake::Number { most: MOST_STEPS }),
            ("learn 1000001", Mistake::Number { most: MOST_STEPS }),
            ("example 9", Mistake::Number { most: MOST_EXAMPLES }),
            ("example files", Mistake::Number { most: MOST_EXAMPLES }),
            ("plan", Mistake::Plan),
            ("plan medium", Mistake::Plan),
            ("save 1", Mistake::More),
            ("draw 1 2", Mistake::More),
        ] {
            assert_eq!(Command::parse(line), Err(mistake), "{line:?}");
        }
    }

    #[test]
    fn help_lists_every_command() {
        let names = PLAIN.iter().map(|&(name, _)| name).chain(["draw", "learn", "example", "plan"]);
        for name in names.filter(|&name| name != "help") {
            assert!(HELP.lines().any(|line| line.split([' ', ',']).any(|word| word == name)), "{name}");
        }
    }
}
