//! `trainer man`: manual pages.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::CommandFactory as _;
use clap_mangen::Man;

use super::Cli;

/// Options of `trainer man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for one page of each command, e.g. ~/.local/share/man/man1; without it the main page goes to stdout
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When a page cannot be written.
pub fn run(args: Args) -> Result<()> {
    let Some(dir) = args.dir else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        print!("{}", String::from_utf8_lossy(&page));
        return Ok(());
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    clap_mangen::generate_to(Cli::command(), &dir)
        .with_context(|| format!("writing pages to {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Names of the pages of a command and all below it.
    fn pages(command: &clap::Command, above: &str, names: &mut Vec<String>) {
        let name = format!("{above}{}", command.get_name());
        command.get_subcommands().for_each(|below| pages(below, &format!("{name}-"), names));
        names.push(format!("{name}.1"));
    }

    fn list(dir: &Path) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
        let mut names: Vec<_> =
            entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }

    #[test]
    fn every_command_has_a_page() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let dir = dir.path().join("man1");
        run(Args { dir: Some(dir.clone()) })?;
        let mut expected = vec![];
        pages(&Cli::command(), "", &mut expected);
        expected.sort();
        assert_eq!(list(&dir)?, expected);
        assert!(expected.contains(&"trainer-delta-merge.1".to_owned()), "{expected:?}");
        let page = std::fs::read_to_string(dir.join("trainer-train.1"))?;
        assert!(page.contains(".TH trainer-train 1") && page.contains("\\-\\-patience"), "{page}");

        for name in &expected {
            let typeset = Command::new("groff").args(["-man", "-Tutf8", "-z"]).arg(dir.join(name)).output();
            let Ok(typeset) = typeset else {
                eprintln!("skipped: there is no groff");
                return Ok(());
            };
            let complaints = String::from_utf8_lossy(&typeset.stderr).into_owned();
            assert!(typeset.status.success() && complaints.is_empty(), "{name}: {complaints}");
        }
        Ok(())
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error() -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let error = run(Args { dir: Some(file.path().join("man1")) }).unwrap_err();
        assert!(error.to_string().starts_with("creating "), "{error}");
        Ok(())
    }
}
