//! Where training computes: on the processor, or on one or several GPUs.

use core::fmt;

use anyhow::{Result, bail, ensure};
use burn::tensor::Device;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;
use clap::ValueEnum as _;

/// A kind of device by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DeviceName {
    /// The processor, by burn-flex
    Cpu,
    /// NVIDIA GPUs, by their driver; compiled with the feature cuda
    Cuda,
    /// GPUs with Vulkan, Metal or Direct3D 12; compiled with the feature wgpu
    Wgpu,
}

/// Options that say where to compute.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DeviceArgs {
    /// Where to compute; without it on a GPU, where there is one that this program was compiled for
    #[arg(long, value_enum)]
    device: Option<DeviceName>,
    /// Numbers of several devices of this machine, each of which computes a part of every batch; on the processor, of threads
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    devices: Vec<usize>,
}

/// Devices, all of one kind.
pub struct Chosen {
    /// At least one, for inference.
    pub devices: Vec<Device>,
    name: DeviceName,
    reason: String,
}

impl DeviceArgs {
    /// The devices asked for, else the best that there is.
    ///
    /// # Errors
    /// When a device is named twice, or there is none of this kind and number, with what it lacks.
    pub fn open(&self) -> Result<Chosen> {
        for (i, number) in self.devices.iter().enumerate() {
            ensure!(!self.devices[..i].contains(number), "device {number} is named twice");
        }
        let (name, reason) = self.device.map_or_else(best, |name| (name, "as asked for".to_owned()));
        let numbers = if self.devices.is_empty() { &[0] } else { &self.devices[..] };
        let devices = numbers.iter().map(|&number| name.open(number)).collect::<Result<Vec<_>>>()?;
        Ok(Chosen { devices, name, reason })
    }

    /// The same on a command line, with a space before.
    pub fn to_text(&self) -> String {
        let device = self.device.and_then(|device| device.to_possible_value());
        let mut text = device.map_or_else(String::new, |device| format!(" --device {}", device.get_name()));
        if !self.devices.is_empty() {
            let numbers: Vec<String> = self.devices.iter().map(usize::to_string).collect();
            text += &format!(" --devices {}", numbers.join(","));
        }
        text
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.name {
            DeviceName::Cpu => "the processor",
            DeviceName::Cuda => "CUDA",
            DeviceName::Wgpu => "wgpu",
        };
        let count = self.devices.len();
        let parts = if count > 1 { format!(" in {count} parts") } else { String::new() };
        write!(f, "computing on {name}{parts}: {}", self.reason)?;
        if self.name != DeviceName::Cpu {
            // burn compiles and times what it knows for a layer when it first meets its shape.
            f.write_str("; the first step looks for the fastest kernels, minutes for new networks, and keeps what it found")?;
        }
        Ok(())
    }
}

/// Whether this is the processor, with gradients or without.
pub(crate) fn is_processor(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// The fastest kind that there is, and why it is.
fn best() -> (DeviceName, String) {
    let mut missing: Vec<String> = vec![];
    #[cfg(feature = "cuda")]
    {
        if !Device::enumerate(DeviceType::Cuda).into_vec().is_empty() {
            return (DeviceName::Cuda, "there is an NVIDIA GPU".to_owned());
        }
        missing.push("CUDA finds no GPU".to_owned());
    }
    #[cfg(feature = "wgpu")]
    {
        // A card on a bus: software that draws pretends to be a GPU and is slower than the processor.
        let is_card = |device: &Device| device.identity().is_some_and(|identity| identity.physical.is_some());
        if Device::enumerate(DeviceType::Wgpu).into_vec().iter().any(is_card) {
            return (DeviceName::Wgpu, "there is a GPU".to_owned());
        }
        missing.push("wgpu finds no GPU".to_owned());
    }
    if missing.is_empty() {
        missing.push("compiled without the features cuda and wgpu".to_owned());
    }
    (DeviceName::Cpu, missing.join("; "))
}

impl DeviceName {
    fn open(self, #[allow(unused_variables)] number: usize) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda => numbered(DeviceType::Cuda, number),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => numbered(DeviceType::Wgpu, number),
            #[allow(unreachable_patterns)]
            Self::Cuda | Self::Wgpu => {
                let name = self.to_possible_value().expect("no device is hidden");
                let feature = name.get_name();
                bail!(
                    "this program is compiled without {feature}; add `-p pocketgan-trainer --features {feature}` to \
                     `cargo run --release`"
                )
            }
        }
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn numbered(kind: DeviceType, number: usize) -> Result<Device> {
    let devices = Device::enumerate(kind.clone()).into_vec();
    let count = devices.len();
    let device = devices.into_iter().nth(number);
    anyhow::Context::with_context(device, || {
        format!("{kind:?} finds {count} GPUs, and none of number {number}")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: DeviceArgs,
    }

    fn parse(line: &str) -> DeviceArgs {
        Command::try_parse_from(core::iter::once("train").chain(line.split_whitespace())).unwrap().args
    }

    #[test]
    fn the_processor_is_always_there() {
        let chosen = parse("--device cpu --devices 0,3").open().unwrap();
        assert_eq!(chosen.devices, vec![Device::flex(); 2]);
        assert_eq!(chosen.to_string(), "computing on the processor in 2 parts: as asked for");
        assert_eq!(parse("--device cpu --devices 0,3").to_text(), " --device cpu --devices 0,3");
        assert_eq!(parse("").to_text(), "");
    }

    #[test]
    fn the_choice_comes_with_a_reason() {
        let chosen = parse("").open().unwrap();
        assert_eq!(chosen.devices.len(), 1);
        assert!(!chosen.reason.is_empty());
        if cfg!(not(any(feature = "cuda", feature = "wgpu"))) {
            assert_eq!(chosen.devices, [Device::flex()]);
        }
    }

    #[test]
    fn what_is_not_compiled_in_says_how_to_get_it() {
        for (feature, is_compiled) in [("cuda", cfg!(feature = "cuda")), ("wgpu", cfg!(feature = "wgpu"))] {
            if !is_compiled {
                let error = parse(&format!("--device {feature}")).open().err().unwrap().to_string();
                assert!(error.contains(&format!("--features {feature}")), "{error}");
            }
        }
    }

    #[test]
    fn a_device_cannot_be_two_parts() {
        assert!(parse("--devices 1,1").open().is_err());
    }
}
