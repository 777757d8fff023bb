//! Small pictures with transparency: an IDX file `[N, H, W, 4]`, and `names.txt` with the name of each picture in a line.
//!
//! These sets have no test part. A tenth is held out, always the same: pictures that are variants of one another stay on one
//! side, and no picture is on both.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::{Dataset, Split, idx};
use crate::training::noise::{self, Stream};

/// One of these sets.
pub(super) struct Sheet {
    /// Its name, with which those of its files begin.
    name: &'static str,
    /// What shows through.
    background: [u8; 3],
    /// What the names of variants of a picture have in common.
    motif: fn(&str) -> &str,
    /// The class in a name.
    class: Option<fn(&str) -> &str>,
}

/// Emoji on white. Variants share their first code point: skin tones, genders, directions.
pub(super) const NOTO_EMOJI: Sheet = Sheet {
    name: "noto-emoji",
    background: [255; 3],
    motif: |name| name.trim_start_matches("emoji_u").split(['_', '.']).next().unwrap_or(name),
    class: None,
};

/// Tiles of Dungeon Crawl Stone Soup on black, `group/.../name.png`. Variants differ in the number at the end.
pub(super) const DCSS_TILES: Sheet = Sheet {
    name: "dcss-tiles",
    background: [0; 3],
    motif: |name| name.trim_end_matches(".png").trim_end_matches(|c: char| c.is_ascii_digit()),
    class: Some(|name| name.split('/').next().unwrap_or(name)),
};

/// Reads one part as `[3, size, size]` from the file for this size in `dir`.
pub(super) fn load(sheet: &Sheet, dir: &Path, split: Split, size: usize) -> Result<Dataset> {
    let path = dir.join(format!("{}-{size}x{size}-rgba.idx4-ubyte.gz", sheet.name));
    ensure!(path.is_file(), "{} does not exist; {} has a file for each size", path.display(), sheet.name);
    let idx = idx::read(&path)?;
    let [count, height, width, 4] = idx.shape[..] else {
        bail!("{} has shape {:?}, not [N, H, W, 4]", path.display(), idx.shape)
    };
    ensure!(
        [height, width] == [size; 2] && size > 0,
        "{} has images of {width}x{height}, not of {size}x{size}",
        path.display()
    );
    let path = dir.join("names.txt");
    let names = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let names: Vec<&str> = names.lines().collect();
    ensure!(names.len() == count, "{} has {} lines for {count} images", path.display(), names.len());
    sheet.part(&names, &idx.data, size, split)
}

impl Sheet {
    /// One part of the pictures `[N, size, size, 4]`.
    fn part(&self, names: &[&str], pixels: &[u8], size: usize, split: Split) -> Result<Dataset> {
        let images: Vec<Vec<u8>> =
            pixels.chunks_exact(4 * size * size).map(|image| flatten(image, self.background)).collect();
        let motifs: Vec<&str> = names.iter().map(|name| (self.motif)(name)).collect();
        let held_out = tenth(&motifs);
        let of_train: HashSet<&[u8]> =
            images.iter().zip(&held_out).filter(|(_, held)| !**held).map(|(image, _)| &image[..]).collect();
        let chosen: Vec<usize> = match split {
            Split::Train => (0..images.len()).filter(|&i| !held_out[i]).collect(),
            // Some pictures have several names.
            Split::Test => {
                (0..images.len()).filter(|&i| held_out[i] && !of_train.contains(&images[i][..])).collect()
            }
        };
        ensure!(!chosen.is_empty(), "{} images of {} are too few to hold some out", images.len(), self.name);
        let pixels = chosen.iter().flat_map(|&i| &images[i]).copied().collect();
        let Some(class) = self.class else { return Dataset::new(self.name, [3, size, size], pixels, None) };
        let classes: BTreeSet<&str> = names.iter().map(|name| class(name)).collect();
        let classes: Vec<&str> = classes.into_iter().collect();
        ensure!(classes.len() <= 256, "{} has {} classes, 256 are the most", self.name, classes.len());
        let label = |i: &usize| classes.binary_search(&class(names[*i])).map_or(0, |label| label as u8);
        let labels = chosen.iter().map(label).collect();
        let dataset = Dataset::new(self.name, [3, size, size], pixels, Some(labels))?;
        dataset.with_class_names(classes.into_iter().map(str::to_owned).collect())
    }
}

/// `[3, H, W]` of an image `[H, W, 4]` with straight alpha before a background.
fn flatten(image: &[u8], background: [u8; 3]) -> Vec<u8> {
    let plane = |c: usize| image.chunks_exact(4).map(move |p| super::over(p[c], background[c], p[3]));
    (0..3).flat_map(plane).collect()
}

/// Which pictures are held out: whole motifs in random order, as long as they fit into a tenth.
fn tenth(motifs: &[&str]) -> Vec<bool> {
    let mut sizes = BTreeMap::new();
    for motif in motifs {
        *sizes.entry(*motif).or_insert(0) += 1;
    }
    let sizes: Vec<(&str, usize)> = sizes.into_iter().collect();
    let mut room = motifs.len() / 10;
    let mut held_out = HashSet::new();
    for i in noise::permutation(noise::seed_of(0, Stream::Data, 0), sizes.len()) {
        let (motif, size) = sizes[i as usize];
        if size <= room {
            room -= size;
            held_out.insert(motif);
        }
    }
    motifs.iter().map(|motif| held_out.contains(motif)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::*;
    use crate::dataset::Source;

    #[test]
    fn transparent_pixels_show_the_background() {
        // Opaque, clear, and half of each: (200 * 128 + 255 * 127) / 255 = 227.4.
        let image = [10, 20, 30, 255, 10, 20, 30, 0, 200, 0, 0, 128];
        assert_eq!(flatten(&image, [255; 3]), [10, 255, 227, 20, 255, 127, 30, 255, 127]);
        assert_eq!(flatten(&image, [0; 3]), [10, 0, 100, 20, 0, 0, 30, 0, 0]);
    }

    #[test]
    fn variants_have_one_motif() {
        let emoji = NOTO_EMOJI.motif;
        assert_eq!(["emoji_u1f468_1f3fe_200d_2640.png", "emoji_u1f468.png"].map(emoji), ["1f468"; 2]);
        let tile = DCSS_TILES.motif;
        assert_eq!(["dngn/floor/crypt11.png", "dngn/floor/crypt.png"].map(tile), ["dngn/floor/crypt"; 2]);
    }

    #[test]
    fn whole_motifs_fill_a_tenth() {
        let names: Vec<String> = (0..1000).map(|i| format!("dngn/{}_{i}.png", i / 7)).collect();
        let motifs: Vec<&str> = names.iter().map(|name| &name[..name.find('_').unwrap()]).collect();
        let held_out = tenth(&motifs);
        let count = held_out.iter().filter(|held| **held).count();
        // Motifs have seven pictures, so fewer than seven places are left over.
        assert!((94..=100).contains(&count), "{count}");
        assert!((1..1000).all(|i| motifs[i] != motifs[i - 1] || held_out[i] == held_out[i - 1]));
        assert_eq!(tenth(&motifs), held_out);
    }

    /// Writes 40 pictures of 2x2 pixels; picture i has grey 6 * i, and those with even numbers are of `mon`.
    fn write(dir: &Path) {
        let header = [0, 0, 8, 4, 0, 0, 0, 40, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 4];
        let pixels = (0..40u8).flat_map(|i| [[6 * i, 6 * i, 6 * i, 255]; 4]).flatten();
        let bytes: Vec<u8> = header.into_iter().chain(pixels).collect();
        let file = std::fs::File::create(dir.join("dcss-tiles-2x2-rgba.idx4-ubyte.gz")).unwrap();
        let mut encoder = GzEncoder::new(file, flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap();
        let names: String =
            (0..40).map(|i| format!("{}/{i}a.png", ["mon", "item"][i % 2])).collect::<Vec<_>>().join("\n");
        std::fs::write(dir.join("names.txt"), names).unwrap();
    }

    #[test]
    fn no_picture_is_on_both_sides() {
        let names: Vec<String> = (0..200).map(|i| format!("item/{i}a.png")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // Pictures i and i + 100 are the same.
        let pixels: Vec<u8> = (0..200u8).flat_map(|i| [i % 100, 0, 0, 255]).collect();
        let values = |split| {
            let part = DCSS_TILES.part(&names, &pixels, 1, split).unwrap();
            (0..part.len()).map(|i| part.images(&[i])[0].to_bits()).collect::<Vec<_>>()
        };
        let (train, test) = (values(Split::Train), values(Split::Test));
        assert_eq!(train.len(), 180);
        assert!(!test.is_empty() && test.len() < 20, "{}", test.len());
        assert!(test.iter().all(|value| !train.contains(value)));
    }

    #[test]
    fn groups_are_classes_and_wrong_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        let load = |size| Dataset::load(Source::DcssTiles, Some(dir.path()), Split::Train, size, 3);
        let train = load(2).unwrap();
        assert_eq!((train.len(), train.shape(), train.class_count()), (36, [3, 2, 2], Some(2)));
        assert_eq!((train.class_name(0), train.class_name(1)), (Some("item"), Some("mon")));
        let byte = |value: f32| ((value + 1.0) * 127.5).round() as u32;
        for i in 0..train.len() {
            let picture = byte(train.images(&[i])[0]) / 6;
            assert_eq!(train.label(i), Some(1 - picture % 2), "picture {picture}");
        }
        let error = |size| format!("{:#}", load(size).unwrap_err());
        assert!(error(4).contains("dcss-tiles-4x4-rgba.idx4-ubyte.gz does not exist"));
        let path = |size| dir.path().join(format!("dcss-tiles-{size}x{size}-rgba.idx4-ubyte.gz"));
        std::fs::copy(path(2), path(4)).unwrap();
        assert!(error(4).contains("images of 2x2, not of 4x4"), "{}", error(4));
        let whole = std::fs::read(path(2)).unwrap();
        std::fs::write(path(2), &whole[..whole.len() - 9]).unwrap();
        assert!(error(2).contains("2x2-rgba"), "{}", error(2));
        std::fs::write(path(2), &whole).unwrap();
        std::fs::write(dir.path().join("names.txt"), "one.png\n").unwrap();
        assert!(error(2).contains("names.txt has 1 lines for 40 images"), "{}", error(2));
    }

    #[test]
    fn the_published_files_are_read() {
        let data = std::env::var_os("POCKETGAN_DATA").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
            std::path::PathBuf::from,
        );
        for (source, size, count) in
            [(Source::NotoEmoji, 32, 3583), (Source::NotoEmoji, 64, 3583), (Source::DcssTiles, 32, 4192)]
        {
            let dir = data.join(source.to_string());
            if !dir.is_dir() {
                eprintln!("skipped: no data in {}", dir.display());
                continue;
            }
            let load = |split| Dataset::load(source, Some(&dir), split, size, 3).unwrap();
            let (train, test) = (load(Split::Train), load(Split::Test));
            assert_eq!(train.len(), count - count / 10);
            // Fewer than 1 in 50 of those held out are left out as copies.
            assert!(test.len() > count / 10 * 49 / 50 && test.len() <= count / 10, "{}", test.len());
            assert_eq!(train.class_count(), (source == Source::DcssTiles).then_some(8));
        }
    }
}
