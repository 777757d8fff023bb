//! The rules of ARCHITECTURE.md that a machine can check, and for each a fault that it must find.
//!
//! A rule reads the sources as text and returns one line for each violation; nothing here builds anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::{Spacing, TokenStream, TokenTree};
use toml::{Table, Value};

/// Path relative to the workspace, with `/`, to text.
type Tree = BTreeMap<String, String>;

/// Checks one property of a tree.
type Rule = fn(&Tree) -> Vec<String>;

/// Folders at the top, no more and no fewer.
const TOP_LEVEL: [&str; 6] = [".ci", "boards", "models", "runtime", "tests", "trainer"];

/// Folder of a package, and the packages of ours that it may use.
const LAYERS: [(&str, &[&str]); 8] = [
    ("runtime/kernels", &[]),
    ("runtime/format", &[]),
    ("runtime", &["pocketgan-format", "pocketgan-kernels"]),
    ("runtime/finetune", &["pocketgan-format", "pocketgan-kernels", "pocketgan-runtime"]),
    ("trainer/compiler", &["pocketgan-format", "pocketgan-kernels", "pocketgan-runtime"]),
    (
        "trainer",
        &[
            "pocketgan-format",
            "pocketgan-kernels",
            "pocketgan-runtime",
            "pocketgan-finetune",
            "pocketgan-compiler",
        ],
    ),
    ("tests", &EVERYTHING),
    ("tests/fuzz", &EVERYTHING),
];

/// What tests may use.
const EVERYTHING: [&str; 6] = [
    "pocketgan-format",
    "pocketgan-kernels",
    "pocketgan-runtime",
    "pocketgan-finetune",
    "pocketgan-compiler",
    "pocketgan-trainer",
];

/// What a package under `boards/` may use of ours.
const BOARD_LAYER: [&str; 5] =
    ["boards-common", "pocketgan-format", "pocketgan-kernels", "pocketgan-runtime", "pocketgan-finetune"];

/// What a package under `boards/` may use besides for its tests.
const BOARD_TESTS_LAYER: [&str; 1] = ["pocketgan-kernels"];

/// All that the packages inside firmware may take from others; development dependencies are free.
const FIRMWARE_CRATES: [(&str, &[&str]); 3] = [
    ("runtime/kernels", &["half", "libm"]),
    ("runtime/format", &["bytemuck", "crc", "half", "libm", "salty", "sha2"]),
    (
        "runtime",
        &["bytemuck", "embedded-graphics-core", "half", "libm", "rand_core", "rand_xoshiro", "rayon"],
    ),
];

/// Longest file, in lines.
const MAX_LINES: usize = 600;

/// Dependencies between our packages run one way.
fn dependencies_run_one_way(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (folder, manifest) in packages(tree) {
        let allowed = match LAYERS.iter().find(|(layer, _)| *layer == folder) {
            Some((_, allowed)) => *allowed,
            None if folder.starts_with("boards/") => &BOARD_LAYER,
            None => {
                faults.push(format!("{folder}: this package has no place in the layers"));
                continue;
            }
        };
        for (name, development) in dependencies(&manifest) {
            let tests =
                development && folder.starts_with("boards/") && BOARD_TESTS_LAYER.contains(&name.as_str());
            if is_ours(&name) && !allowed.contains(&name.as_str()) && !tests {
                faults.push(format!("{folder}: may not depend on {name}"));
            }
        }
    }
    faults
}

/// What goes into firmware depends on a short list, ONNX stays in the compiler, and tensor libraries in the trainer.
fn libraries_stay_where_they_belong(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (folder, manifest) in packages(tree) {
        for (name, development) in dependencies(&manifest) {
            let home = match name.split('-').next() {
                Some("tract") => folder == "trainer/compiler",
                Some("burn") => ["trainer", "tests", "runtime/finetune"].contains(&folder.as_str()),
                _ => true,
            };
            let listed = FIRMWARE_CRATES
                .iter()
                .find(|(layer, _)| *layer == folder)
                .is_none_or(|(_, crates)| development || is_ours(&name) || crates.contains(&name.as_str()));
            if !(home && listed) {
                faults.push(format!("{folder}: may not depend on {name}"));
            }
        }
    }
    faults
}

/// Every package takes the lints of its workspace.
fn lints_are_inherited(tree: &Tree) -> Vec<String> {
    packages(tree)
        .filter(|(_, manifest)| {
            let lints = manifest.get("lints").and_then(Value::as_table);
            lints.and_then(|lints| lints.get("workspace")).and_then(Value::as_bool) != Some(true)
        })
        .map(|(folder, _)| format!("{folder}: `[lints] workspace = true` is missing"))
        .collect()
}

/// `unsafe` stands under the kernels' `arch` and in boards.
fn unsafe_stays_in_its_folders(tree: &Tree) -> Vec<String> {
    let allowed = |path: &str| path.starts_with("runtime/kernels/src/arch") || path.starts_with("boards/");
    words_outside(tree, allowed, |word, _, _| word == "unsafe")
}

/// tract is named in one file; burn only in the trainer, the tests that compare with it, and one file of `finetune`.
fn libraries_are_named_in_few_files(tree: &Tree) -> Vec<String> {
    let mut faults = words_outside(tree, |path| path == "trainer/compiler/src/onnx.rs", names_crate("tract"));
    let allowed = |path: &str| {
        let compiler = path.starts_with("trainer/compiler/");
        !compiler && ["trainer/", "tests/", "runtime/finetune/"].iter().any(|folder| path.starts_with(folder))
    };
    faults.extend(words_outside(tree, allowed, names_crate("burn")));
    let elsewhere = |path: &str| !path.starts_with("runtime/finetune/");
    let backend = words_outside(tree, elsewhere, names_crate("burn"));
    let mut files: Vec<_> = backend.iter().filter_map(|fault| fault.split(':').next()).collect();
    files.dedup();
    if files.len() > 1 {
        faults.push(format!("{}: one file of finetune may name burn", files.join(" and ")));
    }
    faults
}

/// A path into a crate or an import of it, its `library_*` relatives included; a variable of that name is neither.
fn names_crate(library: &'static str) -> impl Fn(&str, &str, &str) -> bool {
    move |word, before, after| {
        let named = word.strip_prefix(library).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        named && (after == "::" && before != ":" || before == "use" || before == "crate")
    }
}

/// Only `dispatch.rs`, and on its behalf the kernels' `arch`, ask what the CPU can do.
fn only_dispatch_and_arch_ask_the_cpu(tree: &Tree) -> Vec<String> {
    let allowed = |path: &str| {
        path == "runtime/kernels/src/dispatch.rs" || path.starts_with("runtime/kernels/src/arch")
    };
    words_outside(tree, allowed, |word, _, _| {
        word.ends_with("_feature_detected")
            || matches!(word, "__cpuid" | "__cpuid_count" | "_xgetbv" | "getauxval")
    })
}

/// The folders at the top are those of the layout.
fn top_level_is_the_layout(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    let mut found: Vec<_> = tree.keys().filter_map(|path| Some(path.split_once('/')?.0)).collect();
    found.dedup();
    faults.extend(
        found
            .iter()
            .filter(|name| !TOP_LEVEL.contains(name))
            .map(|name| format!("{name}/ is not in the layout")),
    );
    faults.extend(
        TOP_LEVEL.iter().filter(|name| !found.contains(name)).map(|name| format!("{name}/ is missing")),
    );
    faults
}

/// One idea per file: no source is longer than [`MAX_LINES`].
fn files_are_short(tree: &Tree) -> Vec<String> {
    tree.iter()
        .filter(|(path, _)| [".rs", ".sh", ".mjs"].iter().any(|end| path.ends_with(end)))
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines, more than {MAX_LINES}"))
        .collect()
}

/// Folder and manifest of every package.
fn packages(tree: &Tree) -> impl Iterator<Item = (String, Table)> {
    tree.iter().filter_map(|(path, text)| {
        let folder = path.strip_suffix("Cargo.toml")?.trim_end_matches('/');
        let manifest: Table = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        manifest.contains_key("package").then(|| (folder.to_owned(), manifest))
    })
}

/// Names of all dependencies, of every kind and target, and whether they are for development only.
fn dependencies(manifest: &Table) -> Vec<(String, bool)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables: Vec<&Table> = targets.filter_map(|(_, target)| target.as_table()).chain([manifest]).collect();
    let mut names = Vec::new();
    for table in tables {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (name, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                let package = value.get("package").and_then(Value::as_str).unwrap_or(name);
                names.push((package.to_owned(), kind == "dev-dependencies"));
            }
        }
    }
    names
}

fn is_ours(name: &str) -> bool {
    name.starts_with("pocketgan-") || name == "boards-common"
}

/// One fault for each word of Rust code that `is_fault(word, token before, token after)`, outside the allowed files.
fn words_outside(
    tree: &Tree,
    allowed: impl Fn(&str) -> bool,
    is_fault: impl Fn(&str, &str, &str) -> bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.iter().filter(|(path, _)| path.ends_with(".rs") && !allowed(path)) {
        let stream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let token = |at: usize| tokens.get(at).map_or("", |(text, _)| text);
        for (at, (word, line)) in tokens.iter().enumerate() {
            if is_fault(word, token(at.wrapping_sub(1)), token(at + 1)) {
                faults.push(format!("{path}:{line}: {word}"));
            }
        }
    }
    faults
}

/// The tokens with their lines, brackets left out. Comments are none; text in literals stays in its quotes.
fn flatten(stream: TokenStream, tokens: &mut Vec<(String, usize)>) {
    for tree in stream {
        match tree {
            TokenTree::Group(group) => flatten(group.stream(), tokens),
            // Of the two colons of a path, only the first is joint.
            TokenTree::Punct(punct) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint => {
                tokens.push(("::".to_owned(), punct.span().start().line));
            }
            token => tokens.push((token.to_string(), token.span().start().line)),
        }
    }
}

/// All text files of the workspace, without build outputs and hidden folders.
fn read_tree(folder: &Path, prefix: &str, tree: &mut Tree) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            let hidden = name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str());
            if !hidden && !IGNORED.contains(&name.as_str()) {
                read_tree(&entry.path(), &format!("{path}/"), tree);
            }
        } else {
            // Models and pictures count as files, though not as text.
            tree.insert(path, fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
}

/// Folders that `.gitignore` names.
const IGNORED: [&str; 3] = ["target", "demo", "dist"];

#[test]
fn the_workspace_keeps_its_rules() {
    let mut tree = Tree::new();
    read_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), "", &mut tree);
    let faults: Vec<String> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Every rule.
const RULES: [Rule; 8] = [
    dependencies_run_one_way,
    libraries_stay_where_they_belong,
    lints_are_inherited,
    unsafe_stays_in_its_folders,
    libraries_are_named_in_few_files,
    only_dispatch_and_arch_ask_the_cpu,
    top_level_is_the_layout,
    files_are_short,
];

#[test]
fn a_small_workspace_without_faults_passes() {
    let tree = small_tree();
    for rule in RULES {
        assert_eq!(rule(&tree), Vec::<String>::new());
    }
}

#[test]
fn every_rule_finds_its_fault() {
    let lints = "[lints]\nworkspace = true\n";
    let package = |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\n{lints}{rest}");
    let long = "\n".repeat(MAX_LINES + 1);
    let faults: &[(Rule, &str, &str)] = &[
        (
            dependencies_run_one_way,
            "runtime/kernels/Cargo.toml",
            &package("pocketgan-kernels", "[dev-dependencies]\npocketgan-runtime = { path = \"..\" }"),
        ),
        (
            dependencies_run_one_way,
            "boards/mps2/Cargo.toml",
            &package("mps2", "[build-dependencies]\npocketgan-trainer.workspace = true"),
        ),
        (
            dependencies_run_one_way,
            "runtime/Cargo.toml",
            &package(
                "pocketgan-runtime",
                "[target.'cfg(unix)'.dependencies.t]\npackage = \"pocketgan-tests\"",
            ),
        ),
        (dependencies_run_one_way, "models/zoo/Cargo.toml", &package("zoo", "")),
        (
            libraries_stay_where_they_belong,
            "runtime/Cargo.toml",
            &package("pocketgan-runtime", "[dependencies]\nndarray = \"0.17\""),
        ),
        (
            libraries_stay_where_they_belong,
            "tests/Cargo.toml",
            &package("pocketgan-tests", "[dev-dependencies]\ntract-onnx = \"0.23\""),
        ),
        (
            libraries_stay_where_they_belong,
            "trainer/compiler/Cargo.toml",
            &package("pocketgan-compiler", "[dependencies]\nburn = \"0.22\""),
        ),
        (
            libraries_stay_where_they_belong,
            "boards/mps2/Cargo.toml",
            &package("mps2", "[dependencies]\nburn = \"0.22\""),
        ),
        (lints_are_inherited, "trainer/Cargo.toml", "[package]\nname = \"pocketgan-trainer\""),
        (unsafe_stays_in_its_folders, "runtime/src/lib.rs", "fn f() { unsafe { g() } }"),
        (unsafe_stays_in_its_folders, "runtime/kernels/src/dispatch.rs", "m! { #[unsafe(no_mangle)] }"),
        (libraries_are_named_in_few_files, "trainer/compiler/src/export.rs", "use tract_onnx::pb;"),
        (libraries_are_named_in_few_files, "trainer/compiler/src/graph.rs", "use burn::tensor::Tensor;"),
        (libraries_are_named_in_few_files, "runtime/src/lib.rs", "fn f() { burn::tensor::f(); }"),
        (libraries_are_named_in_few_files, "runtime/finetune/src/a.rs", "use burn as b;"),
        (
            only_dispatch_and_arch_ask_the_cpu,
            "trainer/src/main.rs",
            "std::is_x86_feature_detected!(\"avx2\")",
        ),
        (top_level_is_the_layout, "scripts/x.py", ""),
        (files_are_short, "trainer/src/main.rs", &long),
    ];
    for (rule, path, text) in faults {
        let mut tree = small_tree();
        tree.insert((*path).to_owned(), (*text).to_owned());
        let found = rule(&tree);
        assert!(found.len() == 1, "{path} with {text:?}: {found:?}");
    }
    let mut tree = small_tree();
    tree.remove("models/a/CARD.md");
    assert_eq!(top_level_is_the_layout(&tree), ["models/ is missing"]);
}

/// A workspace that keeps every rule, with the forbidden words where they are allowed or mean nothing.
fn small_tree() -> Tree {
    let package = |name: &str, dependencies: &str| {
        format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n[dependencies]\n{dependencies}")
    };
    let files = [
        (".ci/run", String::new()),
        ("models/a/CARD.md", String::new()),
        ("Cargo.toml", "[workspace]\n".to_owned()),
        (
            "runtime/Cargo.toml",
            package("pocketgan-runtime", "libm = \"0.2\"\npocketgan-format.workspace = true"),
        ),
        (
            "runtime/src/lib.rs",
            "//! Not unsafe.\n#![forbid(unsafe_code)]\nconst A: &str = \"unsafe\";".to_owned(),
        ),
        ("runtime/kernels/Cargo.toml", package("pocketgan-kernels", "")),
        ("runtime/kernels/src/arch/x.rs", "fn f() { unsafe { g() } }".to_owned()),
        ("runtime/kernels/src/dispatch.rs", "is_x86_feature_detected!(\"fma\")".to_owned()),
        ("runtime/finetune/src/b.rs", "use burn::tensor::Tensor;".to_owned()),
        ("boards/mps2/Cargo.toml", package("mps2", "pocketgan-runtime.workspace = true")),
        ("boards/mps2/src/main.rs", "fn f() { unsafe { g() } }".to_owned()),
        ("trainer/Cargo.toml", package("pocketgan-trainer", "burn = \"0.22\"")),
        ("trainer/compiler/Cargo.toml", package("pocketgan-compiler", "tract-onnx = \"0.23\"")),
        (
            "trainer/src/main.rs",
            "use burn::prelude::*; /* use tract_onnx */ fn f(tract: A) { A { burn: b } }".to_owned(),
        ),
        ("trainer/compiler/src/onnx.rs", "use tract_onnx::pb;".to_owned()),
        ("tests/Cargo.toml", package("pocketgan-tests", "pocketgan-trainer.workspace = true")),
    ];
    files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect()
}
