//! Firmware for the nRF52840 development kit: a model in flash, a static arena, pictures on an SSD1306.

#![no_std]
#![no_main]

mod oled;

use boards_common::{Clock, SEEDS, exhibit, kernels, run};
use cortex_m::singleton;
use cortex_m_rt::entry;
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::twim::{self, Frequency, Twim};
use embassy_nrf::{bind_interrupts, peripherals};
use embassy_time::{Duration, Instant, block_for};
use oled::Oled;
use panic_halt as _;
use pocketgan_runtime::include_model;

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

bind_interrupts!(struct Interrupts {
    TWISPI0 => twim::InterruptHandler<peripherals::TWISPI0>;
});

#[entry]
fn main() -> ! {
    let pins = embassy_nrf::init(embassy_nrf::config::Config::default());
    // The kit's lights shine when they are low.
    let mut light = Output::new(pins.P0_13, Level::High, OutputDrive::Standard);
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]);
    let buffer = singleton!(: [u8; 64] = [0; 64]);
    // An entry runs once, so that both are there.
    let (arena, buffer) =
        (arena.map_or(&mut [][..], |arena| arena), buffer.map_or(&mut [][..], |buffer| buffer));

    let mut config = twim::Config::default();
    config.frequency = Frequency::K400;
    let bus = Twim::new(pins.TWISPI0, Interrupts, pins.P0_26, pins.P0_27, config, buffer);
    let Ok(mut display) = Oled::start(bus) else { stop() };

    let (fast, exact) = kernels::<NESTS>();
    // The light says that this board computes what every other does.
    let report = run(MODEL, &mut Uptime, &mut display, arena, fast, exact);
    if report.is_ok_and(|report| report.exact.holds()) {
        light.set_low();
    }
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
