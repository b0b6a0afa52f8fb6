//! The timesteps of guided-diffusion and improved-diffusion.

use crate::Error;

/// `space_timesteps` with section counts, from noise to data: [`spacing::sections`](crate::spacing::sections),
/// but positions are sums of a rounded stride, so that where they should be halves they may fall to either side.
///
/// # Errors
/// [`Error::NoSteps`] for no sections or no timestep; [`Error::TooManySteps`] if a section has more timesteps than levels.
pub fn sections(train: usize, counts: &[usize]) -> Result<Vec<usize>, Error> {
    // The lengths and the errors are the same.
    crate::spacing::sections(train, counts)?;
    let (length, longer) = (train / counts.len(), train % counts.len());
    let mut timesteps = Vec::new();
    let mut start = 0;
    for (section, &count) in counts.iter().enumerate() {
        let levels = length + usize::from(section < longer);
        let stride = if count < 2 {
            1.0
        } else {
            (levels - 1) as f64 / (count - 1) as f64
        };
        let mut position: f64 = 0.0;
        for _ in 0..count {
            timesteps.push(start + position.round_ties_even() as usize);
            position += stride;
        }
        start += levels;
    }
    // It keeps them in a set.
    timesteps.dedup();
    timesteps.reverse();
    Ok(timesteps)
}
