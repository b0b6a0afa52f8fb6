//! U-Nets of equal size.

use resnet_blocks::{Match, matched_widths};

use crate::{Error, Topology, UNetConfig};

impl UNetConfig {
    /// The same network, its widths adjusted so that it costs what the reference does: see
    /// [`matched_widths`](resnet_blocks::matched_widths). The stem keeps its proportion to the first
    /// width; the embedding, which all arms share, stays as it is.
    ///
    /// The quantum is what the groups of the normalisations and the heads need.
    ///
    /// ```
    /// use resnet_blocks::{LongSkip, Match};
    /// use unet::{Topology, UNetConfig};
    /// # fn main() -> Result<(), unet::Error> {
    /// let ddpm = UNetConfig::ddpm_cifar10();
    /// let without = UNetConfig { long: LongSkip::None, ..ddpm.clone() };
    /// let without = without.matched_to(&ddpm, Match::Parameters, 32)?;
    /// assert_eq!(without.widths, [128, 288, 288, 288]);
    /// assert_eq!(Topology::plan(&without)?.parameters(), 35_790_883); // of 35,746,307
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As `matched_widths`, and as [`Topology::plan`] for the reference.
    pub fn matched_to(
        &self,
        reference: &UNetConfig,
        by: Match,
        quantum: usize,
    ) -> Result<UNetConfig, Error> {
        let target = by.cost(Topology::plan(reference)?.layers());
        let stem = |first: usize| match self.widths.first() {
            Some(width) if first != *width && 0 < quantum => {
                let exact = self.stem as f64 * first as f64 / *width as f64;
                quantum.saturating_mul(((exact / quantum as f64).round() as usize).max(1))
            }
            _ => self.stem,
        };
        let with = |widths: &[usize]| UNetConfig {
            stem: widths.first().map_or(self.stem, |first| stem(*first)),
            widths: widths.to_vec(),
            ..self.clone()
        };
        let cost = |widths: &[usize]| {
            let plan = Topology::plan(&with(widths)).ok()?;
            Some(by.cost(plan.layers()))
        };
        Ok(with(&matched_widths(&self.widths, quantum, target, cost)?))
    }
}
