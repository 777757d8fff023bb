//! Firmware for the ESP32-C6 development kit: a model in flash, a static arena, pictures on an ST7789.

#![no_std]
#![no_main]

use boards_common::{Clock, SEEDS, Screen, exhibit, kernels, run};
use embedded_hal_bus::spi::ExclusiveDevice;
use esp_hal::delay::Delay;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::main;
use esp_hal::spi::master::{Config, Spi};
use esp_hal::time::{Instant, Rate};
use mipidsi::Builder;
use mipidsi::interface::SpiInterface;
use mipidsi::models::ST7789;
use mipidsi::options::ColorInversion;
use panic_halt as _;
use pocketgan_runtime::include_model;

esp_bootloader_esp_idf::esp_app_desc!();

include!(concat!(env!("OUT_DIR"), "/arena.rs"));

static MODEL: &[u8] = include_model!(concat!(env!("OUT_DIR"), "/model.pgan"));

static mut ARENA: [f32; ARENA_LEN] = [0.0; ARENA_LEN];

#[main]
fn main() -> ! {
    let pins = esp_hal::init(esp_hal::Config::default());
    let arena = &raw mut ARENA;
    // SAFETY: nothing else names the arena, and this function runs once.
    let arena = unsafe { &mut *arena };

    let config = Config::default().with_frequency(Rate::from_mhz(40));
    let Ok(spi) = Spi::new(pins.SPI2, config) else { stop() };
    let spi = spi.with_sck(pins.GPIO6).with_mosi(pins.GPIO7);
    let chip_select = Output::new(pins.GPIO18, Level::High, OutputConfig::default());
    let Ok(device) = ExclusiveDevice::new_no_delay(spi, chip_select);
    let mut buffer = [0; 512];
    let data_command = Output::new(pins.GPIO19, Level::Low, OutputConfig::default());
    let reset = Output::new(pins.GPIO20, Level::High, OutputConfig::default());
    let display = Builder::new(ST7789, SpiInterface::new(device, data_command, &mut buffer))
        .reset_pin(reset)
        .display_size(240, 240)
        .invert_colors(ColorInversion::Inverted)
        .init(&mut Delay::new());
    let Ok(display) = display else { stop() };
    let Ok(mut display) = Screen::new(display, 1) else { stop() };

    let (fast, exact) = kernels::<NESTS>();
    // What is drawn is all that this board says.
    let _ = run(MODEL, &mut Uptime, &mut display, arena, fast, exact);
    let _ = exhibit(MODEL, &mut display, arena, fast, SEEDS.end.., || Delay::new().delay_millis(PAUSE_MS));
    stop()
}

/// Nobody could be told why.
fn stop() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The chip's timer.
struct Uptime;

impl Clock for Uptime {
    fn now_us(&mut self) -> u64 {
        Instant::now().duration_since_epoch().as_micros()
    }
}

const PAUSE_MS: u32 = 1000;
