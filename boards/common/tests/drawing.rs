//! A run and conversations with a console that only draws, on this computer.

use std::io::{self, Read};
use std::{fs, path::Path};

use boards_common::{Clock, Device, End, RunError, SEEDS, TextDisplay, exhibit, run};
use embedded_io_adapters::std::FromStd;
use pocketgan_format::{
    Activation, AlignedBytes, Axis, Combine, Function, Input, NestStep, Operand, Program, Role, Step,
    TensorData, ValueType,
};
use pocketgan_runtime::{Generator, Image, Model, dispatch};

fn digits() -> AlignedBytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mnist-dcgan28/mnist-dcgan28.pgan");
    AlignedBytes::copy(&fs::read(path).expect("the file is in the repository"))
}

/// A model of four classes, whose pictures are rows of a table, and do not depend on the latent vector.
fn classes() -> Program {
    let row = |row: usize| core::array::from_fn(|i| (8 * row + i) as f32 / 16.0);
    let axis = |extent, a, b| Axis { extent, a, b, out: i32::from(a == 1) };
    let take = NestStep {
        function: Function::Take,
        combine: Combine::Sum,
        layer: 0,
        first_axis: 0,
        axis_count: 2,
        reduced: 0,
        a: Operand::Tensor { index: 0, start: 0 },
        b: Operand::Arena { offset: 16 },
        shift: None,
        activation: Activation::Identity,
        output: 20,
        output_values: ValueType::F32,
    };
    Program {
        inputs: vec![
            Input { role: Role::Latent, offset: 0, shape: [1, 1, 4] },
            Input { role: Role::Label, offset: 16, shape: [1; 3] },
        ],
        output_shape: [2, 2, 1],
        range: [0.0, 1.0],
        arena_bytes: 36,
        output_offset: 20,
        steps: vec![Step::Nest(take)],
        tensors: vec![TensorData::F32(vec![row(0), row(1)])],
        axes: vec![axis(4, 1, 0), axis(4, 4, 0)],
        ..Program::default()
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

/// What a run prints, with so many values of arena more than the model needs, or fewer.
fn report(file: &AlignedBytes, more: isize) -> Result<String, RunError<core::fmt::Error>> {
    let model = Model::load(file).expect("the model is intact");
    let len = model.arena_len().saturating_add_signed(more);
    let mut out = String::new();
    let (fast, exact) = (dispatch::best(), dispatch::exact());
    run(&**file, &mut Ticks(0), &mut TextDisplay::new(&mut out), &mut vec![0.0; len], fast, exact)
        .map(|report| format!("{out}{report}"))
}

/// What a board with this model says to these lines, and how it ends.
fn talk(file: &AlignedBytes, input: &[u8]) -> (String, End) {
    struct Line<'a>(&'a [u8], &'a mut Vec<u8>);
    impl Read for Line<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            self.0.read(bytes)
        }
    }
    impl io::Write for Line<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut output = Vec::new();
    let arena_len = Model::load(file).map_or(0, |model| model.arena_len());
    let end = Device {
        model: file,
        port: FromStd::new(Line(input, &mut output)),
        clock: Ticks(0),
        arena: &mut vec![0.0; arena_len],
        fast: dispatch::best(),
        exact: dispatch::exact(),
        usage: || None,
    }
    .draw();
    (String::from_utf8(output).expect("it speaks text"), end)
}

/// What lines that start so go on with, in order.
fn after<'a>(said: &'a str, start: &str) -> Vec<&'a str> {
    said.lines().filter_map(|line| line.strip_prefix(start)).collect()
}

#[test]
fn a_run_needs_what_the_file_says_and_no_more() {
    let file = digits();
    let model = Model::load(&file).expect("the model is intact");
    let need_bytes = model.file().arena_bytes();
    let error = report(&file, -1).expect_err("the arena is too small").to_string();
    assert!(
        error.ends_with(&format!("the arena has {} bytes, the model needs {need_bytes}", need_bytes - 4)),
        "{error}"
    );
    let said = report(&file, 0).expect("the arena is as long");
    assert!(said.contains(&format!(" {need_bytes} bytes of arena\n")), "{said}");
    // Whatever lies behind stays as it was.
    assert_eq!(report(&file, 100).expect("the arena is longer"), said);
}

#[test]
fn a_run_says_what_exact_arithmetic_draws() {
    let file = digits();
    let said = report(&file, 0).expect("the arena is as long");
    let model = Model::load(&file).expect("the model is intact");
    let mut arena = vec![0.0; model.arena_len()];
    let mut generator = Generator::exact(&model, &mut arena).expect("the arena is as long");
    let expected: Vec<String> =
        SEEDS.map(|seed| format!("{:08x}", generator.conformance(seed).crc32)).collect();
    let pictures: Vec<&str> = after(&said, "pictures from ")
        .into_iter()
        .flat_map(|line| line.split_once(": ").expect("a seed stands before").1.split(' '))
        .collect();
    assert_eq!(pictures, expected);
    assert_eq!(after(&said, "image ").len(), SEEDS.count());
}

#[test]
fn an_arena_that_is_not_used_as_stated_is_found() {
    let mut program = classes();
    report(&program.to_bytes().expect("the program keeps the rules"), 0).expect("all of it is used");
    program.arena_bytes += 16;
    let error = report(&program.to_bytes().expect("the program keeps the rules"), 0);
    let error = error.expect_err("the last values are never written").to_string();
    assert_eq!(error, "36 bytes of arena were used, the file says 52");
}

#[test]
fn classes_are_drawn_by_their_labels() {
    let file = classes().to_bytes().expect("the program keeps the rules");
    let (said, end) = talk(&file, b"info\nseed 0\nlabel 2\nseed 0\nbench 3\nexit\n");
    assert_eq!(end, End::Exit);
    assert_eq!(after(&said, "input: "), ["Latent, 1 x 1 x 4", "Label, 1 x 1 x 1"]);
    // The means of the table's first and third row.
    let means = after(&said, "mean ");
    let first = |text: &str| text.split(',').next().map(str::to_owned);
    let last = means[means.len() - 2..].iter().map(|text| first(text)).collect::<Vec<_>>();
    assert_eq!(last, [Some("0.094".to_owned()), Some("0.594".to_owned())], "{said}");
    // The clock is asked once before the pictures, and once after each.
    assert!(said.contains("time: 3 images in 3 us, 1 us each, 1000000.00 images/s\n"), "{said}");
    assert!(talk(&digits(), b"label 2\n").0.contains("the model knows no classes\n"));
}

#[test]
fn a_walk_goes_from_one_picture_to_another() {
    let (said, _) = talk(&digits(), b"exact\nseed 3\nseed 8\nwalk 3 8 4\nwalk 5 5 2\nseed 5\n");
    let &[from, to, first, second, third, last, still, again, five] = &after(&said, "exact: ")[1..] else {
        panic!("{said}")
    };
    assert_eq!((first, last), (from, to));
    assert!(![from, to, third].contains(&second) && ![from, to].contains(&third), "{said}");
    assert_eq!((still, again), (five, five));
}

#[test]
fn nothing_that_is_said_ends_a_conversation() {
    let file = digits();
    let (said, end) =
        talk(&file, b"learn 3\nfactory\nseed\nseed x\n\xff\xfe\nwalk 1 2\nnonsense\nhelp\nbench 0\n");
    assert_eq!(end, End::Exit, "the line was closed");
    assert_eq!(said.matches("this board only draws\n").count(), 2, "{said}");
    assert_eq!(after(&said, "a number from ").len(), 4, "{said}");
    assert!(said.contains("no such command") && said.contains("\nwalk A B N "), "{said}");
    assert_eq!(talk(&file, b"reset\n").1, End::Reset);
    let broken = AlignedBytes::copy(b"no model");
    assert_eq!(talk(&broken, b"help\n").1, End::Failed);

    const SEED: u64 = 16_140;
    println!("seed {SEED}");
    let mut state = SEED;
    let mut next = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize
    };
    let words = [
        "seed ",
        "walk ",
        "label ",
        "bench ",
        "info",
        "learn ",
        "example ",
        "exact",
        "fast",
        "help",
        "memory",
        "18446744073709551615 ",
        "-1 ",
        "16777216 ",
        "2 ",
        "7 ",
        " ",
        "\n",
    ];
    let file = classes().to_bytes().expect("the program keeps the rules");
    for _ in 0..200 {
        let mut input = Vec::new();
        for _ in 0..100 {
            match next() % 4 {
                0 => input.push(next() as u8),
                1 => input.push(b'\n'),
                _ => input.extend(words[next() % words.len()].as_bytes()),
            }
        }
        assert_eq!(talk(&file, &input).1, End::Exit);
    }
}

#[test]
fn an_exhibition_goes_on_until_the_display_fails() {
    /// Fails at the third picture.
    struct Display(Vec<u32>);
    impl boards_common::Display for Display {
        type Error = &'static str;

        fn show(&mut self, image: &Image<'_>) -> Result<(), &'static str> {
            self.0.push(image.crc32());
            if self.0.len() == 3 { Err("it broke") } else { Ok(()) }
        }
    }
    let file = digits();
    let model = Model::load(&file).expect("the model is intact");
    let mut arena = vec![0.0; model.arena_len()];
    let (mut display, mut pauses) = (Display(Vec::new()), 0);
    let result = exhibit(&*file, &mut display, &mut arena, dispatch::exact(), 16.., || pauses += 1);
    assert!(matches!(result, Err(RunError::Display("it broke"))));
    assert_eq!(pauses, 2);
    let mut generator = Generator::exact(&model, &mut arena).expect("the arena is as long");
    assert_eq!(display.0, [16, 17, 18].map(|seed| generator.conformance(seed).crc32));
    assert!(exhibit(&*file, &mut display, &mut arena, dispatch::exact(), [3], || ()).is_ok());
    assert_eq!(display.0.len(), 4);
    let result = exhibit(&*file, &mut display, &mut arena[1..], dispatch::exact(), 0..1, || ());
    assert!(matches!(result, Err(RunError::Start(_))));
}

#[test]
fn what_wants_a_picture_is_refused() {
    let mut program = classes();
    program.inputs[0].role = Role::Image;
    let file = program.to_bytes().expect("the program keeps the rules");
    assert!(matches!(report(&file, 0), Err(RunError::Inputs)));
    let mut display = TextDisplay::new(String::new());
    let result = exhibit(&*file, &mut display, &mut [0.0; 9], dispatch::exact(), [0], || ());
    assert!(matches!(result, Err(RunError::Inputs)));
    assert_eq!(talk(&file, b"seed 1\n").1, End::Failed);
}
