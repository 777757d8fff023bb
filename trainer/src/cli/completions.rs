//! `trainer completions`: a script that lets a shell complete this command line.

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;

/// Options of `trainer completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = INSTALL)]
pub struct Args {
    /// The shell
    shell: Shell,
}

const INSTALL: &str = "\
To use it in every new shell, e.g.:
  bash  trainer completions bash > ~/.local/share/bash-completion/completions/trainer
  zsh   trainer completions zsh > DIR/_trainer, where DIR is in $fpath
  fish  trainer completions fish > ~/.config/fish/completions/trainer.fish";

/// Runs the command.
///
/// # Errors
/// Never.
pub fn run(args: Args) -> Result<()> {
    print!("{}", script(args.shell));
    Ok(())
}

fn script(shell: Shell) -> String {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn scripts_name_every_command() {
        for &shell in Shell::value_variants() {
            let script = script(shell);
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell}: {name}");
            }
            assert!(script.contains("list-methods") && script.contains("quiet"), "{shell}");
        }
    }

    /// The script is one that bash reads, and that answers.
    #[test]
    fn bash_completes() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("trainer.bash");
        std::fs::write(&path, script(Shell::Bash))?;
        let bash = |line: &str| Command::new("bash").args(["--norc", "-c", line]).arg(&path).output();
        let Ok(checked) = bash("bash -n \"$0\"") else {
            eprintln!("skipped: there is no bash");
            return Ok(());
        };
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let line = "COMP_WORDS=(trainer comp); COMP_CWORD=1; source \"$0\"; _trainer trainer comp trainer; \
                    echo \"${COMPREPLY[@]}\"";
        let output = bash(line)?;
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "compare completions", "{output:?}");
        Ok(())
    }
}
