//! The program is stopped in the ways that systems and people have, and loses nothing.
#![cfg(unix)]

mod common;

use core::time::Duration;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use common::{TINY, trainer};
use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro128PlusPlus;

const NEWEST: &str = "checkpoint.bin";
const PREVIOUS: &str = "checkpoint.previous.bin";
/// What a step of the slowest network here may take, many times over.
const PATIENCE: Duration = Duration::from_secs(120);

/// What all runs here have in common besides.
const RESUMED: [&str; 4] = ["--sample-every=0", "--lr-d=0.001", "--seed=11", "--resume"];

/// A run of a network so small that saving it takes longer than a step.
fn train(out: &Path, more: &[&str]) -> Command {
    let mut command = trainer(&TINY, out, &RESUMED);
    command.args(more);
    command
}

fn output(mut command: Command) -> Output {
    command.output().expect("the program starts")
}

fn read(run: &Path, name: &str) -> Option<Vec<u8>> {
    std::fs::read(run.join(name)).ok()
}

/// Waits until there is another newest checkpoint than `before`, or the program has ended.
fn wait_for_checkpoint(child: &mut Child, run: &Path, before: Option<&Vec<u8>>) {
    let started = Instant::now();
    while child.try_wait().expect("it is our child").is_none() {
        let now = read(run, NEWEST);
        if now.is_some() && now.as_ref() != before {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "no checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn send(child: &Child, signal: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
    assert!(status.expect("sh starts").success());
}

/// The exit status and stderr.
fn end(mut child: Child) -> (ExitStatus, String) {
    let mut text = String::new();
    child.stderr.take().expect("stderr is piped").read_to_string(&mut text).expect("stderr is text");
    (child.wait().expect("it is our child"), text)
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, killed] = ["whole", "killed"].map(|name| dir.path().join(name));
    let more = ["--steps=160", "--checkpoint-every=1"];
    assert!(output(train(&whole, &more)).status.success());

    let seed = 0x5eed;
    println!("seed {seed:#x}");
    let mut rng = Xoshiro128PlusPlus::seed_from_u64(seed);
    let mut kills = 0;
    for _ in 0..8 {
        let before = read(&killed, NEWEST);
        let mut child = train(&killed, &more).spawn().unwrap();
        wait_for_checkpoint(&mut child, &killed, before.as_ref());
        std::thread::sleep(Duration::from_micros(u64::from(rng.next_u32() % 40_000)));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
    }
    println!("{kills} of 8 runs were killed");
    assert!(kills > 0, "every run had ended before");
    let last = output(train(&killed, &more));
    assert!(last.status.success(), "{}", String::from_utf8_lossy(&last.stderr));
    for name in [NEWEST, PREVIOUS, "losses.csv", "train.toml"] {
        assert!(read(&killed, name).is_some() && read(&killed, name) == read(&whole, name), "{name}");
    }
    let names = |run: &PathBuf| {
        let mut names: Vec<_> =
            std::fs::read_dir(run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&killed), names(&whole), "nothing is left of what was begun");
}

/// The lock of a folder ends with the process that has it, even by SIGKILL.
#[test]
fn a_second_run_waits_for_the_first_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let more = ["--steps=1000000", "--checkpoint-every=1"];
    let mut first = train(&run, &more).spawn().unwrap();
    wait_for_checkpoint(&mut first, &run, None);
    let second = output(train(&run, &more));
    let owner = format!("in use by another run (process {})", first.id());
    first.kill().unwrap();
    first.wait().unwrap();
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.code() == Some(1) && text.contains(&owner), "{text}");
    let third = output(train(&run, &["--steps=1"]));
    assert!(third.status.success(), "{}", String::from_utf8_lossy(&third.stderr));
}

#[test]
fn a_signal_saves_and_says_how_to_go_on() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let dir = tempfile::tempdir().unwrap();
        let [whole, run] = ["whole", "run"].map(|name| dir.path().join(name));
        let more = ["--steps=1000000", "--checkpoint-every=64"];
        let mut child = train(&run, &more).spawn().unwrap();
        wait_for_checkpoint(&mut child, &run, None);
        send(&child, signal);
        let (status, text) = end(child);
        assert_eq!(status.code(), Some(code), "{text}");
        let hint = format!("go on with: trainer train --resume --out {}", run.display());
        assert!(text.contains(&hint), "{text}");
        let saved = text.split_once("interrupted after step ").unwrap().1;
        let step: usize = saved.split_once(',').unwrap().0.parse().unwrap();

        let more = [&format!("--steps={}", step + 3), more[1]];
        for out in [&run, &whole] {
            let output = output(train(out, &more));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert!(read(&run, NEWEST).is_some() && read(&run, NEWEST) == read(&whole, NEWEST), "step {step}");
        let csv = String::from_utf8(read(&run, "losses.csv").unwrap()).unwrap();
        assert_eq!(csv.lines().count(), 1 + step + 3);
    }
}

/// The code is that of the second signal, which nobody waits for.
#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    // About a second a step, in which both signals come.
    let slow = ["train", "--dataset=glyphs", "--batch-size=512", "--watch-every=0", "--sample-every=0"];
    let mut child = trainer(&slow, &run, &["--steps=1000", "--checkpoint-every=1"]).spawn().unwrap();
    wait_for_checkpoint(&mut child, &run, None);
    send(&child, "INT");
    std::thread::sleep(Duration::from_millis(20));
    send(&child, "TERM");
    let (status, text) = end(child);
    assert_eq!(status.code(), Some(143), "{text}");
    assert!(!text.contains("go on with"), "{text}");
}

/// A limit for the length of files is a full disk that needs no disk.
#[test]
fn a_full_disk_leaves_both_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    assert!(output(train(&run, &["--steps=2", "--checkpoint-every=1"])).status.success());
    let before = [NEWEST, PREVIOUS].map(|name| read(&run, name).unwrap());
    // Blocks of 512 bytes: all but the checkpoint is smaller.
    let blocks = before[0].len() / 1024;
    assert!(read(&run, "train.toml").unwrap().len() < blocks * 512);
    let mut command = Command::new("sh");
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_trainer")]).args(TINY).args(RESUMED);
    command.arg("--out").arg(&run).args(["--steps=9", "--checkpoint-every=1"]);
    let output = output(command);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("earlier ones are untouched") && text.contains("File too large"), "{text}");
    assert!([NEWEST, PREVIOUS].map(|name| read(&run, name).unwrap()) == before);
}

#[test]
fn a_closed_pipe_ends_without_a_word() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/mnist-dcgan28/mnist-dcgan28.pgan");
    for args in
        [vec!["inspect".as_ref(), model.as_os_str()], vec!["train".as_ref(), "--list-methods".as_ref()]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_trainer"));
        command.args(&args).stdout(writer).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{args:?}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
