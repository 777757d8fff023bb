//! The whole terminal for one run, from [`Screen::open`] until it is closed or dropped, or the program panics.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{BufWriter, IsTerminal as _, Stderr, stderr};
use std::path::Path;
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

use super::dashboard::{Dashboard, Samples};
use crate::cli::interrupt;
use crate::cli::note::is_quiet;
use crate::config::Config;
use crate::training::watch::History;
use crate::training::{Losses, Trainer};

/// Whether a full screen can be opened.
///
/// # Errors
/// When it cannot, with the reason.
pub fn ensure_possible() -> Result<()> {
    ensure!(!is_quiet(), "--tui shows progress, and --quiet none: choose one");
    ensure!(stderr().is_terminal(), "--tui needs a terminal, and stderr is none");
    Ok(())
}

/// A full screen on stderr; stdout stays free for results.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
    dashboard: Dashboard,
    last_drawn: Option<Instant>,
    keys: Option<Keys>,
    /// Pixels from one image of a sample grid to the next.
    pitch: u32,
}

/// Often enough for eyes, and next to nothing beside training.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Points of a curve: two for each of as many columns as a wide terminal has.
const POINTS: usize = 300;

impl Screen {
    pub(super) fn open(config: &Config) -> Result<Self> {
        ensure_possible()?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stderr())))
            .context("asking the terminal for its size")?;
        static LEAVE_ON_PANIC: Once = Once::new();
        LEAVE_ON_PANIC.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                leave();
                report(info);
            }));
        });
        enter().context("taking the whole terminal")?;
        let dashboard = Dashboard {
            steps: config.training.steps,
            evaluates: config.watch.eval_every > 0,
            ..Dashboard::default()
        };
        let pitch = config.network.size as u32 + 1;
        Ok(Self { terminal, dashboard, last_drawn: None, keys: Some(Keys::listen()), pitch })
    }

    pub(super) fn update(
        &mut self,
        trainer: &Trainer,
        images_per_second: f64,
        seconds_left: f64,
    ) -> Result<()> {
        if self.last_drawn.is_some_and(|last| last.elapsed() < DRAW_EVERY) {
            return Ok(());
        }
        let dashboard = &mut self.dashboard;
        dashboard.step = trainer.step_count();
        dashboard.images_per_second = images_per_second;
        dashboard.seconds_left = seconds_left;
        dashboard.discriminator = means(trainer.losses(), |losses| losses.discriminator);
        dashboard.generator = means(trainer.losses(), |losses| losses.generator);
        self.terminal.draw(|frame| self.dashboard.draw(frame)).context("drawing on the terminal")?;
        self.last_drawn = Some(Instant::now());
        Ok(())
    }

    pub(super) fn evaluated(&mut self, history: &History) {
        let dashboard = &mut self.dashboard;
        dashboard.metric.clone_from(&history.metric);
        dashboard.evaluations =
            history.evaluations.iter().map(|e| (e.step as f64, f64::from(e.value))).collect();
        dashboard.best = history.best().map(|best| (best.step, best.value));
    }

    pub(super) fn sampled(&mut self, path: &Path, step: usize) -> Result<()> {
        let grid = image::open(path).with_context(|| format!("reading {}", path.display()))?.into_rgb8();
        self.dashboard.samples = Some(Samples { step, grid, pitch: self.pitch });
        Ok(())
    }

    pub(super) fn warn(&mut self, text: String) {
        self.dashboard.warnings.push(text);
    }

    /// Gives the terminal back; returns the warnings, which vanish with it.
    pub(super) fn close(mut self) -> Vec<String> {
        core::mem::take(&mut self.dashboard.warnings)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // First, so that no key is taken from what follows.
        self.keys = None;
        leave();
    }
}

/// Reads keys while a step takes long.
struct Keys {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keys {
    fn listen() -> Self {
        const WAIT: Duration = Duration::from_millis(50);
        let is_over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                match event::poll(WAIT).and_then(|is_there| is_there.then(event::read).transpose()) {
                    Ok(Some(Event::Key(key))) if is_end(key) => interrupt::raise(leave),
                    Ok(_) => {}
                    // Without keys there are still signals.
                    Err(_) => return,
                }
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing to say that its panic did not.
            let _ = thread.join();
        }
    }
}

/// Whether a key asks for the end of the run.
fn is_end(key: KeyEvent) -> bool {
    let is_control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (is_control_c || key.code == KeyCode::Char('q'))
}

/// Means of equal stretches of steps, over their middle; losses that are not finite are left out.
fn means(losses: &[Losses], of: fn(&Losses) -> f32) -> Vec<(f64, f64)> {
    let stretch = losses.len().div_ceil(POINTS).max(1);
    let mean = |(i, chunk): (usize, &[Losses])| {
        let finite = || chunk.iter().map(of).map(f64::from).filter(|loss| loss.is_finite());
        let count = finite().count();
        let middle = (i * stretch) as f64 + (chunk.len() + 1) as f64 / 2.0;
        (count > 0).then(|| (middle, finite().sum::<f64>() / count as f64))
    };
    losses.chunks(stretch).enumerate().filter_map(mean).collect()
}

/// Whether the terminal is ours.
static IS_ENTERED: AtomicBool = AtomicBool::new(false);

fn enter() -> std::io::Result<()> {
    IS_ENTERED.store(true, Ordering::SeqCst);
    enable_raw_mode()
        .and_then(|()| execute!(stderr(), EnterAlternateScreen, Clear(ClearType::All)))
        .inspect_err(|_| leave())
}

/// Makes the terminal what it was, once.
fn leave() {
    if IS_ENTERED.swap(false, Ordering::SeqCst) {
        // Nothing is left to be done about a terminal that refuses.
        let _ = execute!(stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_means_and_gaps_stay() {
        let loss = |discriminator: f32| Losses { discriminator, generator: 0.0 };
        let losses: Vec<_> = (1..=2 * POINTS).map(|step| loss(step as f32)).collect();
        let points = means(&losses, |losses| losses.discriminator);
        assert_eq!(
            (points.len(), points[0], points[POINTS - 1].0),
            (POINTS, (1.5, 1.5), 2.0 * POINTS as f64 - 0.5)
        );
        let gap = [loss(1.0), loss(f32::NAN), loss(f32::INFINITY), loss(4.0)];
        assert_eq!(means(&gap, |losses| losses.discriminator), [(1.0, 1.0), (4.0, 4.0)]);
        assert!(means(&[], |losses| losses.generator).is_empty());
    }

    #[test]
    fn q_and_control_c_end() {
        let key = |code, modifiers| KeyEvent::new(KeyCode::Char(code), modifiers);
        assert!(is_end(key('q', KeyModifiers::NONE)) && is_end(key('c', KeyModifiers::CONTROL)));
        assert!(!is_end(key('c', KeyModifiers::NONE)) && !is_end(key('x', KeyModifiers::CONTROL)));
        let release = KeyEvent { kind: KeyEventKind::Release, ..key('q', KeyModifiers::NONE) };
        assert!(!is_end(release));
    }
}
