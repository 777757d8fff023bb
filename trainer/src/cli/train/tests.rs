use clap::{CommandFactory, Parser};

use super::*;
use crate::objective::{LeastSquares, Objective};
use crate::regularizer::PenaltyPoints;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &[&str]) -> Result<Args> {
    Ok(Line::try_parse_from(["train"].iter().chain(line))?.args)
}

fn config(line: &[&str]) -> Result<Config> {
    let mut config = Config::default();
    args(line)?.apply(&mut config)?;
    Ok(config)
}

#[test]
fn the_method_comes_first_and_single_keys_last() -> Result<()> {
    let config = config(&[
        "--lr-d",
        "0.5",
        "--method",
        "wgan-gp",
        "--set",
        "training.beta_1=0.25",
        "--set",
        "seed=3",
    ])?;
    assert_eq!(config.objective.name(), "wasserstein");
    let training = &config.training;
    assert_eq!((training.lr_d, training.lr_g, training.discriminator_steps), (0.5, 1e-4, 5));
    assert_eq!((training.beta_1, config.seed), (0.25, 3));
    let penalty = config.regularizer.gradient_penalty;
    assert_eq!(penalty.map(|penalty| penalty.at), Some(PenaltyPoints::Interpolates));
    Ok(())
}

#[test]
fn a_method_knows_the_length_of_the_run() -> Result<()> {
    let config = config(&["--method", "instance-noise", "--steps", "80"])?;
    assert_eq!(config.regularizer.instance_noise_steps, 40);
    Ok(())
}

#[test]
fn codes_belong_to_least_squares() -> Result<()> {
    let codes = Objective::LeastSquares(LeastSquares { a: -1.0, b: 1.0, c: 0.0 });
    assert_eq!(config(&["--codes", "-1,1,0"])?.objective, codes);
    assert_eq!(config(&["--codes=-1,1,0", "--objective", "least-squares"])?.objective, codes);
    let more = config(&["--codes", "-1,1,0", "--steps", "7"])?;
    assert_eq!((more.objective, more.training.steps), (codes, 7));
    let error = config(&["--codes", "0,1,1", "--method", "hinge"]).unwrap_err().to_string();
    assert!(error.contains("the objective is hinge"), "{error}");
    Ok(())
}

#[test]
fn what_does_not_exist_is_an_error() {
    for line in [
        &["--method", "lsgan"][..],
        &["--objective", "lsgan"],
        &["--set", "lr=1"],
        &["--set", "training.batch_size=1"],
        &["--method", "hinge", "--resume"],
        &["--codes", "0,1"],
        &["--codes", "0,1,inf"],
        &["--patience", "3"],
        &["--on-collapse", "panic"],
    ] {
        assert!(config(line).is_err(), "{line:?}");
    }
}

#[test]
fn methods_are_a_table() {
    let table = method_table();
    assert_eq!(table.lines().count(), METHODS.len());
    let places: Vec<_> = table.lines().zip(METHODS).map(|(line, m)| line.find(m.source)).collect();
    assert!(places.iter().all(|place| place.is_some() && *place == places[0]), "{table}");
}

#[test]
fn help_is_in_groups() {
    let help = Line::command().render_help().to_string();
    let places =
        ["Options:", "Data:", "Method:", "Networks:", "Training:", "When to stop:"].map(|h| help.find(h));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{help}");
}

/// Trains in `dir/out` on a dozen pictures, which lie in `dir`.
fn train(dir: &Path, out: &str, more: &[&str]) -> Result<()> {
    let pictures = dir.join("pictures");
    std::fs::create_dir_all(&pictures)?;
    for i in 0..12u8 {
        let picture =
            image::GrayImage::from_fn(28, 28, |x, y| image::Luma([(x as u8 ^ y as u8).wrapping_mul(i)]));
        picture.save(pictures.join(format!("{i}.png")))?;
    }
    let (out, pictures) = (dir.join(out).display().to_string(), pictures.display().to_string());
    let line = [
        &["--out", &out, "--dataset", "folder", "--data-dir", &pictures][..],
        &["--set", "network.architecture=mlp", "--width", "4", "--batch-size", "4", "--latent-dim", "2"],
        &["--set", "network.generator_norm=false"],
        more,
    ];
    run(args(&line.concat())?)
}

/// Everything on disk: stopped by patience, the best kept, resumed to the same.
#[test]
fn a_run_keeps_its_best_and_stops() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let train = |out: &str, more: &[&str]| {
        let watched = ["--lr-g", "0", "--eval-every", "2", "--eval-samples", "12", "--patience", "3"];
        train(dir.path(), out, &[&watched, more].concat())
    };
    // A generator that stands still is never better than at first.
    train("whole", &["--steps", "50"])?;
    let whole = checkpoint::load(&dir.path().join("whole"))?;
    assert_eq!(whole.step_count(), 8);
    let best = checkpoint::load(&dir.path().join("whole").join(checkpoint::BEST_NAME))?;
    assert_eq!((best.step_count(), best.history.evaluations.len()), (2, 1));
    // Whoever takes a checkpoint takes this one.
    assert_eq!(best.ema_generator(&burn::tensor::Device::flex())?.latent_dim(), 2);
    let csv = std::fs::read_to_string(dir.path().join("whole/evaluations.csv"))?;
    assert!(csv.starts_with("step,metric,value\n2,kid pixels 7x7 on ") && csv.lines().count() == 5, "{csv}");

    train("half", &["--steps", "5"])?;
    train("half", &["--steps", "50", "--resume"])?;
    assert_eq!(checkpoint::load(&dir.path().join("half"))?.to_bytes(), whole.to_bytes());
    train("half", &["--steps", "50", "--resume"])?;
    assert_eq!(checkpoint::load(&dir.path().join("half"))?.to_bytes(), whole.to_bytes());
    assert!(train("half", &["--steps", "50"]).is_err(), "it exists");
    Ok(())
}

/// Whatever happens to the newest checkpoint, the run ends with the bits of one that was left alone.
#[test]
fn a_damaged_checkpoint_loses_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let train = |more: &[&str]| {
        train(dir.path(), "run", &[&["--steps", "6", "--set", "training.checkpoint_every=2"], more].concat())
    };
    train(&[])?;
    let [newest, previous] =
        [checkpoint::FILE_NAME, checkpoint::PREVIOUS_NAME].map(|name| dir.path().join("run").join(name));
    let whole = std::fs::read(&newest)?;
    let before = std::fs::read(&previous)?;
    assert_eq!(checkpoint::load(&previous)?.step_count(), 4);
    let places = [0, 7, 8, 16, 900, whole.len() / 3, whole.len() / 2, whole.len() - 33, whole.len() - 1];
    let flipped = places.map(|at| {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        damaged
    });
    for (i, damaged) in places.iter().map(|&len| whole[..len].to_vec()).chain(flipped).enumerate() {
        std::fs::write(&newest, &damaged)?;
        // Others say so; what they make should be made of what was asked for.
        let error = format!("{:#}", checkpoint::load(&dir.path().join("run")).unwrap_err());
        assert!(error.contains(checkpoint::PREVIOUS_NAME), "{error}");
        train(&["--resume"])?;
        assert!(std::fs::read(&newest)? == whole && std::fs::read(&previous)? == before, "damage {i}");
    }
    std::fs::remove_file(&newest)?;
    assert!(train(&[]).unwrap_err().to_string().contains("go on with --resume"));
    train(&["--resume"])?;
    assert!(std::fs::read(&newest)? == whole);
    Ok(())
}

/// While one run has the folder, another changes nothing in it.
#[test]
fn a_folder_in_use_is_left_alone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let run_dir = dir.path().join("run");
    train(dir.path(), "run", &["--steps", "2"])?;
    let files = || -> Result<Vec<_>> {
        let mut files = vec![];
        for entry in std::fs::read_dir(&run_dir)? {
            let entry = entry?;
            files.push((entry.path(), entry.metadata()?.modified()?, std::fs::read(entry.path()).ok()));
        }
        files.sort();
        Ok(files)
    };
    let lock = Lock::take(&run_dir)?;
    let before = files()?;
    for more in [&["--steps", "4", "--resume"][..], &["--steps", "4"]] {
        let error = train(dir.path(), "run", more).unwrap_err().to_string();
        assert!(error.contains("in use by another run"), "{error}");
        assert_eq!(files()?, before);
    }
    drop(lock);
    train(dir.path(), "run", &["--steps", "4", "--resume"])?;
    assert_eq!(checkpoint::load(&run_dir)?.step_count(), 4);
    Ok(())
}

/// Options of a run that was left before its first checkpoint are those in its folder.
#[test]
fn a_run_without_a_checkpoint_starts_as_it_was_meant() -> Result<()> {
    let dir = tempfile::tempdir()?;
    train(dir.path(), "run", &["--method", "hinge", "--steps", "2", "--seed", "5"])?;
    let run_dir = dir.path().join("run");
    let newest = run_dir.join(checkpoint::FILE_NAME);
    let whole = std::fs::read(&newest)?;
    std::fs::remove_file(&newest)?;
    run(args(&["--resume", "--out", &run_dir.display().to_string()])?)?;
    assert!(std::fs::read(&newest)? == whole);
    Ok(())
}

/// Points are no pictures, but have some.
#[test]
fn points_are_drawn_over_the_data() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let [run_dir, picture] = ["run", "points.png"].map(|name| dir.path().join(name));
    let line = "--dataset ring --size 1 --channels 2 --set network.architecture=mlp --discriminator-norm none \
        --width 4 --latent-dim 2 --batch-size 4 --steps 2";
    let out = run_dir.display().to_string();
    run(args(&[&["--out", &out][..], &line.split_whitespace().collect::<Vec<_>>()].concat())?)?;
    let grids: Vec<_> = std::fs::read_dir(run_dir.join("samples"))?.collect();
    assert_eq!(grids.len(), 1);
    sample(&[&out, "--out", &picture.display().to_string()])?;
    assert_eq!(image::image_dimensions(&picture)?, (320, 320));
    Ok(())
}

/// A checkpoint is asked for classes as its file would be.
#[test]
fn a_checkpoint_draws_the_class_that_was_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut config = Config::default();
    (config.network.width, config.network.latent_dim, config.network.classes) = (2, 2, 3);
    let checkpoint = dir.path().join("checkpoint.bin");
    Trainer::new(&config)?.checkpoint().save(&checkpoint)?;
    let draw = |more: &[&str]| -> Result<Vec<u8>> {
        let out = dir.path().join("samples.png");
        let paths = [checkpoint.display().to_string(), out.display().to_string()];
        sample(&[&[&paths[0], "--out", &paths[1], "--count", "3", "--columns", "3"], more].concat())?;
        Ok(image::open(&out)?.into_luma8().into_raw())
    };
    assert_eq!(draw(&["--label", "1"])?, draw(&["--label", "1"])?);
    assert_ne!(draw(&["--label", "1"])?, draw(&["--label", "2"])?);
    assert!(draw(&["--input", "no-such.png"]).is_err(), "it reads no picture");
    Ok(())
}

fn sample(line: &[&str]) -> Result<()> {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: crate::cli::sample::Args,
    }
    crate::cli::sample::run(Command::try_parse_from(["sample"].iter().chain(line))?.args)
}

/// What somebody wrote is neither taken for the defaults nor lost.
#[test]
fn a_configuration_in_the_folder_is_no_default() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let run_dir = dir.path().join("run");
    std::fs::create_dir(&run_dir)?;
    let notes = "# my notes\nseed = 77\n[training]\nsteps = 1\nbatch_size = 4\n[network]\nwidth = 1\nlatent_dim = 2\n";
    let path = run_dir.join(CONFIG_NAME);
    std::fs::write(&path, notes)?;
    let (out, file) = (run_dir.display().to_string(), path.display().to_string());
    let error = run(args(&["--out", &out])?).unwrap_err().to_string();
    assert!(error.contains("says otherwise") && error.contains("--config"), "{error}");
    assert_eq!(std::fs::read_to_string(&path)?, notes);
    run(args(&["--config", &file, "--out", &out])?)?;
    assert_eq!(std::fs::read_to_string(&path)?, notes);
    assert_eq!(checkpoint::load(&run_dir)?.config.seed, 77);
    Ok(())
}

/// All that happens in a run is in its event files, once, resumed or not.
#[test]
fn event_files_go_on() -> Result<()> {
    use crate::report::tensorboard::tests::{Seen, read};

    let dir = tempfile::tempdir()?;
    let watched = ["--tensorboard", "--eval-every", "10", "--eval-samples", "12", "--sample-every", "10"];
    let train = |more: &[&str]| train(dir.path(), "run", &[&watched, more].concat());
    train(&["--steps", "25"])?;
    train(&["--steps", "40", "--resume"])?;
    let run_dir = dir.path().join("run");
    let seen = read(&run_dir.join(events::FOLDER));
    let run = checkpoint::load(&run_dir)?;

    let scalars = |tag: &str| -> Vec<(u64, f32)> {
        let of_tag = |(step, seen): &(u64, Seen)| match seen {
            Seen::Scalar(its, value) if its == tag => Some((*step, *value)),
            _ => None,
        };
        seen.iter().filter_map(of_tag).collect()
    };
    let mean = |end: usize| {
        let window = &run.losses[end - 10..end];
        (end as u64, window.iter().map(|losses| losses.generator).sum::<f32>() / 10.0)
    };
    assert_eq!(scalars("loss/generator"), [10, 20, 30, 40].map(mean));
    assert_eq!(scalars("loss/discriminator").len(), 4);
    let evaluations: Vec<_> =
        run.history.evaluations.iter().map(|evaluation| (evaluation.step as u64, evaluation.value)).collect();
    assert_eq!(scalars("evaluation/kid"), evaluations);
    assert!(scalars("images_per_second").iter().all(|(_, speed)| *speed > 0.0));
    assert!(seen.contains(&(26, Seen::Restart)), "{seen:?}");
    // The last step has samples whatever its number.
    for step in [10, 20, 25, 30, 40] {
        let grid = std::fs::read(run_dir.join(format!("samples/step-{step:06}.png")))?;
        assert!(seen.contains(&(step, Seen::Picture("samples".into(), [289, 289, 1], grid))), "{step}");
    }
    Ok(())
}

/// After every checkpoint, also of a run that goes on.
#[test]
fn the_page_of_a_run_says_where_it_stands() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let watched = ["--eval-every", "10", "--eval-samples", "12", "--sample-every", "10"];
    let page = |more: &[&str]| -> Result<String> {
        train(dir.path(), "run", &[&watched, more].concat())?;
        Ok(std::fs::read_to_string(dir.path().join("run").join(page::FILE_NAME))?)
    };
    let first = page(&["--steps", "10"])?;
    assert!(first.contains("run: step 10 of 10"), "{first}");
    assert_eq!((first.matches("<img ").count(), first.matches("<svg ").count()), (1, 2));
    let last = page(&["--steps", "30", "--resume"])?;
    assert!(last.contains("run: step 30 of 30") && last.contains("Best evaluation"), "{last}");
    let captions = ["Step 10", "Step 20", "Step 30"].map(|caption| last.contains(caption));
    assert_eq!(captions, [true, false, true]);
    // The one address is the name of the SVG language.
    assert_eq!(last.matches("http").count(), last.matches("xmlns=\"http://www.w3.org/2000/svg\"").count());
    Ok(())
}
