//! Numbers that others printed, beside ours.

use serde::{Deserialize, Serialize};

use super::{
    judge::allowed,
    place::Place,
    report::{Against, Check, Finding, How, Section},
    study::{Expected, Tolerance},
};
use crate::{claim::ClaimResult, error::Error};

/// A published number, and which of the study's numbers is ours.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Identifier within the study, such as `song2019-figure-3`.
    pub id: String,
    /// Authors, year, and the place in their work.
    pub source: String,
    /// What they say, one sentence.
    pub says: String,
    /// How we know.
    pub read: Read,
    /// The number as printed, in quotes.
    pub printed: String,
    /// How the two are compared.
    pub compare: Compare,
    /// What ours may be off, besides, for `near`, the rounding of the printed number.
    pub tolerance: Tolerance,
    /// Ours, among the numbers of the study.
    pub ours: Option<Ours>,
    /// Ours, among the findings of claims that are kept, in its place.
    pub claim: Option<OfClaim>,
    /// What a reader must know to judge the row: how our setting differs from theirs, why ours is another number.
    pub note: Option<String>,
}

/// How a published number came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Read {
    /// Read in a public copy of the work.
    Text,
    /// Read in the code or the configuration that the authors published.
    Code,
    /// A formula or theorem of the work, derived again for its tests.
    Formula,
    /// Recalled and not read again: it may be misquoted.
    Recalled,
}

/// How a number of ours is held against the printed one: it agrees if all that the error of ours leaves possible does,
/// and differs if nothing of that agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// The printed number is rounded: ours agrees if it rounds to it, within what is allowed.
    Near,
    /// The printed number is exact, a theorem's or a parameter's: ours agrees if it is the same within what is allowed.
    Equal,
    /// It agrees if it is no smaller, within what is allowed.
    AtLeast,
    /// It agrees if it is no larger, within what is allowed.
    AtMost,
    /// Both are printed, and the note says why they cannot be compared.
    Shown,
}

/// The address of a number in the report of the same study.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ours {
    /// The quantity: the key of the table's list.
    pub quantity: String,
    /// The table's name.
    pub table: String,
    /// The arm, run or target; empty where the table has one only.
    pub group: String,
    /// What the number is called in the report.
    pub number: String,
}

/// The address of a finding among the results of claims that are kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfClaim {
    /// The claim's name.
    pub claim: String,
    /// The finding's id.
    pub finding: String,
    /// What is shown of its number.
    pub shown: Shown,
}

/// What is shown of a finding's number x.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// x.
    AsMeasured,
    /// eˣ, the ratio that x is the logarithm of.
    Ratio,
    /// e⁻ˣ, the other way round.
    InverseRatio,
}

impl Shown {
    fn at(self, x: f64) -> f64 {
        match self {
            Shown::AsMeasured => x,
            Shown::Ratio => x.exp(),
            Shown::InverseRatio => (-x).exp(),
        }
    }
}

/// A published number that is not tried here.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cited {
    /// Identifier within the study.
    pub id: String,
    /// Authors, year, and the place in their work.
    pub source: String,
    /// What they say, with the numbers.
    pub says: String,
    /// How we know.
    pub read: Read,
    /// Why it is not tried.
    pub why: String,
}

/// A published number beside ours, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Identifier within the study.
    pub id: String,
    /// Authors, year, and the place in their work.
    pub source: String,
    /// What they say.
    pub says: String,
    /// How we know.
    pub read: Read,
    /// The number as printed.
    pub printed: String,
    /// How the two are compared.
    pub compare: Compare,
    /// What ours is.
    pub what: String,
    /// Ours, with its error; none if the study has no number of that address.
    pub ours: Option<Check>,
    /// The largest difference allowed, the rounding of theirs included; none for what is shown.
    pub allowed: Option<f64>,
    /// What became of it.
    pub verdict: Agreement,
    /// What a reader must know.
    pub note: Option<String>,
}

/// What became of a published number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Ours agrees within what is allowed.
    Agrees,
    /// Ours is another.
    Differs,
    /// The error of ours leaves both possible.
    Open,
    /// Both are shown.
    NotComparable,
    /// The study has no finite number of that address.
    NotFound,
}

impl Agreement {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Agreement::Agrees => "AGREES",
            Agreement::Differs => "DIFFERS",
            Agreement::Open => "CANNOT BE TOLD",
            Agreement::NotComparable => "NOT COMPARABLE",
            Agreement::NotFound => "NOT FOUND",
        }
    }
}

impl Published {
    /// Refuses what cannot be compared; `tables` are the quantities and names of the study.
    pub(super) fn check(&self, place: &Place, tables: &[(&str, &str)]) -> Result<(), Error> {
        if Expected::parse(&self.printed).is_none() {
            let rule = "it must be a number as printed, such as \"0.45\": put words into `says`";
            return Err(place.refuse("printed", format!("{:?}", self.printed), rule));
        }
        place.non_negative("tolerance.relative", self.tolerance.relative)?;
        place.non_negative("tolerance.absolute", self.tolerance.absolute)?;
        match (&self.ours, &self.claim) {
            (Some(ours), None) if !tables.contains(&(&ours.quantity, &ours.table)) => {
                let given = format!("{} {:?}", ours.quantity, ours.table);
                let rule = "the study has no such table: name one by its quantity and its name";
                return Err(place.refuse("ours", given, rule));
            }
            (Some(_), None) | (None, Some(_)) => {}
            (ours, _) => {
                let given = if ours.is_some() { "both" } else { "none" };
                let rule = "a row has `ours`, a number of the study, or `claim`, a finding: give one of them";
                return Err(place.refuse("ours", given, rule));
            }
        }
        if self.compare == Compare::Shown && self.note.is_none() {
            let rule = "what is only shown has a `note` that says why: add one";
            return Err(place.refuse("compare", "\"shown\"", rule));
        }
        Ok(())
    }

    /// Finds ours among the sections of the study, or among the claims that are kept, and compares.
    pub(super) fn compared(&self, sections: &[Section], kept: &[ClaimResult]) -> Comparison {
        let printed = Expected::parse(&self.printed).expect("it was checked");
        let (what, found) = match (&self.ours, &self.claim) {
            (Some(ours), _) => ours.find(sections),
            (None, Some(claim)) => claim.find(kept),
            (None, None) => (String::new(), None),
        };
        let rounding = match self.compare {
            Compare::Near => printed.half_unit,
            Compare::Equal | Compare::AtLeast | Compare::AtMost | Compare::Shown => 0.0,
        };
        let slack = rounding + self.tolerance.around(printed.value);
        let verdict = match found.as_ref().and_then(|check| Some((check, check.value?))) {
            None => Agreement::NotFound,
            Some((check, value)) => {
                let error = allowed(check.how, check.error.unwrap_or(0.0), printed.error);
                let difference = value - printed.value;
                // By how much it is beyond what is allowed, at least and at most.
                let beyond = match self.compare {
                    Compare::Near | Compare::Equal => Some(difference.abs()),
                    Compare::AtLeast => Some(-difference),
                    Compare::AtMost => Some(difference),
                    Compare::Shown => None,
                };
                match beyond {
                    None => Agreement::NotComparable,
                    Some(beyond) if beyond + error <= slack => Agreement::Agrees,
                    Some(beyond) if slack < beyond - error => Agreement::Differs,
                    Some(_) => Agreement::Open,
                }
            }
        };
        Comparison {
            id: self.id.clone(),
            source: self.source.clone(),
            says: self.says.clone(),
            read: self.read,
            printed: self.printed.clone(),
            compare: self.compare,
            what,
            ours: found,
            allowed: (self.compare != Compare::Shown).then_some(slack),
            verdict,
            note: self.note.clone(),
        }
    }
}

impl Ours {
    fn find(&self, sections: &[Section]) -> (String, Option<Check>) {
        let Ours {
            quantity,
            table,
            group,
            number,
        } = self;
        let comma = if group.is_empty() { "" } else { ", " };
        let found = sections
            .iter()
            .filter(|section| section.quantity == *quantity && section.name == *table)
            .flat_map(|section| &section.checks)
            .find(|check| check.group == *group && check.what == *number);
        (
            format!("{quantity} {table}: {group}{comma}{number}"),
            found.cloned(),
        )
    }
}

impl OfClaim {
    fn find(&self, kept: &[ClaimResult]) -> (String, Option<Check>) {
        let claims = kept.iter().filter(|claim| claim.name == self.claim);
        let found = claims
            .flat_map(|claim| &claim.findings)
            .find(|finding| finding.id == self.finding);
        let measure = found.map_or("no result is kept", |finding| finding.measure.as_str());
        let what = match self.shown {
            Shown::AsMeasured => measure.to_owned(),
            Shown::Ratio => format!("exp {measure}"),
            Shown::InverseRatio => format!("exp −{measure}"),
        };
        let what = format!("claim {}, `{}`: {what}", self.claim, self.finding);
        (what, found.map(|finding| self.check(finding)))
    }

    /// The number with the farther end of its interval as its error.
    fn check(&self, finding: &Finding) -> Check {
        let value = finding.value.map(|x| self.shown.at(x));
        let ends = [finding.low, finding.high].map(|end| end.map(|x| self.shown.at(x)));
        let far = |end: &Option<f64>| Some((end.as_ref()? - value?).abs());
        Check {
            group: String::new(),
            what: finding.id.clone(),
            value,
            error: ends.iter().filter_map(far).reduce(f64::max),
            how: How::Interval,
            against: Against::Nothing,
            wanted: None,
            difference: None,
            tolerance: None,
            verdict: finding.verdict.clone(),
            class: finding.class.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(printed: &str, compare: Compare) -> Published {
        Published {
            id: "one".to_owned(),
            source: "Nobody 1900, table 1".to_owned(),
            says: "It is so.".to_owned(),
            read: Read::Formula,
            printed: printed.to_owned(),
            compare,
            tolerance: Tolerance {
                relative: 0.0,
                absolute: 0.1,
            },
            ours: Some(Ours {
                quantity: "edm".to_owned(),
                table: "t".to_owned(),
                group: String::new(),
                number: "n".to_owned(),
            }),
            claim: None,
            note: None,
        }
    }

    fn section(value: f64, error: f64, how: How) -> Section {
        Section {
            study: "s".to_owned(),
            quantity: "edm".to_owned(),
            name: "t".to_owned(),
            meaning: String::new(),
            parameters: String::new(),
            about: Vec::new(),
            checks: vec![Check {
                group: String::new(),
                what: "n".to_owned(),
                value: Some(value),
                error: Some(error),
                how,
                against: Against::Nothing,
                wanted: None,
                difference: None,
                tolerance: None,
                verdict: String::new(),
                class: String::new(),
            }],
            findings: Vec::new(),
        }
    }

    fn verdict(printed: &str, compare: Compare, value: f64) -> Agreement {
        let sections = [section(value, 0.0, How::Rounding)];
        row(printed, compare).compared(&sections, &[]).verdict
    }

    #[test]
    fn what_rounds_to_the_printed_number_agrees_and_nothing_beyond_what_is_allowed() {
        // Half a unit of "2.0" and a tolerance of 0.1.
        assert_eq!(verdict("2.0", Compare::Near, 2.149), Agreement::Agrees);
        assert_eq!(verdict("2.0", Compare::Near, 2.151), Agreement::Differs);
        assert_eq!(verdict("2", Compare::Near, 2.59), Agreement::Agrees);
        assert_eq!(verdict("2", Compare::Equal, 2.09), Agreement::Agrees);
        assert_eq!(verdict("2", Compare::Equal, 2.11), Agreement::Differs);
        assert_eq!(verdict("2.0", Compare::AtLeast, 9.0), Agreement::Agrees);
        assert_eq!(verdict("2.0", Compare::AtLeast, 1.8), Agreement::Differs);
        assert_eq!(verdict("2.0", Compare::AtMost, 9.0), Agreement::Differs);
        assert_eq!(verdict("2.0", Compare::AtMost, -9.0), Agreement::Agrees);
        assert_eq!(
            verdict("2.0", Compare::Shown, 9.0),
            Agreement::NotComparable
        );
    }

    #[test]
    fn what_the_error_of_ours_leaves_open_is_not_agreement() {
        // Four standard errors of what is drawn, one error of what is computed on a grid; 0.15 is allowed.
        let at = |compare, value, how| {
            let sections = [section(value, 0.05, how)];
            row("2.0", compare).compared(&sections, &[]).verdict
        };
        for (compare, value, how, verdict) in [
            (Compare::Near, 2.0, How::Grid, Agreement::Agrees),
            (Compare::Near, 2.0, How::Sampled, Agreement::Open),
            (Compare::Near, 2.3, How::Sampled, Agreement::Open),
            (Compare::Near, 2.3, How::Interval, Agreement::Differs),
            (Compare::Near, 2.4, How::Sampled, Agreement::Differs),
            (Compare::AtLeast, 2.2, How::Sampled, Agreement::Agrees),
            (Compare::AtLeast, 2.05, How::Sampled, Agreement::Open),
            (Compare::AtLeast, 1.6, How::Sampled, Agreement::Differs),
            (Compare::AtMost, 1.8, How::Sampled, Agreement::Agrees),
            (Compare::AtMost, 2.2, How::Sampled, Agreement::Open),
            (Compare::AtMost, 2.4, How::Sampled, Agreement::Differs),
        ] {
            assert_eq!(
                at(compare, value, how),
                verdict,
                "{compare:?} {value} {how:?}"
            );
        }
    }

    #[test]
    fn a_finding_that_is_kept_stands_for_a_number() {
        let mut of_claim = row("2.0", Compare::AtLeast);
        of_claim.ours = None;
        of_claim.claim = Some(OfClaim {
            claim: "a".to_owned(),
            finding: "a".to_owned(),
            shown: Shown::Ratio,
        });
        let kept = [crate::claim::example("a", "T1", "supported")];
        // The number is 2, between 1.5 and 2.5.
        let compared = of_claim.compared(&[], &kept);
        let ours = compared.ours.expect("it is kept");
        assert_eq!(compared.verdict, Agreement::Agrees);
        assert!((ours.value.unwrap() - 2.0_f64.exp()).abs() < 1e-12);
        assert!((ours.error.unwrap() - (2.5_f64.exp() - 2.0_f64.exp())).abs() < 1e-12);
        assert_eq!(of_claim.compared(&[], &[]).verdict, Agreement::NotFound);
    }

    #[test]
    fn a_number_that_is_not_there_is_not_found() {
        let mut other = row("2.0", Compare::Near);
        other.ours.as_mut().unwrap().number = "m".to_owned();
        let sections = [section(2.0, 0.0, How::Rounding)];
        let compared = other.compared(&sections, &[]);
        assert_eq!(compared.verdict, Agreement::NotFound);
        assert!(compared.ours.is_none());
    }

    #[test]
    fn words_and_unknown_tables_are_refused() {
        let place = Place("p.toml".to_owned());
        let tables = [("edm", "t")];
        let message = |row: Published| match row.check(&place, &tables) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(message(row("2.0", Compare::Near)), "accepted");
        assert!(message(row("twice", Compare::Near)).contains("printed = \"twice\""));
        assert!(message(row("2.0", Compare::Shown)).contains("says why"));
        let mut lost = row("2.0", Compare::Near);
        lost.ours.as_mut().unwrap().table = "u".to_owned();
        assert!(message(lost).contains("ours = edm \"u\""));
        let mut nothing = row("2.0", Compare::Near);
        nothing.ours = None;
        assert!(message(nothing).contains("give one of them"));
    }
}
