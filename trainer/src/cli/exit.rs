//! How the program ends.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use super::interrupt::Interrupted;

/// What exit codes mean, for `trainer --help`.
pub const CODES: &str = "\
Exit codes:
  0    done
  1    error
  2    wrong usage
  130  interrupted by Ctrl-C; `train` has saved a checkpoint, unless Ctrl-C came twice
  141  nobody reads the output any more, as in `trainer inspect FILE | head`
  143  as 130, by SIGTERM";

const CLOSED_PIPE: u8 = 141;

/// Says on stderr what went wrong, and gives the exit code.
pub fn code(result: Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let (text, code) = match error.downcast_ref::<Interrupted>() {
        Some(interrupted) => (interrupted.to_string(), 128 + interrupted.signal),
        None => (format!("Error: {error:?}"), 1),
    };
    // The code stands even where nobody reads the text.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(code)
}

/// From now on, printing into a closed pipe ends the program without a word.
///
/// `println!` has no other way to fail than a panic, and Rust ignores the signal that ends other programs.
pub fn end_on_closed_pipe() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload_as_str().is_some_and(is_closed_pipe) {
            std::process::exit(CLOSED_PIPE.into());
        }
        report(info);
    }));
}

/// Whether a panic is that of `print!` or `eprint!` on a closed pipe.
fn is_closed_pipe(message: &str) -> bool {
    // EPIPE; on Windows ERROR_BROKEN_PIPE and ERROR_NO_DATA.
    let codes = if cfg!(windows) { &["(os error 109)", "(os error 232)"][..] } else { &["(os error 32)"] };
    message.starts_with("failed printing to std") && codes.iter().any(|code| message.ends_with(code))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn signals_have_codes_of_their_own() {
        let interrupted = |signal| Err(Interrupted { signal, message: "saved".into() }.into());
        assert_eq!(code(Ok(())), ExitCode::from(0));
        assert_eq!(code(Err(anyhow!("no"))), ExitCode::from(1));
        assert_eq!(code(interrupted(2)), ExitCode::from(130));
        assert_eq!(code(interrupted(15).context("training")), ExitCode::from(143));
    }

    #[cfg(unix)]
    #[test]
    fn only_a_closed_pipe_is_quiet() {
        assert!(is_closed_pipe("failed printing to stdout: Broken pipe (os error 32)"));
        assert!(is_closed_pipe("failed printing to stderr: Broken pipe (os error 32)"));
        assert!(!is_closed_pipe("failed printing to stdout: No space left on device (os error 28)"));
        assert!(!is_closed_pipe("reading a socket: Broken pipe (os error 32)"));
    }
}
