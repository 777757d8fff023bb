//! Firmware for the Raspberry Pi Pico 2: a model in flash, a static arena, pictures on an ST7789.

#![no_std]
#![no_main]

use boards_common::{Clock, SEEDS, Screen, exhibit, kernels, run};
use cortex_m::singleton;
use cortex_m_rt::entry;
use embassy_rp::gpio::{Level, Output};
use embassy_rp::spi::{Config, Spi};
use embassy_time::{Delay, Duration, Instant, block_for};
use embedded_hal_bus::spi::ExclusiveDevice;
use mipidsi::Builder;
use mipidsi::interface::SpiInterface;
use mipidsi::models::ST7789;
use mipidsi::options::ColorInversion;
use panic_halt as _;
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

#[entry]
fn main() -> ! {
    let pins = embassy_rp::init(embassy_rp::config::Config::default());
    let mut light = Output::new(pins.PIN_25, Level::Low);
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]);
    let buffer = singleton!(: [u8; 512] = [0; 512]);
    // An entry runs once, so that both are there.
    let (arena, buffer) =
        (arena.map_or(&mut [][..], |arena| arena), buffer.map_or(&mut [][..], |buffer| buffer));

    let mut config = Config::default();
    config.frequency = SPI_HZ;
    let spi = Spi::new_blocking_txonly(pins.SPI0, pins.PIN_18, pins.PIN_19, config);
    let Ok(device) = ExclusiveDevice::new_no_delay(spi, Output::new(pins.PIN_17, Level::High));
    let interface = SpiInterface::new(device, Output::new(pins.PIN_20, Level::Low), buffer);
    let display = Builder::new(ST7789, interface)
        .reset_pin(Output::new(pins.PIN_21, Level::High))
        .display_size(240, 240)
        .invert_colors(ColorInversion::Inverted)
        .init(&mut Delay);
    let Ok(display) = display else { stop() };
    let Ok(mut display) = Screen::new(display, 1) else { stop() };

    let (fast, exact) = kernels::<NESTS>();
    // The light says that this board computes what every other does.
    let report = run(MODEL, &mut Uptime, &mut display, arena, fast, exact);
    light.set_level(report.is_ok_and(|report| report.exact.holds()).into());
    let _ = exhibit(MODEL, &mut display, arena, fast, SEEDS.end.., || block_for(PAUSE));
    stop()
}

/// Nobody could be told why.
fn stop() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}

/// The chip's timer.
struct Uptime;

impl Clock for Uptime {
    fn now_us(&mut self) -> u64 {
        Instant::now().as_micros()
    }
}

const PAUSE: Duration = Duration::from_secs(1);
const SPI_HZ: u32 = 32_000_000;
