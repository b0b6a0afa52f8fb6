//! The header of a safetensors file, and whether it tells the truth: checked before any value is read.

use std::{collections::BTreeMap, fmt, io::Read};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use resnet_blocks::PlannedTensor;

use super::plan::Plan;
use crate::Error;

/// Where each tensor of a file lies.
#[derive(Debug)]
pub(super) struct Header {
    entries: BTreeMap<String, Entry>,
}

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Bytes from the beginning of the file.
    pub(super) begin: u64,
    pub(super) bytes: usize,
}

/// Kinds of numbers that weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Dtype {
    F16,
    BF16,
    F32,
    F64,
}

impl Dtype {
    fn bytes(self) -> usize {
        match self {
            Dtype::F16 | Dtype::BF16 => 2,
            Dtype::F32 => 4,
            Dtype::F64 => 8,
        }
    }
}

/// The format's own limit.
const LONGEST: u64 = 100_000_000;

impl Header {
    /// Reads the header of a file of so many bytes.
    ///
    /// The tensors must tile the rest of the file: no holes, no overlaps, none beyond its end.
    pub(super) fn read(file: &mut impl Read, file_bytes: u64) -> Result<Header, Error> {
        let wrong = |reason: String| Error::Safetensors { reason };
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .map_err(|_| wrong("it ends within the first 8 bytes".to_owned()))?;
        let length = u64::from_le_bytes(length);
        let most = LONGEST.min(file_bytes.saturating_sub(8));
        if most < length {
            return Err(wrong(format!(
                "its header claims {length} bytes, of at most {most} that there can be"
            )));
        }
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text)
            .map_err(|_| wrong("it ends within its header".to_owned()))?;
        let Claims(claims) =
            serde_json::from_slice(&text).map_err(|error| wrong(format!("its header: {error}")))?;
        let data = 8 + length;
        let mut tiles = Vec::new();
        let mut entries = BTreeMap::new();
        for (name, claim) in claims {
            let [begin, end] = claim.data_offsets;
            let mut sides = claim.shape.iter();
            let bytes = sides.try_fold(claim.dtype.bytes(), |product, n| product.checked_mul(*n));
            let bytes = bytes.filter(|bytes| end.checked_sub(begin) == Some(*bytes as u64));
            let Some(bytes) = bytes else {
                return Err(wrong(format!(
                    "`{name}` is {:?} of shape {:?}, which its bytes {begin} to {end} do not hold",
                    claim.dtype, claim.shape
                )));
            };
            tiles.push((begin, end));
            let entry = Entry {
                dtype: claim.dtype,
                shape: claim.shape,
                begin: data.saturating_add(begin),
                bytes,
            };
            if entries.insert(name.clone(), entry).is_some() {
                return Err(wrong(format!("its header names `{name}` twice")));
            }
        }
        tiles.sort_unstable();
        let mut covered = 0;
        for (begin, end) in tiles {
            if begin != covered {
                return Err(wrong(format!(
                    "its tensors overlap or leave a gap at byte {}",
                    begin.min(covered)
                )));
            }
            covered = end;
        }
        if data.checked_add(covered) != Some(file_bytes) {
            return Err(wrong(format!(
                "its header describes {covered} bytes of values, but {} follow it",
                file_bytes - data
            )));
        }
        Ok(Header { entries })
    }

    /// The entry of each planned tensor, in the plan's order.
    ///
    /// Names that diffusers had for attention and strided convolutions before 2023 are taken for
    /// today's, and matrices may be stored as 1x1 convolutions.
    pub(super) fn locate(mut self, plan: &Plan) -> Result<Vec<Entry>, Error> {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for planned in plan.tensors() {
            let PlannedTensor { name, shape } = planned;
            let old = old_names(name);
            let entry = self.entries.remove(name);
            let entry = match (entry, old.iter().find_map(|old| self.entries.remove(old))) {
                // One convolution under two names.
                (Some(entry), Some(twin)) if twin.shape == entry.shape => Some(entry),
                (Some(_), Some(_)) => {
                    problems.push(format!("`{name}` is there under two names"));
                    continue;
                }
                (entry, old) => entry.or(old),
            };
            match entry {
                None => problems.push(format!("`{name}` of shape {shape:?} is missing")),
                Some(entry) if fits(&entry.shape, shape) => found.push(entry),
                Some(entry) => problems.push(format!(
                    "`{name}` has shape {:?} instead of {shape:?}",
                    entry.shape
                )),
            }
        }
        let rest = self.entries.keys();
        problems.extend(rest.map(|name| format!("`{name}` is unexpected")));
        if problems.is_empty() {
            Ok(found)
        } else {
            Err(Error::Tensors { problems })
        }
    }
}

fn fits(stored: &[usize], planned: &[usize]) -> bool {
    stored == planned
        || planned.len() == 2 && stored.len() <= 4 && {
            let (head, tail) = stored.split_at(stored.len().min(2));
            head == planned && tail.iter().all(|n| *n == 1)
        }
}

fn old_names(name: &str) -> Vec<String> {
    const RENAMED: [(&str, &str); 6] = [
        (".to_q.", ".query."),
        (".to_k.", ".key."),
        (".to_v.", ".value."),
        (".to_out.0.", ".proj_attn."),
        (".downsamplers.0.conv.", ".downsamplers.0.Conv2d_0."),
        (".downsamplers.0.conv.", ".downsamplers.0.op."),
    ];
    let renamed = RENAMED.iter().filter(|(today, _)| name.contains(today));
    renamed
        .map(|(today, old)| name.replace(today, old))
        .collect()
}

/// What a header says, not yet believed: names may be there twice.
struct Claims(Vec<(String, Claim)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    dtype: Dtype,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Claims, D::Error> {
        struct ByName;
        impl<'de> Visitor<'de> for ByName {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        claims.push((name, map.next_value()?));
                    }
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(ByName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str, values: u64) -> Result<Header, Error> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        Header::read(&mut &file[..], file.len() as u64 + values)
    }

    const PAIR: &str = r#"{"__metadata__": {"format": "pt"},
        "b": {"dtype": "F16", "shape": [2, 3], "data_offsets": [4, 16]},
        "a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}}"#;

    #[test]
    fn a_true_header_is_believed() -> Result<(), Error> {
        let header = read(PAIR, 16)?;
        let b = Entry {
            dtype: Dtype::F16,
            shape: vec![2, 3],
            begin: 8 + PAIR.len() as u64 + 4,
            bytes: 12,
        };
        assert_eq!(header.entries["b"], b);
        assert_eq!(header.entries.len(), 2);
        Ok(())
    }

    #[test]
    fn a_header_that_lies_is_refused_with_the_lie() {
        let lie = |from: &str, to: &str| {
            assert!(PAIR.contains(from));
            let error = read(&PAIR.replace(from, to), 16).expect_err(to);
            error.to_string()
        };
        for (from, to, words) in [
            ("[2, 3]", "[2, 4]", "`b`"),
            ("[2, 3]", "[4294967296, 4294967296]", "`b`"),
            ("[4, 16]", "[16, 4]", "`b`"),
            ("[4, 16]", "[3, 15]", "at byte 3"),
            ("[4, 16]", "[5, 17]", "at byte 4"),
            ("\"F16\"", "\"I8\"", "unknown variant"),
            ("\"shape\": []", "\"shape\": [-1]", "expected usize"),
            ("\"a\":", "\"b\":", "overlap"),
            (
                "\"shape\": []",
                "\"shape\": [], \"more\": 1",
                "unknown field",
            ),
        ] {
            let error = lie(from, to);
            // Two tensors of one name overlap, or are found to have one name.
            let found = error.contains(words) || words == "overlap" && error.contains("twice");
            assert!(found, "{to}: {error}");
        }
        for values in [0, 15, 17, u64::MAX - 1000] {
            assert!(read(PAIR, values).is_err(), "{values} bytes of values");
        }
    }

    #[test]
    fn a_length_beyond_the_file_takes_no_memory() {
        for claimed in [17, 1 << 40, u64::MAX] {
            let mut file = u64::to_le_bytes(claimed).to_vec();
            file.extend([b'{'; 16]);
            assert!(Header::read(&mut &file[..], 24).is_err(), "{claimed}");
        }
    }
}
