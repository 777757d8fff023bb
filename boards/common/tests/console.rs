//! Conversations with a console on this computer.

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

use boards_common::flash::FileFlash;
use boards_common::frame::{Frame, encode, encoded_bytes};
use boards_common::{Clock, Device, End, Learning, Plan};
use embedded_io_adapters::std::FromStd;
use pocketgan_finetune::store::Store;
use pocketgan_format::{
    AlignedBytes, Change, Delta, DeltaSummary, LearnedTensor, Losses, Network, Preset, Target,
};
use pocketgan_format::{Tensor, ValueType};
use pocketgan_runtime::{Model, dispatch};

/// The end of a serial line at which the board is.
struct Line<'a> {
    input: &'a [u8],
    output: &'a mut Vec<u8>,
}

impl io::Read for Line<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.input.read(bytes)
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A clock on which a microsecond passes whenever it is asked.
struct Ticks(u64);

impl Clock for Ticks {
    fn now_us(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A board that can be switched off: only its flash stays.
struct Board {
    model: AlignedBytes,
    examples: Vec<u8>,
    /// Pictures in a file.
    file: Option<Vec<u8>>,
    flash: Cursor<Vec<u8>>,
}

impl Board {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read = |path: &str| fs::read(root.join(path)).expect("the file is in the repository");
        Self {
            model: AlignedBytes::copy(&read("models/mnist-dcgan28/mnist-dcgan28-tail.pgan")),
            examples: read("boards/common/examples/bold-digits.raw"),
            file: None,
            flash: Cursor::default(),
        }
    }

    fn store(&mut self) -> Store<FileFlash<FromStd<&mut Cursor<Vec<u8>>>, 4096>> {
        let flash = FileFlash::open(FromStd::new(&mut self.flash), 8).expect("memory does not fail");
        Store::new(flash, 0..8 * 4096)
    }

    /// Switches it on and talks; what it said, and how it ended.
    fn talk(&mut self, input: &[u8]) -> (String, End) {
        let model = AlignedBytes::copy(&self.model);
        let (examples, file) = (self.examples.clone(), self.file.clone());
        let arena_len = Plan::Small.arena_len(&Model::load(&model).expect("the model is intact"));
        let mut arena = vec![0_u128; arena_len.expect("the model learns").div_ceil(4)];
        let mut output = Vec::new();
        let end = Device {
            model: &model,
            port: FromStd::new(Line { input, output: &mut output }),
            clock: Ticks(0),
            arena: bytemuck::cast_slice_mut(&mut arena),
            fast: dispatch::best(),
            exact: dispatch::exact(),
            usage: || None,
        }
        .learn(Learning {
            store: self.store(),
            examples: &examples,
            file: &mut |bytes| {
                let len = bytes.len().min(file.as_ref()?.len());
                bytes[..len].copy_from_slice(&file.as_ref()?[..len]);
                Some(len)
            },
            plan: Plan::Small,
        });
        (String::from_utf8(output).expect("it speaks text"), end)
    }

    /// A delta of one tensor, whose values are so many times the file's, for a model with this SHA-256.
    fn delta(&self, base: [u8; 32], factor: f32) -> Vec<u8> {
        let model = Model::load(&self.model).expect("the model is intact");
        // The bias of the last layer.
        let tensor = 19;
        let Some(Tensor::F32(rows)) = model.file().tensor(tensor as usize) else { panic!("another model") };
        let values: Vec<f32> = rows.as_flattened().iter().map(|value| factor * value).collect();
        let target = Target { network: Network::Generator, tensor, change: Change::Replace };
        let learned = [LearnedTensor { target, stored: ValueType::F32, values: &values }];
        let losses = Losses::default();
        let summary = DeltaSummary {
            base,
            seed: 0,
            steps: 5,
            examples: 3,
            first: losses,
            last: losses,
            merged: 1,
            preset: Preset::Tail,
        };
        let mut bytes = vec![0; Delta::encoded_bytes(learned)];
        Delta::encode(&summary, learned.into_iter(), &mut bytes).expect("the delta is whole");
        bytes
    }

    fn base(&self) -> [u8; 32] {
        Model::load(&self.model).expect("the model is intact").file().sha256()
    }
}

/// What lines that start so go on with, in order.
fn after<'a>(said: &'a str, start: &str) -> Vec<&'a str> {
    said.lines().filter_map(|line| line.strip_prefix(start)).collect()
}

#[test]
fn pictures_of_a_file_are_learned_from() {
    let learned = |board: &mut Board, commands: &str| {
        let (said, _) = board.talk(format!("exact\n{commands}\nexamples\nlearn 1\nloss\n").as_bytes());
        (said.clone(), after(&said, "learned: ")[0].to_owned())
    };
    let mut board = Board::new();
    let (said, built_in) = learned(&mut board, "example file");
    assert!(said.contains("there is no file") && said.contains("16 examples, built in"), "{said}");
    // Ten and a half pictures, of which eight have room: those that are built in, in another order.
    board.file = Some(board.examples[3 * 784..][..10 * 784 + 392].to_vec());
    let (said, from_file) = learned(&mut board, "example file");
    assert!(said.contains("8 read") && said.contains("8 examples, received"), "{said}");
    assert_ne!(from_file, built_in);
    board.examples = board.examples[3 * 784..][..8 * 784].to_vec();
    assert_eq!(learned(&mut board, "").1, from_file);
    // Less than a picture changes nothing.
    board.file = Some(vec![0; 783]);
    let (said, still) = learned(&mut board, "example file");
    assert!(said.contains("there is no file with a picture of 784 bytes"), "{said}");
    assert_eq!(still, from_file);
}

#[test]
fn what_is_saved_outlives_power_and_what_is_not_does_not() {
    let mut board = Board::new();
    let (said, _) = board.talk(b"exact\nseed 3\nlearn 2\nseed 3\n");
    let drawn = after(&said, "exact: ");
    let &[factory, learned] = &drawn[..] else { panic!("{said}") };
    assert_ne!(factory, learned);

    // Not saved. Then saved, and learned from there.
    let (said, _) = board.talk(b"exact\nseed 3\nlearn 2\nsave\nseed 3\nlearn 1\nseed 3\nrevert\nseed 3\n");
    let drawn = after(&said, "exact: ");
    assert_eq!((drawn[0], drawn[1], drawn[3]), (factory, learned, learned), "{said}");
    assert_ne!(drawn[2], learned);

    let (said, end) = board.talk(b"exact\nseed 3\nlearn 1\nsave\nrevert\nseed 3\nfactory\nseed 3\nexit\n");
    assert!(said.starts_with("drawing as learned in 2 steps from 16 examples"), "{said}");
    assert_eq!(after(&said, "exact: "), [learned, learned, factory], "{said}");
    assert_eq!(end, End::Exit);
    assert!(board.talk(b"").0.starts_with("drawing as the file says"));
}

#[test]
fn what_is_stored_is_checked_before_it_is_used() {
    let mut board = Board::new();
    let factory = after(&board.talk(b"exact\nseed 3\n").0, "exact: ").concat();
    let mut torn = board.delta(board.base(), 1.5);
    let middle = torn.len() / 2;
    torn[middle] ^= 1;
    for (delta, reason) in [
        (b"anything".to_vec(), "not a delta"),
        (torn, "the delta is damaged"),
        (board.delta([7; 32], 0.5), "the delta was learned from model 07070707"),
        (board.delta(board.base(), 1e6), "the delta is "),
        (vec![0; 8000], "not a delta"),
    ] {
        board.store().save(&delta).expect("the flash is whole");
        let (said, _) = board.talk(b"exact\nseed 3\n");
        assert!(said.starts_with(&format!("what is stored is ignored: {reason}")), "{said}");
        assert_eq!(after(&said, "exact: "), [&factory], "{said}");
    }
    let near = board.delta(board.base(), 1.5);
    board.store().save(&near).expect("the flash is whole");
    let (said, _) = board.talk(b"exact\nseed 3\n");
    assert!(said.starts_with("drawing as learned in 5 steps from 3 examples"), "{said}");
    assert_ne!(after(&said, "exact: "), [&factory]);
}

#[test]
fn frames_become_examples() {
    let mut board = Board::new();
    let frame = |number, payload: &[u8]| {
        let mut out = vec![0; encoded_bytes(payload.len())];
        let len = encode(Frame { number, payload }, &mut out).expect("there is room");
        out.truncate(len);
        out
    };
    let examples = board.examples.clone();
    let picture = |index: usize| examples[784 * index..][..784].to_vec();
    let mut broken = frame(1, &picture(1));
    broken[300] ^= 4;
    let frames = [frame(2, &picture(2)), broken, frame(9, &picture(1)), frame(0, &picture(0)), frame(0, &[])];
    let input = [b"exact\nexample 3\n", &frames.concat()[..], b"examples\nlearn 1\nloss\n"].concat();
    let (said, _) = board.talk(&input);
    assert_eq!(after(&said, "got "), ["2", "0"], "{said}");
    assert!(said.contains("damaged\n") && said.contains("frame 9 of 784 bytes is none of these\n"), "{said}");
    assert!(said.contains("2 of 3 arrived\n> examples\n2 examples, received\n"), "{said}");

    // The same two, built in, teach the same.
    board.examples = [picture(0), picture(2)].concat();
    let (built_in, _) = board.talk(b"exact\nlearn 1\nloss\n");
    assert_eq!(after(&said, "learned: "), after(&built_in, "learned: "));
}

#[test]
fn mistakes_are_told_and_nothing_ends_a_conversation() {
    let mut board = Board::new();
    let (said, end) =
        board.talk(b"plan full\nsave\nlearn\nlearn x\n\xff\xfe\nseed 1 2\nexample 9\nnonsense\nlearn 0\n");
    assert_eq!(end, End::Exit, "the line was closed");
    for told in ["not here: there are ", "nothing was learned", "a number from 0 to", "no such command"] {
        assert!(said.contains(told), "{told}: {said}");
    }
    board.examples.clear();
    let (said, _) = board.talk(b"learn 3\nexamples\n");
    assert!(said.contains("there is no example to learn from\n") && said.contains("0 examples"), "{said}");

    const SEED: u64 = 9_010;
    println!("seed {SEED}");
    let mut state = SEED;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize
    };
    let words =
        ["seed ", "example ", "save", "revert", "plan ", "small", "exact", "factory", "8", "0", "loss", "\n"];
    for _ in 0..20 {
        let mut input = Vec::new();
        for _ in 0..60 {
            match next() % 4 {
                0 => input.push(next() as u8),
                1 => input.push(b'\n'),
                _ => input.extend(words[next() % words.len()].as_bytes()),
            }
        }
        assert_eq!(board.talk(&input).1, End::Exit);
    }
}

#[test]
fn a_model_that_cannot_learn_is_refused() {
    let mut board = Board::new();
    let mut output = Vec::new();
    let device = Device {
        model: &AlignedBytes::copy(b"no model"),
        port: FromStd::new(Line { input: b"seed 1\n", output: &mut output }),
        clock: Ticks(0),
        arena: &mut [],
        fast: dispatch::best(),
        exact: dispatch::exact(),
        usage: || None,
    };
    let learning = Learning { store: board.store(), examples: &[], file: &mut |_| None, plan: Plan::Full };
    assert_eq!(device.learn(learning), End::Failed);
    assert!(String::from_utf8(output).expect("it speaks text").starts_with("error: loading the model: "));
}
