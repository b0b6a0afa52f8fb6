//! A plan as a table of at most 80 columns.

use std::fmt;

use resnet_blocks::{Feature, Layer, LayerKind, LongSkip, ShortSkip};

use super::{BlockPlan, LongSkipPlan, Step, Topology};

const COLUMNS: usize = 80;

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.layers().iter().map(|layer| {
            let Layer {
                name,
                in_channels,
                output,
                ..
            } = layer;
            [
                name.clone(),
                kind(layer),
                format!("{in_channels} -> {}", output.channels),
                format!("{}x{}", output.height, output.width),
                grouped(layer.parameters() as u64),
            ]
        });
        table(
            f,
            ["layer", "kind", "channels", "size", "parameters"],
            layers.collect(),
        )?;
        let skips = self.long_skips().iter().map(|skip| {
            let LongSkipPlan {
                name,
                from,
                rule,
                carried,
                parameters,
                ..
            } = skip;
            let Feature {
                channels,
                height,
                width,
            } = carried;
            [
                name.clone(),
                from.clone(),
                format!("{channels}x{height}x{width}"),
                joins(*rule),
                grouped(*parameters as u64),
            ]
        });
        if 0 < skips.len() {
            writeln!(f)?;
            table(
                f,
                ["long skip", "from", "carries", "joins by", "parameters"],
                skips.collect(),
            )?;
        }
        writeln!(f, "\nshort skips: {}", self.short_skips().join(", "))?;
        writeln!(f, "parameters: {}", grouped(self.parameters() as u64))?;
        if 0 < self.skip_parameters() {
            let brought = grouped(self.skip_parameters() as u64);
            writeln!(
                f,
                "  {brought} of them for long skips: match widths before comparing with none"
            )?;
        }
        writeln!(
            f,
            "forward pass per image: {} flops",
            grouped(self.forward_flops(1))
        )?;
        write!(
            f,
            "activations per image: {} numbers",
            grouped(self.activations(1))
        )
    }
}

impl Topology {
    /// The rules of the blocks, each once.
    fn short_skips(&self) -> Vec<String> {
        let mut rules: Vec<ShortSkip> = Vec::new();
        for step in self.steps() {
            let Step::Block { plan, .. } = step else {
                continue;
            };
            let rule = match plan {
                BlockPlan::Residual(config) => config.short,
                BlockPlan::Magnitude(config) => ShortSkip::MagnitudePreserving(config.balance),
                _ => continue,
            };
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
        rules.iter().map(|rule| format!("{rule:?}")).collect()
    }
}

fn kind(layer: &Layer) -> String {
    match layer.kind {
        LayerKind::Linear { .. } => "linear".to_owned(),
        LayerKind::Conv {
            kernel, stride: 1, ..
        } => format!("conv {kernel}x{kernel}"),
        LayerKind::Conv { kernel, stride, .. } => format!("conv {kernel}x{kernel} / {stride}"),
        LayerKind::Norm => "norm".to_owned(),
        LayerKind::Scale => "norm, scale".to_owned(),
        LayerKind::Gain { .. } => "gain".to_owned(),
        LayerKind::Table { rows } => format!("{rows} rows"),
        LayerKind::Constant => "constant".to_owned(),
        LayerKind::Mixing { .. } => "attention".to_owned(),
        _ => "other".to_owned(),
    }
}

fn joins(rule: LongSkip) -> String {
    let number = |x: f64| {
        if x == 0.0 || (1e-3..1e4).contains(&x.abs()) {
            let digits = format!("{x:.4}");
            digits
                .trim_end_matches('0')
                .trim_end_matches('.')
                .to_owned()
        } else {
            format!("{x:.3e}")
        }
    };
    match rule {
        LongSkip::None => "nothing".to_owned(),
        LongSkip::Add(scale) => format!("sum x {}", number(scale)),
        LongSkip::Concat(scale) => format!("cat x {}", number(scale)),
        LongSkip::ConcatPower(base) => format!("cat x {}^i", number(base)),
        LongSkip::ConcatMagnitudePreserving(balance) => format!("mp-cat {}", number(balance)),
        LongSkip::ConcatLearned => "learned cat".to_owned(),
    }
}

/// 35746307 as 35,746,307.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if 0 < index && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rows under a head; the first two columns begin at the left, the others end at the right. What is longer
/// than the line is cut from the first column.
fn table(f: &mut fmt::Formatter<'_>, head: [&str; 5], rows: Vec<[String; 5]>) -> fmt::Result {
    let rows: Vec<[String; 5]> = [head.map(str::to_owned)].into_iter().chain(rows).collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let others: usize = widths[1..].iter().map(|width| width + 2).sum();
    let first = widths[0].min(COLUMNS.saturating_sub(others));
    let [_, second, third, fourth, fifth] = widths;
    for [name, left, one, two, three] in &rows {
        let mut name = name.clone();
        if first < name.chars().count() {
            name = name.chars().take(first.saturating_sub(1)).collect();
            name.push('…');
        }
        writeln!(
            f,
            "{name:first$}  {left:second$}  {one:>third$}  {two:>fourth$}  {three:>fifth$}"
        )?;
    }
    Ok(())
}
