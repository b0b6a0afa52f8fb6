//! A cell on its way: everything that decides the rest of it, as bytes that prove themselves.
//!
//! The bytes are a safetensors file, so that weights can be looked at from Python; its last tensor, `blake3`, is
//! the digest of all bytes before it. A file that was cut off or changed anywhere does not read.
//!
//! ```text
//! u64 length of the header | header: names, types, places; state | F32, F64 and U64 arrays | blake3 digest
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::Record;

/// Bytes of a BLAKE3 digest.
const DIGEST: usize = 32;

/// A cell on its way. Draws come from counter-based streams, so that a place and a few arrays are all there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The program that made it: another one rounds in its own way and begins anew.
    pub program: String,
    /// What is measured so far; holds the cell.
    pub record: Record,
    /// Where the cell is.
    pub place: Place,
    /// Wall seconds that it took to come here; the one thing in it that is not determined.
    pub seconds: f64,
    /// Numbers that must come back to the last bit.
    pub arrays: BTreeMap<String, Numbers>,
}

/// Between which two steps a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case", deny_unknown_fields)]
pub enum Place {
    /// Before the optimiser's step `step`.
    Training {
        /// Steps taken.
        step: u64,
    },
    /// Before the main sampler's step `step`; the network is trained.
    Sampling {
        /// Steps taken.
        step: u64,
        /// The step whose particles left, if they did.
        diverged_at: Option<u64>,
    },
    /// Before the ODE sampler; the main one is through and judged.
    Ode {},
}

/// An array of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Numbers {
    /// Weights and optimiser state.
    Single(Vec<f32>),
    /// Curves and particles.
    Double(Vec<f64>),
    /// Positions of streams.
    Words(Vec<u64>),
}

/// The part of a checkpoint that is text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    program: String,
    place: Place,
    seconds: f64,
    record: Record,
}

/// An entry of the header.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tensor {
    dtype: String,
    shape: [usize; 1],
    data_offsets: [usize; 2],
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Metadata,
    #[serde(flatten)]
    tensors: BTreeMap<String, Tensor>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    /// [`State`] as JSON: safetensors allows text only.
    state: String,
}

impl Place {
    /// A name that sorts as the cell goes on.
    pub fn name(self) -> String {
        let (stage, step) = match self {
            Place::Training { step } => (1, step),
            Place::Sampling { step, .. } => (2, step),
            Place::Ode {} => (3, 0),
        };
        format!("{stage}-{step:012}")
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Place::Training { step } => format!("training, step {step}"),
            Place::Sampling { step, .. } => format!("sampling, step {step}"),
            Place::Ode {} => "ODE sampling".to_owned(),
        }
    }
}

impl Numbers {
    fn dtype(&self) -> &'static str {
        match self {
            Numbers::Single(_) => "F32",
            Numbers::Double(_) => "F64",
            Numbers::Words(_) => "U64",
        }
    }

    fn len(&self) -> usize {
        match self {
            Numbers::Single(values) => values.len(),
            Numbers::Double(values) => values.len(),
            Numbers::Words(values) => values.len(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Numbers::Single(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Numbers::Double(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Numbers::Words(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn read(dtype: &str, bytes: &[u8]) -> Option<Numbers> {
        fn words<const N: usize, T>(bytes: &[u8], of: fn([u8; N]) -> T) -> Option<Vec<T>> {
            let (words, rest) = bytes.as_chunks::<N>();
            rest.is_empty()
                .then(|| words.iter().map(|word| of(*word)).collect())
        }
        match dtype {
            "F32" => words(bytes, f32::from_le_bytes).map(Numbers::Single),
            "F64" => words(bytes, f64::from_le_bytes).map(Numbers::Double),
            "U64" => words(bytes, u64::from_le_bytes).map(Numbers::Words),
            _ => None,
        }
    }
}

impl Checkpoint {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let state = State {
            program: self.program.clone(),
            place: self.place,
            seconds: self.seconds,
            record: self.record.clone(),
        };
        let mut header = Header {
            metadata: Metadata {
                state: serde_json::to_string(&state).expect("records hold finite numbers"),
            },
            tensors: BTreeMap::new(),
        };
        let mut payload = Vec::new();
        let mut enter = |name: &str, dtype: &str, length: usize, bytes: &[u8]| {
            let begin = payload.len();
            payload.extend_from_slice(bytes);
            let tensor = Tensor {
                dtype: dtype.to_owned(),
                shape: [length],
                data_offsets: [begin, payload.len()],
            };
            header.tensors.insert(name.to_owned(), tensor);
        };
        for (name, numbers) in &self.arrays {
            enter(name, numbers.dtype(), numbers.len(), &numbers.bytes());
        }
        enter("blake3", "U8", DIGEST, &[0; DIGEST]);
        let mut text = serde_json::to_vec(&header).expect("plain data");
        // Readers that map the file want the arrays at a multiple of eight bytes.
        text.resize(text.len().next_multiple_of(8), b' ');
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text);
        bytes.extend_from_slice(&payload[..payload.len() - DIGEST]);
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());
        bytes
    }

    /// The checkpoint that these bytes are, whole and unchanged.
    ///
    /// # Errors
    ///
    /// In words, what is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Checkpoint, String> {
        let (body, digest) = bytes
            .split_last_chunk::<DIGEST>()
            .ok_or("it is shorter than a digest")?;
        if blake3::hash(body) != blake3::Hash::from_bytes(*digest) {
            return Err("its digest is not that of its bytes".to_owned());
        }
        // From here on the bytes are those that some program wrote; perhaps not this one.
        let foreign = || "another version of the program wrote it".to_owned();
        let (length, rest) = body.split_first_chunk::<8>().ok_or_else(foreign)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| foreign())?;
        let (text, payload) = rest.split_at_checked(length).ok_or_else(foreign)?;
        let header: Header = serde_json::from_slice(text).map_err(|_| foreign())?;
        let state: State = serde_json::from_str(&header.metadata.state).map_err(|_| foreign())?;
        let mut arrays = BTreeMap::new();
        for (name, tensor) in header.tensors {
            if name == "blake3" {
                continue;
            }
            let [begin, end] = tensor.data_offsets;
            let numbers = payload
                .get(begin..end)
                .and_then(|bytes| Numbers::read(&tensor.dtype, bytes));
            arrays.insert(name, numbers.ok_or_else(foreign)?);
        }
        Ok(Checkpoint {
            program: state.program,
            record: state.record,
            place: state.place,
            seconds: state.seconds,
            arrays,
        })
    }

    /// An array of single precision; empty where there is none.
    pub fn singles(&self, name: &str) -> &[f32] {
        match self.arrays.get(name) {
            Some(Numbers::Single(values)) => values,
            _ => &[],
        }
    }

    /// An array of double precision; empty where there is none.
    pub fn doubles(&self, name: &str) -> &[f64] {
        match self.arrays.get(name) {
            Some(Numbers::Double(values)) => values,
            _ => &[],
        }
    }

    /// An array of words; empty where there is none.
    pub fn words(&self, name: &str) -> &[u64] {
        match self.arrays.get(name) {
            Some(Numbers::Words(values)) => values,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{STUDY, plan, record};

    fn checkpoint() -> Checkpoint {
        let (cell, _) = plan(STUDY).expect("the study is sound").cells().remove(0);
        Checkpoint {
            program: "0123".to_owned(),
            record: record(&cell, 0.1),
            place: Place::Training { step: 7 },
            seconds: 1.5,
            arrays: [
                ("mean", Numbers::Single(vec![1.5, f32::NAN, -0.0, 1e-45])),
                ("losses", Numbers::Double(vec![0.1, f64::INFINITY])),
                ("streams", Numbers::Words(vec![u64::MAX, 0, 3])),
                ("none", Numbers::Double(Vec::new())),
            ]
            .map(|(name, numbers)| (name.to_owned(), numbers))
            .into(),
        }
    }

    #[test]
    fn what_is_read_is_what_was_written_to_the_bit() {
        let bytes = checkpoint().to_bytes();
        let read = Checkpoint::from_bytes(&bytes).expect("it is whole");
        // NaN is not equal to itself: the bytes are compared.
        assert_eq!(read.to_bytes(), bytes);
        assert_eq!(read.words("streams"), [u64::MAX, 0, 3]);
        assert_eq!(read.singles("mean").len(), 4);
        assert!(read.singles("mean")[1].is_nan());
        assert!(read.doubles("mean").is_empty(), "of another type");
        assert_eq!(read.record, checkpoint().record);
    }

    #[test]
    fn every_cut_is_seen() {
        let bytes = checkpoint().to_bytes();
        for length in 0..bytes.len() {
            assert!(
                Checkpoint::from_bytes(&bytes[..length]).is_err(),
                "{length} of {} bytes",
                bytes.len()
            );
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(Checkpoint::from_bytes(&longer).is_err());
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let whole = checkpoint().to_bytes();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << (place % 8);
            assert!(Checkpoint::from_bytes(&bytes).is_err(), "byte {place}");
        }
    }

    #[test]
    fn whole_files_of_others_are_refused_in_words() {
        let seal = |body: &[u8]| [body, blake3::hash(body).as_bytes()].concat();
        let header = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
        let bodies = [
            Vec::new(),
            u64::MAX.to_le_bytes().to_vec(),
            header("{}"),
            header(r#"{"__metadata__":{"state":"{}"}}"#),
        ];
        for body in bodies {
            let said = Checkpoint::from_bytes(&seal(&body)).expect_err("it is no checkpoint");
            assert_eq!(said, "another version of the program wrote it");
        }
    }

    #[test]
    fn names_sort_as_a_cell_goes_on() {
        let sampling = |step| Place::Sampling {
            step,
            diverged_at: None,
        };
        let places = [
            Place::Training { step: 0 },
            Place::Training { step: 9 },
            Place::Training { step: 10 },
            sampling(0),
            sampling(1_000_000_000),
            Place::Ode {},
        ];
        assert!(
            places
                .windows(2)
                .all(|pair| pair[0].name() < pair[1].name() && pair[0] < pair[1])
        );
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(singles: Vec<f32>, doubles: Vec<f64>, words: Vec<u64>) {
            let mut checkpoint = checkpoint();
            checkpoint.arrays = [
                ("a".to_owned(), Numbers::Single(singles)),
                ("b".to_owned(), Numbers::Double(doubles)),
                ("c".to_owned(), Numbers::Words(words)),
            ]
            .into();
            let bytes = checkpoint.to_bytes();
            prop_assert_eq!(Checkpoint::from_bytes(&bytes).expect("whole").to_bytes(), bytes);
        }
    }
}
