//! The binary files of CIFAR-10 and CIFAR-100.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{Dataset, Split};

/// Which files there are, and what a record of them is: labels, then `[3, 32, 32]` bytes.
pub(super) struct Layout {
    name: &'static str,
    /// Number of classes of each label; the last one is used.
    classes: &'static [u8],
    /// One name a line, if the file is there.
    class_names: &'static str,
    train: &'static [&'static str],
    /// Records in each file of the training part.
    train_records: usize,
    test: &'static str,
    test_records: usize,
}

/// # Source
/// Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images", "binary version" of the data.
pub(super) const CIFAR_10: Layout = Layout {
    name: "cifar10",
    classes: &[10],
    class_names: "batches.meta.txt",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    train_records: 10_000,
    test: "test_batch.bin",
    test_records: 10_000,
};

/// The same for 100 classes in 20 groups.
pub(super) const CIFAR_100: Layout = Layout {
    name: "cifar100",
    classes: &[20, 100],
    class_names: "fine_label_names.txt",
    train: &["train.bin"],
    train_records: 50_000,
    test: "test.bin",
    test_records: 10_000,
};

const PIXELS: usize = 3 * 32 * 32;

/// Reads one part from the files in `dir`.
pub(super) fn load(layout: &Layout, dir: &Path, split: Split) -> Result<Dataset> {
    let (files, records) = match split {
        Split::Train => (layout.train, layout.train_records),
        Split::Test => (&[layout.test][..], layout.test_records),
    };
    let (mut pixels, mut labels) = (vec![], vec![]);
    for file in files {
        layout.read(&dir.join(file), records, &mut pixels, &mut labels)?;
    }
    let dataset = Dataset::new(layout.name, [3, 32, 32], pixels, Some(labels))?;
    dataset.with_class_names(layout.names(dir)?)
}

impl Layout {
    /// Appends the images and labels of one file.
    fn read(&self, path: &Path, records: usize, pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<()> {
        let Self { name, train, test, .. } = self;
        ensure!(
            path.is_file(),
            "{} does not exist; {name} needs the files of its binary version: {}, {test}",
            path.display(),
            train.join(", ")
        );
        let record = self.classes.len() + PIXELS;
        let context = || format!("reading {}", path.display());
        // The length is looked at first, so that a foreign file is not read whole.
        let len = std::fs::metadata(path).with_context(context)?.len();
        ensure!(
            len == (records * record) as u64,
            "{} is no file of {name}, or a part of one: it has {len} bytes, {records} records have {}",
            path.display(),
            records * record
        );
        let bytes = std::fs::read(path).with_context(context)?;
        for (i, record) in bytes.chunks_exact(record).enumerate() {
            let (own, image) = record.split_at(self.classes.len());
            for (&label, &classes) in own.iter().zip(self.classes) {
                ensure!(
                    label < classes,
                    "{} is no file of {name}: record {i} has class {label} of {classes}",
                    path.display()
                );
            }
            labels.extend(own.last());
            pixels.extend_from_slice(image);
        }
        Ok(())
    }

    /// Names of the classes, or their numbers where no file tells.
    fn names(&self, dir: &Path) -> Result<Vec<String>> {
        let path = dir.join(self.class_names);
        let classes = usize::from(self.classes.last().copied().unwrap_or(0));
        if !path.is_file() {
            return Ok((0..classes).map(|class| class.to_string()).collect());
        }
        let context = || format!("reading {}", path.display());
        let mut text = String::new();
        let file = std::fs::File::open(&path).with_context(context)?;
        file.take(1 << 16).read_to_string(&mut text).with_context(context)?;
        let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        ensure!(names.len() == classes, "{} has {} names, not {classes}", path.display(), names.len());
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Source;

    /// Two files of two records, and one of three.
    const SMALL: Layout =
        Layout { train: &["a.bin", "b.bin"], train_records: 2, test_records: 3, ..CIFAR_100 };

    /// A record whose red, green and blue pixels are 1, 2 and 3 times the fine class.
    fn record(coarse: u8, fine: u8) -> Vec<u8> {
        let planes = [1, 2, 3].into_iter().flat_map(|factor| [factor * (fine % 80); PIXELS / 3]);
        [coarse, fine].into_iter().chain(planes).collect()
    }

    fn write(dir: &Path, name: &str, labels: &[[u8; 2]]) {
        let bytes: Vec<u8> = labels.iter().flat_map(|&[coarse, fine]| record(coarse, fine)).collect();
        std::fs::write(dir.join(name), bytes).unwrap();
    }

    fn error(dir: &Path, split: Split) -> String {
        format!("{:#}", load(&SMALL, dir, split).unwrap_err())
    }

    #[test]
    fn files_follow_each_other_and_fine_classes_are_the_labels() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.bin", &[[0, 7], [19, 50]]);
        write(dir.path(), "b.bin", &[[3, 99], [4, 0]]);
        write(dir.path(), "test.bin", &[[1, 1], [1, 2], [1, 3]]);
        let train = load(&SMALL, dir.path(), Split::Train).unwrap();
        assert_eq!((train.shape(), train.len(), train.class_count()), ([3, 32, 32], 4, Some(100)));
        assert_eq!([0, 1, 2, 3].map(|i| train.label(i)), [Some(7), Some(50), Some(99), Some(0)]);
        let byte = |value: f32| ((value + 1.0) * 127.5).round() as u32;
        let image = train.images(&[1]);
        assert_eq!([0, 1023, 1024, 2048, 3071].map(|i| byte(image[i])), [50, 50, 100, 150, 150]);
        let test = load(&SMALL, dir.path(), Split::Test).unwrap();
        assert_eq!((test.len(), test.class_count(), test.class_name(42)), (3, Some(100), Some("42")));
    }

    #[test]
    fn truncated_and_foreign_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a.bin", &[[0, 7], [19, 50]]);
        assert!(error(dir.path(), Split::Train).contains("b.bin does not exist"));
        let whole = [record(1, 1), record(2, 2)].concat();
        for len in [0, 1, whole.len() / 2, whole.len() - 1] {
            std::fs::write(dir.path().join("b.bin"), &whole[..len]).unwrap();
            let error = error(dir.path(), Split::Train);
            assert!(error.contains("b.bin") && error.contains(&format!("{len} bytes")), "{error}");
        }
        for labels in [[20, 0], [0, 100]] {
            write(dir.path(), "b.bin", &[[0, 0], labels]);
            let error = error(dir.path(), Split::Train);
            assert!(error.contains("b.bin") && error.contains("record 1"), "{error}");
        }
    }

    #[test]
    fn classes_have_the_names_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { classes: &[2], test_records: 1, ..CIFAR_10 };
        std::fs::write(dir.path().join("test_batch.bin"), [&[1][..], &[9; PIXELS]].concat()).unwrap();
        std::fs::write(dir.path().join("batches.meta.txt"), "airplane\nautomobile\n\n").unwrap();
        assert_eq!(load(&layout, dir.path(), Split::Test).unwrap().class_name(1), Some("automobile"));
        std::fs::write(dir.path().join("batches.meta.txt"), "airplane\n").unwrap();
        assert!(format!("{:#}", load(&layout, dir.path(), Split::Test).unwrap_err()).contains("1 names"));
    }

    #[test]
    fn the_published_sizes_are_read_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("test_batch.bin")).unwrap();
        file.set_len(30_730_000).unwrap();
        let test = Dataset::load(Source::Cifar10, Some(dir.path()), Split::Test, 32, 3).unwrap();
        assert_eq!((test.len(), test.label(9_999), test.class_count()), (10_000, Some(0), Some(10)));
        let error = Dataset::load(Source::Cifar100, Some(dir.path()), Split::Test, 32, 3).unwrap_err();
        assert!(error.to_string().contains("test.bin"), "{error}");
    }
}
