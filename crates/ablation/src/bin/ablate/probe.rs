//! `ablate probe`: what a trained network's gradients and skips say.

use std::path::PathBuf;

use ablation::{Error, map::Units};
use clap::{Args, ValueEnum};

use crate::run::Device;

/// Arguments of `probe`.
#[derive(Args)]
pub(crate) struct Probe {
    /// A network or pipeline folder of diffusers, or a cell of a study
    /// (runs/NAME/cells/ID)
    #[arg(long, value_name = "DIR", visible_alias = "cell")]
    model: PathBuf,
    /// A folder of images, or the name of a set that `cargo xtask data` brings
    /// [default: the distribution that a cell learned; else samples that the
    /// model draws itself, on which its mistakes about data do not show]
    #[arg(long, value_name = "DIR_OR_NAME")]
    data: Option<String>,
    /// A folder or file of a scheduler, or a class of diffusers with its
    /// defaults [default: the model's own]
    #[arg(long, value_name = "DIR_OR_NAME")]
    scheduler: Option<String>,
    /// Inference steps, whose noise levels are chosen from
    #[arg(long, value_name = "N", default_value_t = 50)]
    steps: usize,
    /// Inference steps of the samples that the model draws itself without --data
    #[arg(long, value_name = "N", default_value_t = 20)]
    sample_steps: usize,
    /// Noise levels
    #[arg(long, value_name = "N", default_value_t = 5)]
    levels: usize,
    /// What a row of the map is
    #[arg(long, value_enum, value_name = "U", default_value_t = Row::Blocks)]
    units: Row,
    /// Micro-batches, each with a gradient of its own [default: as many as the
    /// test needs, at least 16]
    #[arg(long, value_name = "N")]
    micro_batches: Option<usize>,
    /// Examples of a micro-batch
    #[arg(long, value_name = "N", default_value_t = 4)]
    micro_batch: usize,
    /// Examples of the training step for which signal to noise is stated
    #[arg(long, value_name = "N", default_value_t = 128)]
    batch: usize,
    /// Examples that each change of a skip is measured on, at most those of the
    /// map; two changes for each skip and level
    #[arg(long, value_name = "N", default_value_t = 16)]
    skip_examples: usize,
    /// Class of all examples, if the network takes one
    #[arg(long, value_name = "K")]
    class: Option<f64>,
    /// Seed of examples and noise
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Where the network is evaluated
    #[arg(long, value_enum, value_name = "D", default_value_t = Device::Cpu)]
    device: Device,
    /// Folder for probe.html, probe.md and probe.json
    #[arg(long, value_name = "DIR", default_value = "probe")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Row {
    /// A block, its skip apart
    Blocks,
    /// A layer
    Layers,
}

impl From<Row> for Units {
    fn from(row: Row) -> Units {
        match row {
            Row::Blocks => Units::Blocks,
            Row::Layers => Units::Layers,
        }
    }
}

#[cfg(not(feature = "tch"))]
pub(crate) fn probe(_: Probe) -> Result<(), Error> {
    Err(Error::WithoutTorch)
}

#[cfg(feature = "tch")]
pub(crate) fn probe(arguments: Probe) -> Result<(), Error> {
    use ablation::{
        files,
        probing::{Prober, Request},
        report,
    };
    use indicatif::{ProgressBar, ProgressStyle};
    use std::time::{Duration, Instant};

    /// How long nothing is said of the drawing where there is no bar.
    const SILENCE: Duration = Duration::from_secs(30);

    let out = arguments.out.clone();
    let request = Request {
        model: arguments.model,
        data: arguments.data,
        data_folders: crate::overrides(None).data_folders,
        scheduler: arguments.scheduler,
        steps: arguments.steps,
        sample_steps: arguments.sample_steps,
        levels: arguments.levels,
        units: arguments.units.into(),
        micro_batches: arguments.micro_batches,
        examples: arguments.micro_batch,
        skip_examples: arguments.skip_examples,
        batch: arguments.batch,
        class: arguments.class,
        seed: arguments.seed,
        device: arguments.device.into(),
        out: arguments.out,
    };
    let bar = |of: u64, what: &str| {
        let style = format!("{{bar:32}} {{pos}}/{{len}} {what}, {{eta}} left");
        let style = ProgressStyle::with_template(&style);
        ProgressBar::new(of).with_style(style.expect("a valid template"))
    };
    let (mut drawn, mut said) = (ProgressBar::hidden(), Instant::now());
    let prober = Prober::prepare(request, &mut |drawing| {
        if drawing.done == 0 {
            eprintln!(
                "ablate: no --data: the model draws {} samples of its own first,\n\
                 ablate: in {} steps (--sample-steps)",
                drawing.samples, drawing.steps
            );
            drawn = bar(drawing.of, "evaluations");
        }
        drawn.set_position(drawing.done);
        if drawn.is_hidden() && SILENCE < said.elapsed() {
            eprintln!("ablate: {} of {} evaluations", drawing.done, drawing.of);
            said = Instant::now();
        }
    })?;
    drawn.finish_and_clear();
    let bar = bar(prober.passes(), "passes");
    let probed = prober.run(&mut || bar.inc(1))?;
    bar.finish_and_clear();
    let mut json = serde_json::to_string_pretty(&probed).expect("plain data");
    json.push('\n');
    for (name, text) in [
        ("probe.json", json),
        ("probe.md", report::probed_markdown(&probed)),
        ("probe.html", report::probed_html(&probed)),
    ] {
        files::replace(&out.join(name), text.as_bytes())?;
    }
    crate::say(&report::probed_terminal(&probed, 80, crate::colour()));
    let page = out.join("probe.html");
    let page = page.canonicalize().unwrap_or(page);
    crate::say(&format!("\nreport: {}\n", page.display()));
    Ok(())
}
