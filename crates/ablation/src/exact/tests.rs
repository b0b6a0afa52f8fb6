//! A study with every quantity, small: what is computed agrees, what is wrong is refused, and it reads well.

use super::{Report, Study, report::Against, run};
use crate::{catalog, error::Error, report, study::parse};

const SMALL: &str = include_str!("small.toml");

fn small() -> Study {
    let mut study: Study = parse("small.toml", SMALL).unwrap();
    study.place = "small.toml".to_owned();
    study
}

fn refusal(text: &str) -> String {
    let checked = parse::<Study>("small.toml", text).and_then(|mut study| {
        study.place = "small.toml".to_owned();
        study.check()
    });
    checked.map_or_else(|error| error.to_string(), |()| "accepted".to_owned())
}

fn computed() -> Report {
    let study = small();
    study.check().unwrap();
    run("small", &[study], &[])
}

#[test]
fn the_built_in_study_is_sound_and_has_every_quantity() {
    let [study] = &super::load(&[], catalog::EXACT).unwrap()[..] else {
        panic!("one study is built in")
    };
    let words: Vec<&str> = study.tables().iter().map(|table| table.word()).collect();
    for table in small().tables() {
        assert!(words.contains(&table.word()), "{}", table.word());
    }
    assert!(study.tables().iter().all(|table| !table.about().is_empty()));
}

/// What of the built-in study is computed within seconds: no network deeper than 8, no sampler, no large eigenproblem.
fn quick() -> Study {
    let mut study = super::load(&[], catalog::EXACT).unwrap().remove(0);
    study.shattering.clear();
    study.langevin.clear();
    study.rank.retain(|table| table.name == "power-law-0.03");
    for table in &mut study.depth {
        table.depths = vec![4, 8];
        table.claims.clear();
        for arm in &mut table.arms {
            arm.expected.retain(|expected| expected.depth == 8);
        }
    }
    study.check().unwrap();
    study
}

/// A formula that is perturbed moves a row into this list, or out of it.
#[test]
fn the_built_in_study_differs_in_what_its_notes_say_and_in_nothing_else() {
    let report = run("exact", &[quick()], &[]);
    let mut differs = Vec::new();
    for section in &report.sections {
        for check in &section.checks {
            if check.class == "refuted" {
                differs.push(format!("{}: {}", section.name, check.what));
            }
        }
    }
    assert_eq!(
        differs,
        [
            "song-ermon: λ₁ at σ = 0",
            "circle-in-the-plane: floor at σ = 0.01",
            "circle-in-the-plane: floor at σ = 0.1",
            "circle-in-the-plane: floor at σ = 0.3",
            "w-is-i-plus-v: last loss, plain from Xavier's W, median",
        ]
    );
    let refuted: Vec<&str> = (report.sections.iter())
        .flat_map(|section| &section.findings)
        .filter(|finding| finding.class != "supported")
        .map(|finding| &*finding.id)
        .collect();
    assert_eq!(
        refuted,
        [
            "6-modes-drown",
            "7b-easier-images",
            "3a-all-paths",
            "3a-measured-paths"
        ]
    );
}

#[test]
fn the_known_answers_of_audibility_and_paths_are_met() {
    let mut study = quick();
    study.depth.clear();
    study.rank.clear();
    study.floors.clear();
    let report = run("exact", &[study], &[]);
    let value = |quantity: &str, what: &str| {
        let sections = report.sections.iter().filter(|s| s.quantity == quantity);
        let mut checks = sections.flat_map(|section| &section.checks);
        let check = checks.find(|check| check.what == what);
        check.and_then(|check| check.value).expect(what)
    };
    // E_p (s_p − s_q)² by the midpoint rule: s_p − s_q is (r_p − r_q) 2 h/v, r the responsibility of the mode above.
    let curve = |sigma: f64| {
        let (half, v) = (50.0_f64.sqrt(), 1.0 + sigma * sigma);
        let density = |x: f64, mean: f64| (-(x - mean).powi(2) / (2.0 * v)).exp();
        let (reach, n) = (half + 9.0 * v.sqrt(), 20_000);
        let step = 2.0 * reach / f64::from(n);
        let at = |i: i32| {
            let x = (f64::from(i) + 0.5) * step - reach;
            let [up, down] = [half, -half].map(|mean| density(x, mean));
            let p = 0.8 * up + 0.2 * down;
            let apart = 0.8 * up / p - up / (up + down);
            p * (apart * 2.0 * half / v).powi(2)
        };
        (0..n).map(at).sum::<f64>() * step / (2.0 * std::f64::consts::PI * v).sqrt()
    };
    for sigma in [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 50.0] {
        let found = value("audibility", &format!("FD at σ = {sigma}"));
        assert!(
            (found / curve(sigma) - 1.0).abs() < 1e-9,
            "{sigma}: {found}"
        );
    }
    let short = value("paths", "share of paths up to length 17");
    // Σ C(54, k)/2⁵⁴, k ≤ 17, in whole numbers.
    let mut choose = 1_u128;
    let mut paths = 1_u128;
    for k in 1..=17 {
        choose = choose * (55 - k) / k;
        paths += choose;
    }
    assert!((short / (paths as f64 / 2.0_f64.powi(54)) - 1.0).abs() < 1e-12);
    assert!((short - 0.0045367).abs() < 5e-8);
}

#[test]
fn every_number_agrees_with_its_closed_form_and_every_claim_has_a_verdict() {
    let report = computed();
    let study = small();
    assert_eq!(report.sections.len(), study.tables().len());
    for (section, table) in report.sections.iter().zip(study.tables()) {
        let claims = table.claims();
        assert_eq!(section.findings.len(), claims.len());
        let held = |check: &&super::Check| check.against != Against::Nothing;
        assert!(
            section.checks.iter().any(|check| held(&check)),
            "{}",
            section.quantity
        );
        for check in section.checks.iter().filter(held) {
            assert_eq!(check.class, "supported", "{}: {check:?}", section.quantity);
        }
        for (finding, claim) in section.findings.iter().zip(claims) {
            // A claim's identifier says what becomes of it.
            let expected = claim.id.rsplit('-').next().unwrap();
            assert_eq!(finding.class, expected, "{finding:?}");
        }
    }
}

#[test]
fn another_seed_moves_only_what_is_drawn_and_the_same_one_nothing() {
    let bytes = |report: &Report| serde_json::to_string(report).unwrap();
    let (first, again) = (computed(), computed());
    assert_eq!(bytes(&first), bytes(&again));
    let mut study = small();
    study.seed += 1;
    let other = run("small", &[study], &[]);
    for (a, b) in first.sections.iter().zip(&other.sections) {
        let drawn = [
            "depth",
            "shattering",
            "floors",
            "langevin",
            "linear",
            "rank",
        ];
        let same = serde_json::to_string(a).unwrap() == serde_json::to_string(b).unwrap();
        assert_eq!(same, !drawn.contains(&&*a.quantity), "{}", a.quantity);
    }
}

#[test]
fn renderings_fit_and_agree() {
    let report = computed();
    let text = report::exact_terminal(&report, 80, report::Colour::Never);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let coloured = report::exact_terminal(&report, 80, report::Colour::Ansi);
    assert!(coloured.contains('\u{1b}') && !text.contains('\u{1b}'));
    let markdown = report::exact_markdown(&report);
    for line in markdown.lines().filter(|line| line.starts_with('|')) {
        let bars = line.replace("\\|", "").matches('|').count();
        assert!(bars == 8, "{bars} bars: {line}");
    }
    for section in &report.sections {
        for finding in &section.findings {
            assert!(text.contains(&finding.id) && markdown.contains(&finding.claim));
        }
    }
    assert!(!text.contains("NaN") && !markdown.contains("NaN"));
}

#[test]
fn a_value_is_met_by_what_rounds_to_it() {
    let with = |expected: &str| {
        SMALL.replace(
            "{ sigma = 1.0 }, # gap",
            &format!("{{ sigma = 1.0, expected = {expected} }},"),
        )
    };
    let verdict = |expected: &str| {
        let mut study: Study = parse("small.toml", &with(expected)).unwrap();
        study.place = "small.toml".to_owned();
        study.check().unwrap();
        let report = run("small", &[study], &[]);
        let checks = &report
            .sections
            .iter()
            .find(|s| s.quantity == "spectral_gap")
            .unwrap()
            .checks;
        let check = checks
            .iter()
            .find(|check| check.against == Against::Expected);
        check.unwrap().verdict.clone()
    };
    // λ₁ of N(0, 1 + 1) is 1/2.
    assert_eq!(verdict("\"0.5\""), "SUPPORTED");
    assert_eq!(verdict("\"5.0e-1\""), "SUPPORTED");
    assert_eq!(verdict("\"0.52\""), "REFUTED (different)");
    assert_eq!(verdict("\"0.6\""), "REFUTED (different)");
    // Four of its own standard errors.
    assert_eq!(verdict("\"0.6±0.02\""), "SUPPORTED");
    assert_eq!(verdict("\"0.6±0.01\""), "REFUTED (different)");
    for wrong in [
        "0.5",
        "\"half\"",
        "\"0.5±\"",
        "\"0.5±-1\"",
        "\"inf\"",
        "\"\"",
    ] {
        let said = refusal(&with(wrong));
        assert!(
            said.contains("in quotes") && said.contains("line"),
            "{said}"
        );
    }
}

#[test]
fn what_cannot_be_computed_is_refused_before_it_is() {
    let cases = [
        ("schema = 1", "schema = 2", "this program reads schema = 1"),
        ("name = \"small\"", "name = \"Small\"", "small letters"),
        ("name = \"gap\"", "nome = \"gap\"", "did you mean `name`?"),
        ("[\"T1\"] # gap", "[\"T37\"]", "T1 to T36"),
        ("means = [0.0, 0.0]", "means = [0.0]", "as many weights"),
        (
            "means = [0.0, 0.0]",
            "means = [0.0, 1e3]",
            "give 2036 or more",
        ),
        ("[-9.0, 7.0]", "[-90.0, 7.0]", "bring the modes nearer"),
        ("[-4.0, 4.0]", "[-4.0, 4e5]", "takes too long"),
        ("[0.5, 0.8]", "[1e-7, 1e7]", "takes too long"),
        (
            "variance = 1.0 # gap",
            "variance = -1.0",
            "positive and finite",
        ),
        ("nodes = 400", "nodes = 4", "100..=1000000"),
        ("{ sigma = 1.0 }, # gap", "{ sigma = 0.0 },", "sort them"),
        ("accuracy = 1e-3", "accuracy = 1.0", "(0, 1)"),
        ("rate = 0.01 # floors", "rate = 50.0", "would oscillate"),
        ("intrinsic = 2", "intrinsic = 9", "2..=3"),
        (
            "run = \"dynamics\"",
            "run = \"dynamite\"",
            "there is no such run",
        ),
        (
            "step = 0.1, steps = 300",
            "step = 4.0, steps = 300",
            "grow without end",
        ),
        ("steps = 800", "steps = 8000000", "takes more than a minute"),
        ("widths = [0, 2, 5]", "widths = [0, 5]", "not one of widths"),
        ("mismatch = 1.0", "mismatch = nan", "positive and finite"),
        ("decay = 0.01", "decay = 0", "positive and finite"),
        ("mismatch = 1.0", "mismatch = 1e200", "range of numbers"),
        ("lengths = [1, 4]", "lengths = [1, 14]", "0..=10"),
        ("depths = [2, 6]", "depths = [6, 2]", "sort them"),
        (
            "than = \"plain\" } # depth",
            "than = \"plane\" }",
            "no such arm",
        ),
        (
            "eigenvalues = [3.0, 1.0, 0.5]",
            "eigenvalues = [2.0, 2.0]",
            "give two that differ",
        ),
        (
            "eigenvalues = [2.0, 0.0, 0.3, 0.3, 0.05]",
            "eigenvalues = [0.0, 0.0]",
            "above zero",
        ),
        (
            "variance = [1.0, 0.25]",
            "variance = [1.0]",
            "as many variances",
        ),
        (
            "variance = [1.0, 0.25]",
            "variance = \"wide\"",
            "one for each mode",
        ),
        ("carried = 0.95", "carried = 1.0", "give one in (0, 1)"),
        ("rho = 7.0", "rho = 0.0", "above zero"),
        ("solver = \"heun\"", "solver = \"hen\"", "heun"),
        ("precision = 1e-7", "precision = 1.0", "give one in (0, 1)"),
        ("probes = 80", "probes = 8", "64..=100000"),
        ("probes = 80", "probes = 0", "set probes"),
        ("constant = 0.5", "constant = nan", "must be finite"),
        ("until = 6", "until = 2", "a slope takes two depths"),
        (
            "of = \"gain\", arm = \"plain\"",
            "of = \"first_gradient\", arm = \"two layers\"",
            "ask for gain",
        ),
        ("lags = [1]", "lags = [40]", "1..=39"),
        ("delta = 0.1 # gap", "delta = -0.1", "must be positive"),
        (
            "id = \"gap-supported\"",
            "id = \"floors-supported\"",
            "give each its own",
        ),
        (
            "relative = 0.0, absolute = 0.0 } # gap",
            "relative = -1.0, absolute = 0.0 }",
            "must not be negative",
        ),
    ];
    for (from, to, rule) in cases {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from} does not occur");
        let said = refusal(&text);
        assert!(
            said.contains(rule) && said.starts_with("small.toml"),
            "{to}: {said}"
        );
    }
    let empty = "schema = 1\nname = \"empty\"\nquestion = \"\"\nseed = 0\n";
    assert!(refusal(empty).contains("at least one table"));
    let missing = super::load(&["no/such.toml".into()], catalog::EXACT);
    assert!(matches!(missing, Err(Error::Files(_))), "{missing:?}");
}

const COMPARED: &str = r#"
schema = 1
name = "compared"
question = "Is ours theirs?"
seed = 0

[[edm]]
name = "rows"
about = ["T22"]
data_std = 0.5
mismatch = 1.0
sigmas = [0.1, 1.0]
tolerance = { relative = 1e-12, absolute = 0.0 }

[[published]]
id = "unit"
source = "Karras et al. 2022, table 1"
says = "An untrained network has the loss 1 | at every level"
read = "formula"
printed = "1"
compare = "near"
tolerance = { relative = 0.0, absolute = 0.0 }
ours = { quantity = "edm", table = "rows", group = "", number = "loss of F = 0, at the worst level" }
note = "A note."

[[published]]
id = "wrong"
source = "Nobody 1900"
says = "It is three"
read = "recalled"
printed = "3.0"
compare = "at_least"
tolerance = { relative = 0.0, absolute = 0.5 }
ours = { quantity = "edm", table = "rows", group = "", number = "loss of F = 0, at the worst level" }

[[cited]]
id = "far"
source = "Somebody 2000"
says = "FID 2.00"
read = "text"
why = "it needs days on a card"
"#;

#[test]
fn published_numbers_are_compared_and_read_well() {
    let study: Study = parse("compared.toml", COMPARED).unwrap();
    study.check().unwrap();
    let report = run("compared", &[study], &[]);
    let verdicts: Vec<&str> = (report.published.iter())
        .map(|row| row.verdict.words())
        .collect();
    assert_eq!(verdicts, ["AGREES", "DIFFERS"]);
    let text = report::exact_terminal(&report, 80, report::Colour::Never);
    let markdown = report::exact_markdown(&report);
    for words in ["AGREES", "DIFFERS", "FID 2.00", "A note."] {
        assert!(text.contains(words) && markdown.contains(words), "{words}");
    }
    assert!(text.contains("NOT TESTED") && markdown.contains("### Not tested"));
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    assert!(
        text.contains("Of 2 published numbers 1 agree, 1 differ"),
        "{text}"
    );
    assert!(markdown.contains("| **DIFFERS** | Nobody 1900 | It is three | ≥ 3.0 | 1.000 |"));
    // Two tables of numbers, one of citations; each line has the columns of its own.
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut counts: Vec<usize> = markdown
        .lines()
        .filter(|l| l.starts_with('|'))
        .map(bars)
        .collect();
    counts.dedup();
    assert_eq!(counts, [9, 5, 8]);
    assert!(!markdown.contains("### Claims"));
    let again = COMPARED.replace("id = \"far\"", "id = \"unit\"");
    assert!(
        refusal(&again).contains("id = \"unit\", but it is taken"),
        "{}",
        refusal(&again)
    );
}

#[test]
fn the_study_of_published_numbers_is_sound() {
    let [study] = &super::load(&[], catalog::PUBLISHED).unwrap()[..] else {
        panic!("one study is built in")
    };
    assert!(20 <= study.published.len() && 10 <= study.cited.len());
    assert!(study.tables().iter().all(|table| !table.about().is_empty()));
}
