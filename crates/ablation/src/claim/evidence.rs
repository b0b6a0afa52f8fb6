//! From findings to the verdict of a sentence: part by part, by the one list of verdicts.

use super::{
    ClaimResult,
    sentence::{Part, Say, Sentence, named},
    thesis::SENTENCES,
};
use crate::{catalog, exact::Finding};

/// A verdict of a part or a sentence, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Word {
    Refuted,
    Conditional,
    Inconclusive,
    Supported,
    NotTested,
}

impl Word {
    pub(super) fn text(self) -> &'static str {
        match self {
            Word::Refuted => "REFUTED",
            Word::Conditional => "SUPPORTED UNDER CONDITIONS",
            Word::Inconclusive => "INCONCLUSIVE",
            Word::Supported => "SUPPORTED",
            Word::NotTested => "NOT TESTED",
        }
    }
}

/// What a finding does to a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    Against,
    Open,
    For,
    /// It was to have a say, and there is no result.
    Untested,
    Beside,
}

impl Weight {
    pub(super) fn mark(self) -> &'static str {
        match self {
            Weight::Against => "✗",
            Weight::Open | Weight::Untested => "·",
            Weight::For => "✓",
            Weight::Beside => "○",
        }
    }
}

/// A finding that bears on a part.
pub(super) struct Evidence<'a> {
    pub(super) claim: &'a ClaimResult,
    pub(super) finding: &'a Finding,
    pub(super) weight: Weight,
}

/// A part of a sentence, judged.
pub(super) struct Judged<'a> {
    pub(super) says: &'static str,
    pub(super) caveat: &'static str,
    pub(super) word: Word,
    /// Under which condition, where it is supported under one.
    pub(super) condition: String,
    /// What speaks against it first.
    pub(super) evidence: Vec<Evidence<'a>>,
    /// Findings that are to have a say and have not been run.
    pub(super) missing: Vec<&'static str>,
}

/// The parts of a sentence, each with the evidence that is kept; what studies that are not built in say of it last.
pub(super) fn parts<'a>(number: usize, claims: &'a [ClaimResult]) -> Vec<Judged<'a>> {
    let Sentence { parts, .. } = &SENTENCES[number - 1];
    let mut own: Vec<Judged<'_>> = parts.iter().map(|part| of_part(part, claims)).collect();
    let (mut beside, others): (Vec<_>, Vec<_>) = others(&format!("T{number}"), claims)
        .into_iter()
        .partition(|evidence| evidence.weight == Weight::Beside);
    match own.last_mut() {
        Some(last) => last.evidence.append(&mut beside),
        None if beside.is_empty() => {}
        None => own.push(Judged::new("", "", "", beside, Vec::new())),
    }
    if !others.is_empty() {
        own.push(Judged::new("", "", "", others, Vec::new()));
    }
    own
}

/// A sentence holds if every part does: first match of REFUTED, NOT TESTED, INCONCLUSIVE, SUPPORTED UNDER, SUPPORTED.
pub(super) fn together(parts: &[Judged<'_>]) -> Word {
    let any = |word| parts.iter().any(|part| part.word == word);
    if any(Word::Refuted) {
        Word::Refuted
    } else if parts.iter().all(|part| part.word == Word::NotTested) {
        Word::NotTested
    } else if any(Word::Inconclusive) || any(Word::NotTested) {
        Word::Inconclusive
    } else if any(Word::Conditional) {
        Word::Conditional
    } else {
        Word::Supported
    }
}

/// The sentences that a finding bears on: by the table for those that are named there, else by its study.
pub(crate) fn bears_on(finding: &Finding) -> Vec<String> {
    let by_table = by_table(&finding.id);
    if by_table.is_empty() {
        finding.about.clone()
    } else {
        by_table
    }
}

/// The sentences in whose table a finding is named.
fn by_table(id: &str) -> Vec<String> {
    let names = |part: &Part| named(part).any(|(_, own)| own == id);
    (1..)
        .zip(&SENTENCES)
        .filter(|(_, sentence)| sentence.parts.iter().any(names))
        .map(|(number, _): (usize, _)| format!("T{number}"))
        .collect()
}

fn of_part<'a>(part: &Part, claims: &'a [ClaimResult]) -> Judged<'a> {
    let (mut evidence, mut missing) = (Vec::new(), Vec::new());
    for (say, id) in named(part) {
        let mut found = claims.iter().flat_map(|claim| {
            let own = claim
                .findings
                .iter()
                .filter(move |finding| finding.id == id);
            own.map(move |finding| (claim, finding))
        });
        match found.next() {
            Some((claim, finding)) => evidence.push(Evidence {
                claim,
                finding,
                weight: weight(say, &finding.class),
            }),
            None if say != Say::None => missing.push(id),
            None => {}
        }
    }
    Judged::new(part.says, part.caveat, part.under, evidence, missing)
}

/// What studies that are not built in say of a sentence; findings of built-in ones that are named nowhere have no say.
fn others<'a>(sentence: &str, claims: &'a [ClaimResult]) -> Vec<Evidence<'a>> {
    let names = |list: &[String]| list.iter().any(|name| name == sentence);
    let built_in =
        |claim: &ClaimResult| catalog::CLAIMS.iter().any(|(name, _)| *name == claim.name);
    let findings = claims
        .iter()
        .flat_map(|claim| claim.findings.iter().map(move |finding| (claim, finding)));
    findings
        .filter(|(claim, finding)| {
            let unnamed = !built_in(claim) || by_table(&finding.id).is_empty();
            names(&finding.about) && unnamed
        })
        .map(|(claim, finding)| {
            let against = claim
                .against
                .get(&finding.id)
                .is_some_and(|list| names(list));
            let say = match against {
                _ if built_in(claim) => Say::None,
                true => Say::Against,
                false => Say::For,
            };
            Evidence {
                claim,
                finding,
                weight: weight(say, &finding.class),
            }
        })
        .collect()
}

fn weight(say: Say, class: &str) -> Weight {
    match (say, class) {
        (Say::None, _) => Weight::Beside,
        (_, "not_tested") => Weight::Untested,
        (Say::For, "supported" | "supported_under") | (Say::Against, "refuted") => Weight::For,
        (Say::For, "refuted") | (Say::Against, "supported" | "supported_under") => Weight::Against,
        _ => Weight::Open,
    }
}

impl<'a> Judged<'a> {
    fn new(
        says: &'static str,
        caveat: &'static str,
        under: &str,
        mut evidence: Vec<Evidence<'a>>,
        missing: Vec<&'static str>,
    ) -> Judged<'a> {
        evidence.sort_by_key(|evidence| evidence.weight);
        let any = |weight| evidence.iter().any(|evidence| evidence.weight == weight);
        let open = any(Weight::Open) || any(Weight::Untested) || !missing.is_empty();
        let decided = any(Weight::For) || any(Weight::Against) || any(Weight::Open);
        // The words that the findings themselves hold under.
        let words: Vec<&str> = evidence
            .iter()
            .filter(|evidence| evidence.weight == Weight::For)
            .filter_map(|evidence| evidence.finding.verdict.strip_prefix("SUPPORTED UNDER "))
            .collect();
        let word = match (any(Weight::For), any(Weight::Against)) {
            (true, true) => Word::Conditional,
            (false, true) => Word::Refuted,
            (_, false) if !decided => Word::NotTested,
            (_, false) if open => Word::Inconclusive,
            (_, false) if !words.is_empty() => Word::Conditional,
            (_, false) => Word::Supported,
        };
        let condition = match (word, under, words.first()) {
            (Word::Conditional, "", Some(words)) => (*words).to_owned(),
            (Word::Conditional, "", None) => "the conditions of what is marked ✓".to_owned(),
            (Word::Conditional, under, _) => under.to_owned(),
            _ => String::new(),
        };
        Judged {
            says,
            caveat,
            word,
            condition,
            evidence,
            missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::claim::{Selection, load};

    fn judged(weights: &[Weight]) -> Word {
        let result = crate::claim::example("a", "T1", "supported");
        let evidence = weights.iter().map(|&weight| Evidence {
            claim: &result,
            finding: &result.findings[0],
            weight,
        });
        Judged::new("", "", "", evidence.collect(), Vec::new()).word
    }

    #[test]
    fn a_part_is_what_its_findings_make_of_it() {
        use Weight::{Against, Beside, For, Open, Untested};
        for (weights, word) in [
            (&[For, For][..], Word::Supported),
            (&[For, Beside], Word::Supported),
            (&[For, Open], Word::Inconclusive),
            (&[For, Untested], Word::Inconclusive),
            (&[For, Against, Open], Word::Conditional),
            (&[Against, Open], Word::Refuted),
            (&[Open], Word::Inconclusive),
            (&[Untested, Beside], Word::NotTested),
            (&[], Word::NotTested),
        ] {
            assert_eq!(judged(weights), word, "{weights:?}");
        }
    }

    #[test]
    fn a_sentence_is_a_conjunction_of_its_parts() {
        let part = |word| Judged {
            says: "",
            caveat: "",
            word,
            condition: String::new(),
            evidence: Vec::new(),
            missing: Vec::new(),
        };
        use Word::{Conditional, Inconclusive, NotTested, Refuted, Supported};
        for (parts, word) in [
            (&[Supported, Supported][..], Supported),
            (&[Supported, Conditional], Conditional),
            (&[Supported, NotTested], Inconclusive),
            (&[Conditional, Inconclusive], Inconclusive),
            (&[Supported, Refuted, Inconclusive], Refuted),
            (&[NotTested, NotTested], NotTested),
            (&[], NotTested),
        ] {
            let parts: Vec<Judged<'_>> = parts.iter().map(|word| part(*word)).collect();
            assert_eq!(together(&parts), word);
        }
    }

    #[test]
    fn the_table_names_findings_of_the_built_in_claims_and_each_of_them_once_per_part() {
        let claims = load(&Selection::All).expect("they read");
        let ids: BTreeSet<&str> = claims
            .iter()
            .flat_map(|claim| {
                let own = claim.findings.iter().map(|finding| finding.id.as_str());
                let exact = claim.exact.iter().map(String::as_str);
                let untested = claim.untested.iter().map(|_| claim.name.as_str());
                own.chain(exact).chain(untested)
            })
            // A claim whose data are not here has one finding, of its own name.
            .chain(claims.iter().map(|claim| claim.name.as_str()))
            .collect();
        for (number, sentence) in (1..).zip(&SENTENCES) {
            assert_eq!(
                sentence.parts.is_empty(),
                number == 18,
                "T{number} asserts something"
            );
            for part in sentence.parts {
                let mut once = BTreeSet::new();
                for (_, id) in named(part) {
                    assert!(
                        ids.contains(id),
                        "T{number} names `{id}`, which no claim finds"
                    );
                    assert!(once.insert(id), "T{number} names `{id}` twice in a part");
                }
                let says_why = !part.caveat.is_empty() || !sentence.untestable.is_empty();
                assert!(!once.is_empty() || says_why, "T{number}: a part of nothing");
            }
        }
    }
}
