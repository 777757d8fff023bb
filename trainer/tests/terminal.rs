//! What the program says to people: nothing when it is to be quiet, and a whole screen where there is one.

mod common;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{TINY, trainer};

fn train(out: &Path, more: &[&str]) -> Output {
    trainer(&TINY, out, more).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn quiet_leaves_results_and_errors() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let said = train(&dir.path().join("other"), &["--steps=2"]);
    assert!(said.status.success() && text(&said.stderr).contains("step 2/2"), "{said:?}");
    let quiet = train(&run, &["--steps=2", "--quiet", "--json"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{quiet:?}");
    assert!(text(&quiet.stdout).starts_with('{') && text(&quiet.stdout).contains("\"steps\":2"), "{quiet:?}");
    let error = train(&run, &["--steps=2", "-q"]);
    assert_eq!(error.status.code(), Some(1));
    assert!(text(&error.stderr).contains("go on with --resume"), "{error:?}");
}

#[test]
fn a_screen_needs_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    for (more, reason) in [(&["--tui"][..], "stderr is none"), (&["--tui", "--quiet"], "choose one")] {
        let output = train(&run, more);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(reason), "{output:?}");
        assert!(!run.exists());
    }
}

/// Key and signal end alike: a checkpoint, the terminal as it was, and how to go on.
#[cfg(target_os = "linux")]
#[test]
fn a_key_ends_a_screen() {
    let dir = tempfile::tempdir().unwrap();
    for (name, key) in [("q", b"q"), ("control-c", b"\x03")] {
        let run = dir.path().join(name);
        let line = format!(
            "stty rows 40 cols 120; exec {} {} --steps=100000000 --tui --out {}",
            env!("CARGO_BIN_EXE_trainer"),
            TINY.join(" "),
            run.display()
        );
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            eprintln!("skipped: there is no script(1), which makes a terminal");
            return;
        };
        // A key that comes before the screen is one of the shell's.
        let (mut shown, mut byte) = (vec![], [0]);
        let mut terminal = child.stdout.take().unwrap();
        while !shown.ends_with(b"\x1b[?1049h") && terminal.read(&mut byte).unwrap() > 0 {
            shown.push(byte[0]);
        }
        let mut keys = child.stdin.take().unwrap();
        keys.write_all(key).unwrap();
        terminal.read_to_end(&mut shown).unwrap();
        let shown = text(&shown);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{shown}");
        let (screen, after) = shown.split_once("\x1b[?1049l").expect("the screen is left");
        assert!(screen.contains("Losses"), "{screen}");
        assert!(after.contains("interrupted after step ") && after.contains(" --tui"), "{after}");
        assert!(run.join("checkpoint.bin").exists());
    }
}
