//! What the keys of `train.toml` mean, in the words of the types that hold them.
//!
//! The doc comments of the configuration are the one place where keys are explained. They are read from the sources, which the
//! program carries for that: a word changed there is changed here, and a key without a comment fails the tests.

use core::fmt::Write as _;
use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::config::Config;

/// The text of a `train.toml` that means `config`, with every key, and what each means. Optional keys that `config` lacks are
/// there as comments.
///
/// # Errors
/// When a key has no documentation, or the text would mean another run, as it may if one of its strings has several lines.
pub(super) fn documented(config: &Config) -> Result<String> {
    let plain = config.to_toml();
    let present: BTreeSet<String> =
        Entry::all(&plain).into_iter().filter_map(|(_, entry)| entry).map(Entry::path).collect();
    let mut text = String::from(HEADER);
    for (line, entry) in Entry::all(&config.complete().to_toml()) {
        let Some(entry) = entry else {
            if !line.is_empty() {
                writeln!(text, "{line}")?;
            }
            continue;
        };
        let path = entry.path();
        let meaning =
            meaning(config, &path).with_context(|| format!("the key {path} has no documentation"))?;
        text.push('\n');
        for line in wrapped(&meaning) {
            writeln!(text, "# {line}")?;
        }
        writeln!(text, "{}{line}", if present.contains(&path) { "" } else { "#" })?;
    }
    ensure!(Config::parse(&text)? == *config, "the configuration has strings of several lines");
    Ok(text)
}

/// What a line of a configuration begins.
struct Entry {
    table: String,
    /// None for the head of the table itself.
    key: Option<String>,
}

impl Entry {
    /// All lines of a text in TOML as the configuration writes it, with what they begin, if anything.
    fn all(text: &str) -> Vec<(&str, Option<Self>)> {
        let mut table = String::new();
        let entries = text.lines().map(|line| {
            let head = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let entry = if let Some(head) = head {
                head.clone_into(&mut table);
                Some(Self { table: table.clone(), key: None })
            } else {
                let key = line.split_once(" = ").map(|(key, _)| key);
                let key = key.filter(|key| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
                key.map(|key| Self { table: table.clone(), key: Some(key.to_owned()) })
            };
            (line, entry)
        });
        entries.collect()
    }

    /// The name by which `--set` knows it.
    fn path(self) -> String {
        match self.key {
            Some(key) if self.table.is_empty() => key,
            Some(key) => format!("{}.{key}", self.table),
            None => self.table,
        }
    }
}

/// What a key means: its doc comment, and the words that it may be.
fn meaning(config: &Config, path: &str) -> Option<String> {
    let objective =
        variants("Objective").into_iter().find(|variant| variant.word == config.objective.name())?;
    if path == "objective.name" {
        return Some(with_choices(objective.doc, "Objective", "One of"));
    }
    let mut holder = "Config";
    let mut field = None;
    for name in path.split('.') {
        let found = fields(holder).into_iter().find(|field| field.name == name)?;
        holder = match inner(found.kind) {
            "Objective" => objective.name,
            kind => kind,
        };
        field = Some(found);
    }
    let field = field.filter(|field| !field.doc.is_empty())?;
    let which = if field.kind.starts_with("Vec<") { "Any of" } else { "One of" };
    Some(if holder == objective.name { field.doc } else { with_choices(field.doc, holder, which) })
}

/// With the words that a value of a type may be, unless it has none or they are already named.
fn with_choices(doc: String, kind: &str, which: &str) -> String {
    let words: Vec<String> = variants(kind).into_iter().map(|variant| variant.word).collect();
    if words.iter().all(|word| doc.contains(&format!("`{word}`"))) {
        return doc;
    }
    format!("{doc} {which} {}.", words.join(", "))
}

/// What an option or a list holds.
fn inner(kind: &str) -> &str {
    let of = |outer: &str| kind.strip_prefix(outer).and_then(|rest| rest.strip_suffix('>'));
    of("Option<").or_else(|| of("Vec<")).unwrap_or(kind)
}

/// A field of a struct.
struct Field {
    name: &'static str,
    kind: &'static str,
    doc: String,
}

/// A variant of an enum.
struct Variant {
    name: &'static str,
    /// How TOML spells it.
    word: String,
    doc: String,
}

/// The public fields of a struct of the configuration; none if there is no such struct.
fn fields(kind: &str) -> Vec<Field> {
    let members = body("struct", kind).map(|(_, body)| members(body)).unwrap_or_default();
    let field = |(member, doc): (&'static str, String)| {
        let (name, kind) = member.strip_prefix("pub ")?.split_once(": ")?;
        Some(Field { name, kind, doc })
    };
    members.into_iter().filter_map(field).collect()
}

/// The variants of an enum of the configuration; none if there is no such enum.
fn variants(kind: &str) -> Vec<Variant> {
    let Some((attributes, body)) = body("enum", kind) else { return vec![] };
    let has_hyphens = attributes.contains("rename_all = \"kebab-case\"");
    let variant = |(member, doc): (&'static str, String)| {
        let name = member.split('(').next().unwrap_or(member);
        let mut word = String::new();
        for c in name.chars() {
            if has_hyphens && c.is_uppercase() && !word.is_empty() {
                word.push('-');
            }
            word.extend(c.to_lowercase());
        }
        Variant { name, word, doc }
    };
    members(body).into_iter().map(variant).collect()
}

/// The attributes of a type, and what stands between its braces.
fn body(keyword: &str, kind: &str) -> Option<(&'static str, &'static str)> {
    let head = format!("\npub {keyword} {kind} {{\n");
    SOURCES.iter().find_map(|source| {
        let (before, after) = source.split_once(&head)?;
        let (body, _) = after.split_once("\n}")?;
        let attributes = before.rfind("\n\n").map_or(before, |start| &before[start..]);
        Some((attributes, body))
    })
}

/// Fields or variants with the first paragraphs of their doc comments, on one line.
fn members(body: &'static str) -> Vec<(&'static str, String)> {
    let mut members = vec![];
    let (mut doc, mut is_open) = (String::new(), true);
    for line in body.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("///") {
            is_open &= !words.is_empty();
            if is_open {
                doc.push_str(if doc.is_empty() { words.trim() } else { words });
            }
        } else if let Some(member) = line.strip_suffix(',') {
            members.push((member, core::mem::take(&mut doc)));
            is_open = true;
        }
    }
    members
}

/// Lines of at most [`WIDTH`] characters, but for longer words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

const WIDTH: usize = 110;

const HEADER: &str = "\
# A run of `trainer train --config`. Every key is optional and may be left out: an empty file is the default run.
# Keys after a # without a space are off; `--set key=value` overrides what is here.
";

/// Where the types of the configuration are.
const SOURCES: &[&str] = &[
    include_str!("../../config.rs"),
    include_str!("../../dataset.rs"),
    include_str!("../../network/config.rs"),
    include_str!("../../objective.rs"),
    include_str!("../../objective/energy.rs"),
    include_str!("../../objective/evidence.rs"),
    include_str!("../../objective/hinge.rs"),
    include_str!("../../objective/least_squares.rs"),
    include_str!("../../objective/loss_sensitive.rs"),
    include_str!("../../objective/minimax.rs"),
    include_str!("../../objective/non_saturating.rs"),
    include_str!("../../objective/relativistic.rs"),
    include_str!("../../objective/wasserstein.rs"),
    include_str!("../../regularizer.rs"),
    include_str!("../../regularizer/augment.rs"),
    include_str!("../../regularizer/gradient_penalty.rs"),
    include_str!("../../training/optimizer.rs"),
    include_str!("../../training/watch/config.rs"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Objective;

    /// Configurations with every objective, since each has keys of its own.
    fn configs() -> impl Iterator<Item = Config> {
        Objective::NAMES.into_iter().map(|name| {
            let objective = name.parse().expect("a name of an objective");
            Config { objective, ..Config::default() }
        })
    }

    fn paths(text: &str) -> BTreeSet<String> {
        Entry::all(text).into_iter().filter_map(|(_, entry)| entry).map(Entry::path).collect()
    }

    #[test]
    fn every_key_is_documented() {
        for config in configs() {
            for path in paths(&config.complete().to_toml()) {
                assert!(meaning(&config, &path).is_some_and(|text| text.len() > 10), "{path}");
            }
        }
    }

    /// The other way round: what the sources have is what a file may say.
    #[test]
    fn every_documented_field_is_a_key() {
        fn collect(config: &Config, prefix: &str, kind: &str, found: &mut BTreeSet<String>) {
            for field in fields(kind) {
                let path = format!("{prefix}{}", field.name);
                if inner(field.kind) == "Objective" {
                    found.insert(format!("{path}.name"));
                    let variants = variants("Objective");
                    let variant = variants.iter().find(|variant| variant.word == config.objective.name());
                    collect(config, &format!("{path}."), variant.expect("its own name").name, found);
                } else {
                    collect(config, &format!("{path}."), inner(field.kind), found);
                }
                found.insert(path);
            }
        }
        for config in configs() {
            let mut found = BTreeSet::new();
            collect(&config, "", "Config", &mut found);
            assert_eq!(found, paths(&config.complete().to_toml()));
        }
    }

    #[test]
    fn words_are_those_that_values_may_be() {
        let words = |kind| variants(kind).into_iter().map(|v| v.word).collect::<Vec<_>>();
        assert_eq!(words("Objective"), Objective::NAMES);
        for (key, kind) in [
            ("dataset", "Source"),
            ("network.architecture", "Architecture"),
            ("network.discriminator_norm", "DiscriminatorNorm"),
            ("network.discriminator_output", "DiscriminatorOutput"),
            ("network.conditioning", "Conditioning"),
            ("training.optimizer", "OptimizerName"),
            ("watch.metric", "Metric"),
            ("regularizer.gradient_penalty.at", "PenaltyPoints"),
            ("regularizer.gradient_penalty.form", "PenaltyForm"),
        ] {
            assert!(words(kind).len() > 1, "{kind}");
            let error = Config::default().set(&format!("{key}=nothing")).unwrap_err();
            for word in words(kind) {
                Config::default().set(&format!("{key}={word}")).unwrap();
                assert!(format!("{error:#}").contains(&word), "{word}: {error:#}");
            }
        }
        assert_eq!(words("Augment"), ["color", "translation", "cutout"]);
    }

    #[test]
    fn absent_keys_are_comments_that_can_be_switched_on() {
        let text = documented(&Config::default()).unwrap();
        let mut on = Config::default();
        on.regularizer.gradient_penalty = on.complete().regularizer.gradient_penalty;
        let edited = text
            .replace("#[regularizer.gradient_penalty]", "[regularizer.gradient_penalty]")
            .replace("\n#at", "\nat")
            .replace("discriminator_norm = \"batch\"", "discriminator_norm = \"none\"")
            .replace("#data_dir = \"\"", "data_dir = \"here\"");
        let edited = Config::parse(&edited).unwrap_or_else(|error| panic!("{error:#}\n{edited}"));
        assert_eq!(edited.regularizer.gradient_penalty, on.regularizer.gradient_penalty);
        assert_eq!(edited.data_dir.as_deref(), Some("here".as_ref()));
    }

    #[test]
    fn awkward_values_keep_their_meaning() {
        let mut config =
            Config { seed: u64::MAX, data_dir: Some("a = \"b\" # c".into()), ..Config::default() };
        config.set("regularizer.augment=[\"color\", \"cutout\"]").unwrap();
        assert_eq!(Config::parse(&documented(&config).unwrap()).unwrap(), config);
    }
}
