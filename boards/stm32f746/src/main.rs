//! Firmware for the STM32F746 Discovery: a model in flash, a static arena, pictures on an ST7789.

#![no_std]
#![no_main]

use boards_common::{Clock, SEEDS, Screen, exhibit, kernels, run};
use cortex_m::singleton;
use cortex_m_rt::entry;
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::rcc::{APBPrescaler, Pll, PllMul, PllPDiv, PllPreDiv, PllSource, Sysclk};
use embassy_stm32::spi::Spi;
use embassy_stm32::time::Hertz;
use embassy_stm32::{Config, spi};
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
    let pins = embassy_stm32::init(clocks());
    let arena = singleton!(: [f32; ARENA_LEN] = [0.0; ARENA_LEN]);
    let buffer = singleton!(: [u8; 512] = [0; 512]);
    // An entry runs once, so that both are there.
    let (arena, buffer) =
        (arena.map_or(&mut [][..], |arena| arena), buffer.map_or(&mut [][..], |buffer| buffer));

    let mut config = spi::Config::default();
    config.frequency = SPI;
    let bus = Spi::new_blocking_txonly(pins.SPI2, pins.PI1, pins.PB15, config);
    let Ok(device) = ExclusiveDevice::new_no_delay(bus, Output::new(pins.PA8, Level::High, Speed::High));
    let interface = SpiInterface::new(device, Output::new(pins.PA15, Level::Low, Speed::High), buffer);
    let display = Builder::new(ST7789, interface)
        .reset_pin(Output::new(pins.PI2, Level::High, Speed::Low))
        .display_size(240, 240)
        .invert_colors(ColorInversion::Inverted)
        .init(&mut Delay);
    let Ok(display) = display else { stop() };
    let Ok(mut display) = Screen::new(display, 1) else { stop() };

    let (fast, exact) = kernels::<NESTS>();
    // What is drawn is all that this board says: its light shares a pin with the display.
    let _ = run(MODEL, &mut Uptime, &mut display, arena, fast, exact);
    let _ = exhibit(MODEL, &mut display, arena, fast, SEEDS.end.., || block_for(PAUSE));
    stop()
}

/// 216 MHz, the most that the chip takes, of the 16 MHz that it has by itself.
fn clocks() -> Config {
    let mut config = Config::default();
    config.rcc.pll_src = PllSource::HSI;
    config.rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV8,
        mul: PllMul::MUL216,
        divp: Some(PllPDiv::DIV2),
        divq: None,
        divr: None,
    });
    config.rcc.apb1_pre = APBPrescaler::DIV4;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config.rcc.sys = Sysclk::PLL1_P;
    config
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
const SPI: Hertz = Hertz(27_000_000);
