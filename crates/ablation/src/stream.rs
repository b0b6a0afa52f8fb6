//! Named random streams: every draw is a function of (root seed, role, index) and of nothing else

use std::fmt;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The domain of the key derivation; a new version moves every number of every study.
const CONTEXT: &str = "ablation stream v1";

/// The random streams of one seed: `key = blake3_derive_key("ablation stream v1", root || role || index)`.
///
/// Each pair of a [`Role`] and an index names a ChaCha8 generator of its own, so no draw depends on how many
/// draws were made elsewhere: a probe that is added, a batch that is larger or a cell that is resumed leaves all
/// other draws as they were.
/// The arm of a study is *not* part of the key: at one seed all arms see the same data, noise and starting
/// points, and their differences are therefore paired.
///
/// Counter-based keys follow Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011);
/// the generator is Bernstein's ChaCha with 8 rounds.
///
/// ```
/// use ablation::stream::{Role, Stream};
/// use rand::RngCore;
///
/// let stream = Stream::new(7);
/// let first = stream.at(Role::Noise, 0).next_u64();
/// stream.at(Role::Data, 0).next_u64(); // what others draw
/// assert_eq!(stream.at(Role::Noise, 0).next_u64(), first); // changes nothing here
/// assert_ne!(stream.at(Role::Noise, 1).next_u64(), first);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    root: u64,
}

impl Stream {
    /// The streams of the seed `root` (any value).
    #[must_use]
    pub const fn new(root: u64) -> Self {
        Self { root }
    }

    /// The seed that all streams are derived from.
    #[must_use]
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// A generator at the start of the stream (`role`, `index`).
    ///
    /// The index counts what the role draws for: the training step for [`Role::Levels`] and [`Role::Noise`], the
    /// sample for [`Role::Sample`], the resample for [`Role::Bootstrap`].
    /// Two calls with equal arguments return equal generators: draw from one stream in one place only.
    #[must_use]
    pub fn at(&self, role: Role, index: u64) -> ChaCha8Rng {
        // Role names have different lengths: the length in front keeps any two keys apart.
        let name = role.name().as_bytes();
        let key = blake3::Hasher::new_derive_key(CONTEXT)
            .update(&self.root.to_le_bytes())
            .update(&(name.len() as u64).to_le_bytes())
            .update(name)
            .update(&index.to_le_bytes())
            .finalize();
        ChaCha8Rng::from_seed(*key.as_bytes())
    }
}

/// What a random draw is for.
///
/// The name is part of the key, the position in this list is not: roles may be added and sorted, never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// The training data: points drawn, and the order in which a finite set is passed.
    Data,
    /// The initial parameters of the network.
    Init,
    /// The levels of noise in a training batch.
    Levels,
    /// The noise eps added to a training batch.
    Noise,
    /// What a network drops in training: features, or whole branches.
    Dropout,
    /// The starting points and the noise of sampling.
    Sample,
    /// What a probe draws: held-out points, projections, directions.
    Probe,
    /// Resampling in the statistics.
    Bootstrap,
    /// Variation that belongs to the environment and not to the question, such as the label noise of a data set.
    Nuisance,
}

impl Role {
    /// Every role, once.
    pub const ALL: [Self; 9] = [
        Self::Data,
        Self::Init,
        Self::Levels,
        Self::Noise,
        Self::Dropout,
        Self::Sample,
        Self::Probe,
        Self::Bootstrap,
        Self::Nuisance,
    ];

    /// The name in snake_case, as it enters the key.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Init => "init",
            Self::Levels => "levels",
            Self::Noise => "noise",
            Self::Dropout => "dropout",
            Self::Sample => "sample",
            Self::Probe => "probe",
            Self::Bootstrap => "bootstrap",
            Self::Nuisance => "nuisance",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::{Rng, RngCore};
    use rand_distr::StandardNormal;

    use super::*;

    /// If this fails after an upgrade, the upgrade moves every result: raise the version in `CONTEXT` and say so
    /// in the changelog under *Results change*, or stay with the old version.
    #[test]
    fn golden_first_draws() {
        let words = |role, index| {
            let mut rng = Stream::new(20_240_229).at(role, index);
            [rng.next_u64(), rng.next_u64()]
        };
        let golden = [
            words(Role::Data, 0),
            words(Role::Noise, 0),
            words(Role::Noise, u64::MAX),
        ];
        assert_eq!(
            golden,
            [
                [11_426_427_164_937_056_636, 16_749_720_120_034_579_505],
                [17_980_531_750_561_738_602, 13_779_343_615_031_017_913],
                [12_033_794_335_064_721_005, 5_825_470_994_001_189_256],
            ]
        );
    }

    #[test]
    fn golden_normals() {
        let mut rng = Stream::new(20_240_229).at(Role::Noise, 0);
        let normals: [f64; 4] = std::array::from_fn(|_| rng.sample(StandardNormal));
        assert_eq!(
            normals,
            [
                1.6029078477510692,
                0.5667633701553856,
                -0.2737473530701342,
                -0.6850404473618483
            ]
        );
        let mut rng = Stream::new(20_240_229).at(Role::Noise, 0);
        let normals: [f32; 2] = std::array::from_fn(|_| rng.sample(StandardNormal));
        assert_eq!(normals, [1.602_907_9, 0.566_763_34]);
    }

    #[test]
    fn names_are_snake_case_and_distinct() {
        let names: BTreeSet<_> = Role::ALL.iter().map(|role| role.name()).collect();
        assert_eq!(names.len(), Role::ALL.len());
        for name in names {
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
        }
    }

    #[test]
    fn every_root_role_and_index_has_a_stream_of_its_own() {
        let mut first = BTreeSet::new();
        for root in [0, 1, u64::MAX] {
            for role in Role::ALL {
                for index in [0, 1, 2, 1 << 32] {
                    first.insert(Stream::new(root).at(role, index).next_u64());
                }
            }
        }
        assert_eq!(first.len(), 3 * Role::ALL.len() * 4);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Draws of one stream, with other streams opened and drawn from in between.
        #[test]
        fn no_stream_depends_on_the_draws_of_another(
            root: u64,
            index: u64,
            others in prop::collection::vec((0..Role::ALL.len(), any::<u64>(), 0_usize..50), 0..8),
        ) {
            let stream = Stream::new(root);
            let mut alone = stream.at(Role::Sample, index);
            let mut amid = stream.at(Role::Sample, index);
            for (role, other, draws) in others {
                let mut rng = stream.at(Role::ALL[role], other);
                (0..draws).for_each(|_| { rng.next_u64(); });
                prop_assert_eq!(amid.next_u64(), alone.next_u64());
            }
            prop_assert_eq!(amid.next_u64(), alone.next_u64());
        }
    }
}
