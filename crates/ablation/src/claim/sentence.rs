//! What a sentence of the thesis asserts, and which findings have a say in it.

/// A sentence of the thesis.
pub(super) struct Sentence {
    /// What it says, in short.
    pub(super) says: &'static str,
    /// What it asserts; it holds if every part does.
    pub(super) parts: &'static [Part],
    /// Why it cannot be tested here, where it cannot.
    pub(super) untestable: &'static str,
}

/// One thing that a sentence asserts.
pub(super) struct Part {
    /// What it asserts; empty where it is all of the sentence.
    pub(super) says: &'static str,
    /// Findings by their ids, between spaces. Bare: one that speaks for the part if it holds, and against it if it is
    /// refuted. `!`: the other way round. `?`: shown beside, without a say.
    pub(super) evidence: &'static str,
    /// Under which condition it holds, where some findings speak for it and some against it.
    pub(super) under: &'static str,
    /// What the evidence does not reach.
    pub(super) caveat: &'static str,
}

/// A part.
pub(super) const fn part(says: &'static str, evidence: &'static str) -> Part {
    Part {
        says,
        evidence,
        under: "",
        caveat: "",
    }
}

impl Part {
    /// With the condition under which it holds.
    pub(super) const fn under(self, under: &'static str) -> Part {
        Part { under, ..self }
    }

    /// With what its evidence does not reach.
    pub(super) const fn caveat(self, caveat: &'static str) -> Part {
        Part { caveat, ..self }
    }
}

/// A sentence that can be tested.
pub(super) const fn sentence(says: &'static str, parts: &'static [Part]) -> Sentence {
    Sentence {
        says,
        parts,
        untestable: "",
    }
}

/// One that cannot, and why.
pub(super) const fn untestable(
    says: &'static str,
    parts: &'static [Part],
    untestable: &'static str,
) -> Sentence {
    Sentence {
        says,
        parts,
        untestable,
    }
}

/// The findings that a part names, each with its say.
pub(super) fn named(part: &Part) -> impl Iterator<Item = (Say, &'static str)> {
    part.evidence.split_whitespace().map(|word| {
        let bare = |mark| word.strip_prefix(mark);
        match (bare('!'), bare('?')) {
            (Some(id), _) => (Say::Against, id),
            (_, Some(id)) => (Say::None, id),
            _ => (Say::For, word),
        }
    })
}

/// What a finding says of a part, if it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// It speaks for it.
    For,
    /// It speaks against it.
    Against,
    /// It is shown beside.
    None,
}
