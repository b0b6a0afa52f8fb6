//! A study of the exact layer as written: one list of tables per quantity.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, Unexpected, Visitor},
};

use super::{
    audibility::Audibility,
    blind::Blind,
    branches::Branches,
    conditioning::Conditioning,
    depth::Depth,
    draws::Draws,
    edm::Edm,
    efficiency::Efficiency,
    emergence::Emergence,
    floors::Floors,
    frontier::Frontier,
    growth::Growth,
    isometry::Isometry,
    langevin::Langevin,
    linear::Linear,
    loss_levels::LossLevels,
    noise_levels::NoiseLevels,
    paths::Paths,
    place::Place,
    published::{Cited, Published},
    rank::Rank,
    shattering::Shattering,
    smoothing::Smoothing,
    spectral_gap::SpectralGap,
    targets::Targets,
    training::Training,
};
use crate::{error::Error, study::Expect};

/// A study of quantities that need no training.
///
/// Every table has a `name` of its own, the sentences of the thesis that it is `about`, the `tolerance` within which
/// expected values must be met, and `claims`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Version of the format: 1.
    pub schema: u32,
    /// Short name: small letters, digits, `-`.
    pub name: String,
    /// What the study asks, one sentence.
    pub question: String,
    /// Seed of every random draw.
    pub seed: u64,
    /// Caveats that belong to the numbers, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Signals and Jacobians of random networks.
    #[serde(default)]
    pub depth: Vec<Depth>,
    /// Autocorrelations of gradients over inputs.
    #[serde(default)]
    pub shattering: Vec<Shattering>,
    /// Spectral gaps of Langevin dynamics.
    #[serde(default)]
    pub spectral_gap: Vec<SpectralGap>,
    /// Fisher divergences between weights.
    #[serde(default)]
    pub audibility: Vec<Audibility>,
    /// Condition numbers of denoising a linear model.
    #[serde(default)]
    pub conditioning: Vec<Conditioning>,
    /// Floors of score matching on manifolds.
    #[serde(default)]
    pub floors: Vec<Floors>,
    /// Samplers with the exact score.
    #[serde(default)]
    pub langevin: Vec<Langevin>,
    /// What a bottleneck costs.
    #[serde(default)]
    pub rank: Vec<Rank>,
    /// Identities of EDM's preconditioner and NCSN's weighting.
    #[serde(default)]
    pub edm: Vec<Edm>,
    /// Deep linear networks, plain and residual.
    #[serde(default)]
    pub linear: Vec<Linear>,
    /// Paths through residual blocks.
    #[serde(default)]
    pub paths: Vec<Paths>,
    /// What networks with and without skips are given.
    #[serde(default)]
    pub draws: Vec<Draws>,
    /// What noise does to a density that jumps.
    #[serde(default)]
    pub smoothing: Vec<Smoothing>,
    /// Noise levels of annealed Langevin dynamics.
    #[serde(default)]
    pub noise_levels: Vec<NoiseLevels>,
    /// Score matching against maximum likelihood.
    #[serde(default)]
    pub efficiency: Vec<Efficiency>,
    /// Growth over residual tanh blocks.
    #[serde(default)]
    pub growth: Vec<Growth>,
    /// Branches under normalisation.
    #[serde(default)]
    pub branches: Vec<Branches>,
    /// Spreads of singular values.
    #[serde(default)]
    pub isometry: Vec<Isometry>,
    /// Emergence of modes in training.
    #[serde(default)]
    pub emergence: Vec<Emergence>,
    /// Least losses per noise level.
    #[serde(default)]
    pub loss_levels: Vec<LossLevels>,
    /// Small networks in training.
    #[serde(default)]
    pub training: Vec<Training>,
    /// What networks are asked for.
    #[serde(default)]
    pub targets: Vec<Targets>,
    /// The depth to which plain networks can be trained.
    #[serde(default)]
    pub frontier: Vec<Frontier>,
    /// Networks that are not told the noise level.
    #[serde(default)]
    pub blind: Vec<Blind>,
    /// Published numbers beside those of the tables.
    #[serde(default)]
    pub published: Vec<Published>,
    /// Published numbers that are not tried here, and why.
    #[serde(default)]
    pub cited: Vec<Cited>,
    /// Where the study was read from; not part of the file.
    #[serde(skip)]
    pub place: String,
}

/// How far a number may lie from what a study expects: `absolute` + `relative` · |value|, besides the rounding of the
/// [expected value](Expected) itself.
///
/// What is computed by sampling may be off by four of its own standard errors besides, what is computed on a grid by its
/// own discretisation error.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// In units of the expected value, ≥ 0.
    pub relative: f64,
    /// In units of the quantity, ≥ 0.
    pub absolute: f64,
}

impl Tolerance {
    /// The tolerance around `value`.
    pub(super) fn around(self, value: f64) -> f64 {
        self.absolute + self.relative * value.abs()
    }
}

/// A value as it was printed, in quotes: `"5.5e-6"`, or with its standard error, `"0.783±0.005"`.
///
/// Whatever rounds to it agrees with it: half a unit of its last digit is allowed besides the [`Tolerance`].
/// A standard error of its own joins that of ours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The number.
    pub value: f64,
    /// Half a unit of its last digit.
    pub half_unit: f64,
    /// Its standard error; 0 where none is printed.
    pub error: f64,
}

impl Expected {
    /// None for what is no finite number.
    pub(super) fn parse(text: &str) -> Option<Expected> {
        let (text, error) = match text.split_once('±') {
            Some((text, error)) => (text, error.parse::<f64>().ok().filter(|e| 0.0 < *e)?),
            None => (text, 0.0),
        };
        let (digits, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let decimals = digits.split_once('.').map_or(0, |(_, after)| after.len());
        match (text.parse::<f64>(), exponent.parse::<i32>()) {
            (Ok(value), Ok(exponent)) if value.is_finite() => Some(Expected {
                value,
                half_unit: 0.5 * 10_f64.powi(exponent - decimals as i32),
                error,
            }),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Expected, D::Error> {
        struct AsPrinted;
        impl Visitor<'_> for AsPrinted {
            type Value = Expected;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value as printed, in quotes, such as \"5.5e-6\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expected, E> {
                Expected::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(AsPrinted)
    }
}

/// A claim, registered before the run. `M` names what is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim<M> {
    /// Identifier within the study.
    pub id: String,
    /// The claim as a sentence.
    pub claim: String,
    /// The sentences of the thesis that it bears on: `T1` to `T36`.
    pub about: Vec<String>,
    /// What is measured.
    pub measure: M,
    /// Which way it is expected to lie from zero.
    pub expect: Expect,
    /// How far at least; for `equal` how far at most.
    pub delta: f64,
}

/// A noise level and what is expected there.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// σ of x₀ + σ ε, ≥ 0.
    pub sigma: f64,
    /// The expected value, if one is registered.
    pub expected: Option<Expected>,
}

impl Study {
    /// Refuses what cannot be computed, before any work starts.
    ///
    /// # Errors
    ///
    /// [`Error::Impossible`] names the table and the first value that breaks its rule.
    pub fn check(&self) -> Result<(), Error> {
        let place = Place(self.place.clone());
        if self.schema != 1 {
            return Err(place.refuse("schema", self.schema, "this program reads schema = 1"));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(plain) {
            let rule = "a name has small letters, digits and `-` only";
            return Err(place.refuse("name", format!("{:?}", self.name), rule));
        }
        let mut claims: Vec<&str> = Vec::new();
        let mut names: Vec<(&str, &str)> = Vec::new();
        for table in self.tables() {
            if names.contains(&(table.word(), table.name())) {
                let rule = "another table of that quantity has that name: give each its own";
                let given = format!("{:?}", table.name());
                return Err(place.refuse(&format!("{}.name", table.word()), given, rule));
            }
            names.push((table.word(), table.name()));
            let place = Place(format!(
                "{}, {} {:?}",
                self.place,
                table.word(),
                table.name()
            ));
            let here = table.claims();
            for about in here.iter().map(|claim| claim.about).chain([table.about()]) {
                place.sentences(about)?;
            }
            for claim in here {
                place.distinct("claims.id", &mut claims, claim.id)?;
                let place = Place(format!("{}, claim {:?}", place.0, claim.id));
                match claim.expect {
                    Expect::Equal => place.positive("delta", claim.delta)?,
                    Expect::Lower | Expect::Higher => place.non_negative("delta", claim.delta)?,
                }
            }
            let tolerance = table.tolerance();
            place.non_negative("tolerance.relative", tolerance.relative)?;
            place.non_negative("tolerance.absolute", tolerance.absolute)?;
            table.check(&place)?;
        }
        let mut ids: Vec<&str> = Vec::new();
        for row in &self.published {
            let place = Place(format!("{}, published {:?}", self.place, row.id));
            place.distinct("id", &mut ids, &row.id)?;
            row.check(&place, &names)?;
        }
        for row in &self.cited {
            let place = Place(format!("{}, cited {:?}", self.place, row.id));
            place.distinct("id", &mut ids, &row.id)?;
        }
        if self.tables().is_empty() {
            let rule = "a study holds at least one table, such as [[spectral_gap]]";
            return Err(place.refuse("tables", 0, rule));
        }
        Ok(())
    }

    /// Every table, in the order in which quantities are reported.
    pub(super) fn tables(&self) -> Vec<&dyn Table> {
        fn of<T: Table>(tables: &[T]) -> impl Iterator<Item = &dyn Table> {
            tables.iter().map(|table| table as &dyn Table)
        }
        of(&self.depth)
            .chain(of(&self.shattering))
            .chain(of(&self.spectral_gap))
            .chain(of(&self.audibility))
            .chain(of(&self.conditioning))
            .chain(of(&self.floors))
            .chain(of(&self.langevin))
            .chain(of(&self.rank))
            .chain(of(&self.edm))
            .chain(of(&self.linear))
            .chain(of(&self.paths))
            .chain(of(&self.draws))
            .chain(of(&self.smoothing))
            .chain(of(&self.noise_levels))
            .chain(of(&self.efficiency))
            .chain(of(&self.growth))
            .chain(of(&self.branches))
            .chain(of(&self.isometry))
            .chain(of(&self.emergence))
            .chain(of(&self.loss_levels))
            .chain(of(&self.training))
            .chain(of(&self.targets))
            .chain(of(&self.blind))
            .chain(of(&self.frontier))
            .collect()
    }
}

/// One table of a study.
pub(super) trait Table: Sync {
    /// The key of its list.
    fn word(&self) -> &'static str;
    /// Its name in the study.
    fn name(&self) -> &str;
    /// The sentences that its numbers are about.
    fn about(&self) -> &[String];
    /// How closely expected values must be met.
    fn tolerance(&self) -> Tolerance;
    /// What is registered.
    fn claims(&self) -> Vec<Registered<'_>>;
    /// Refuses values that are impossible.
    fn check(&self, place: &Place) -> Result<(), Error>;
    /// Computes everything.
    fn measure(&self, seed: u64) -> super::report::Measured;
}

/// A claim without what it measures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registered<'a> {
    pub(super) id: &'a str,
    pub(super) claim: &'a str,
    pub(super) about: &'a [String],
    pub(super) expect: Expect,
    pub(super) delta: f64,
}

impl<M> Claim<M> {
    pub(super) fn registered(&self) -> Registered<'_> {
        Registered {
            id: &self.id,
            claim: &self.claim,
            about: &self.about,
            expect: self.expect,
            delta: self.delta,
        }
    }
}

/// The parts of [`Table`] that are fields of the same name, for a type whose list has the given key.
macro_rules! table_fields {
    ($word:literal) => {
        fn word(&self) -> &'static str {
            $word
        }
        fn name(&self) -> &str {
            &self.name
        }
        fn about(&self) -> &[String] {
            &self.about
        }
        fn tolerance(&self) -> $crate::exact::study::Tolerance {
            self.tolerance
        }
        fn claims(&self) -> Vec<$crate::exact::study::Registered<'_>> {
            self.claims.iter().map(|claim| claim.registered()).collect()
        }
    };
}
pub(super) use table_fields;
