//! The machine in words, as every table of numbers must name it.

use std::fs;
use std::path::Path;
use std::thread;

use crate::process::Invocation;

/// "AMD EPYC, 2 cores, 7.7 GiB, linux x86_64".
pub(crate) fn words() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor = field(&read("/proc/cpuinfo"), "model name");
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let mut words = format!(
        "{}, {cores} cores",
        processor.unwrap_or_else(|| "a processor without a name".to_owned())
    );
    let kilobytes = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|size| size.split_whitespace().next()?.parse::<f64>().ok());
    if let Some(kilobytes) = kilobytes {
        words.push_str(&format!(", {:.1} GiB", kilobytes / 1024.0 / 1024.0));
    }
    words.push_str(&format!(
        ", {} {}",
        std::env::consts::OS,
        std::env::consts::ARCH
    ));
    words
}

/// The widest vector registers of this processor that `resnet-blocks` has loops for, asked as it asks.
pub(crate) fn registers() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let fused = is_x86_feature_detected!("fma");
        if fused && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            return "512 bits (AVX-512)";
        }
        if fused && is_x86_feature_detected!("avx2") {
            return "256 bits (AVX2)";
        }
    }
    "portable"
}

/// "rustc 1.95.0 (…)" and the flags that were set from outside.
pub(crate) fn compiler(root: &Path) -> String {
    let version = Invocation::new("rustc", root).args(["--version"]).capture();
    let mut words = version.map_or("rustc".to_owned(), |text| text.trim().to_owned());
    if let Ok(flags) = std::env::var("RUSTFLAGS") {
        words.push_str(&format!(", RUSTFLAGS={flags}"));
    }
    words
}
