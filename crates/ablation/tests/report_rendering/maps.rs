//! Learnability maps in the report. No number here is a result.

use std::array;

use ablation::map::{ArmMap, By, Look, Objective, Readings};
use ablation::report;

use crate::fixture;

const UNITS: [&str; 6] = [
    "read_in",
    "block0.linear1",
    "block0.linear2",
    "block0.skip.gain",
    "block1.linear1",
    "read_out",
];
const LEVELS: [f64; 4] = [0.3, 2.3, 18.0, 50.0];

/// The maps of an arm whose quality goes from 0, almost all silent, to 1.
pub(crate) fn of(noise: bool, quality: f64) -> Vec<ArmMap> {
    let map = |look: Look, objective: Objective, columns: Vec<Option<f64>>| {
        let cell = |unit: usize, column: usize| {
            let height = 4.0 * quality - 2.0 - 0.4 * column as f64 - 0.3 * unit as f64;
            let silent = if height < -2.5 {
                5
            } else {
                u32::from(height < -2.0)
            };
            let heard = (silent < 6).then_some(height);
            Readings {
                n: 6,
                silent,
                median: heard,
                min: heard.map(|h| h - 0.2),
                max: heard.map(|h| h + 0.3),
            }
        };
        let cells = (0..UNITS.len()).flat_map(|u| (0..columns.len()).map(move |c| (u, c)));
        ArmMap {
            look,
            objective,
            by: None,
            units: UNITS.map(str::to_owned).to_vec(),
            cells: cells.map(|(u, c)| cell(u, c)).collect(),
            columns,
            parts: Vec::new(),
        }
    };
    // The same numbers by part: so many at each level.
    let parts = |objective: Objective, by: By, count: usize, levels: &[Option<f64>]| {
        let columns = levels.iter().flat_map(|level| vec![*level; count]);
        ArmMap {
            by: Some(by),
            parts: levels.iter().flat_map(|_| 0..count).collect(),
            ..map(Look::End, objective, columns.collect())
        }
    };
    let levels = LEVELS.map(Some).to_vec();
    let whole = || vec![None];
    if noise {
        let columns = [whole(), levels].concat();
        vec![
            map(Look::Start, Objective::Own, columns.clone()),
            map(Look::End, Objective::Own, columns),
            parts(Objective::Own, By::Regions(4), 4, &[Some(0.3), Some(2.3)]),
            parts(Objective::Own, By::Modes, 2, &[Some(0.3), Some(2.3)]),
        ]
    } else {
        vec![
            map(Look::End, Objective::Own, whole()),
            map(Look::End, Objective::Counterfactual, levels),
            parts(Objective::Own, By::Regions(4), 4, &[None]),
            parts(
                Objective::Counterfactual,
                By::Regions(4),
                4,
                &[Some(0.3), Some(2.3)],
            ),
            parts(Objective::Own, By::Modes, 2, &[None]),
            parts(
                Objective::Counterfactual,
                By::Modes,
                2,
                &[Some(0.3), Some(2.3)],
            ),
        ]
    }
}

/// The markup of the first study's map section.
fn section(html: &str) -> &str {
    section_of(html, "maps")
}

fn section_of<'a>(html: &'a str, class: &str) -> &'a str {
    let begin = html
        .find(&format!("<section class=\"{class}\""))
        .expect("there is a map");
    let end = begin + html[begin..].find("</section>").expect("it ends");
    &html[begin..end]
}

#[test]
fn every_cell_is_a_tile_and_every_silent_one_a_cross() {
    let summary = fixture::summary();
    let html = report::html(&summary);
    // One more of each in the key, which stands once.
    for (class, restricted, key) in [("maps", false, 1), ("maps parts", true, 0)] {
        let section = section_of(&html, class);
        let blocks = summary.studies[0].blocks.iter();
        let drawn =
            blocks.filter(|block| ["the 2×2", "well-initialised plain"].contains(&&*block.name));
        let maps = drawn
            .flat_map(|block| &block.arms)
            .flat_map(|arm| &arm.maps)
            .filter(|map| map.by.is_some() == restricted);
        let cells = maps.clone().map(|map| map.cells.len()).sum::<usize>();
        let silent = maps.map(ArmMap::silent).sum::<usize>();
        assert!(0 < silent && silent < cells, "the fixture has both");
        assert_eq!(section.matches("class=\"tile\"").count(), cells - silent);
        assert_eq!(section.matches("class=\"silent\"").count(), silent + key);
        assert_eq!(
            section.matches("class=\"cross\"").count(),
            2 * (silent + key)
        );
    }
}

#[test]
fn parts_stand_by_kind_and_level_and_only_counterfactual_ones_are_framed() {
    let summary = fixture::summary();
    let html = report::html(&summary);
    let section = section_of(&html, "maps parts");
    assert_eq!(section.matches("<h4 class=\"part\">").count(), 2);
    for figure in section.split("<figure").skip(1) {
        let off = figure.contains("noise off</h4>");
        assert_eq!(
            figure.matches("class=\"apart\"").count(),
            if off { 2 } else { 0 }
        );
        assert_eq!(figure.contains("own, clean"), off);
        assert!(figure.contains(">σ = 0.3<") && figure.contains(">σ = 2.3<"));
    }
    let table = report::markdown(&summary);
    for row in [
        "| skip, noise on | own | region 1–4 | 2.3 | 0.45, 0.18, 0.071, 0.028 | 0 of 24 |",
        "| skip, noise off | own | mode 1–2 | clean | ",
        "| skip, noise off | counterfactual | mode 1–2 | 0.3 | ",
    ] {
        assert!(table.contains(row), "{row}");
    }
}

#[test]
fn counterfactual_columns_stand_apart_and_in_noise_off_arms_alone() {
    let html = report::html(&fixture::summary());
    let mut seen = 0;
    for figure in section(&html).split("<figure").skip(1) {
        let off = figure.contains("noise off</h4>");
        assert_eq!(figure.contains("counterfactual: denoising"), off);
        assert_eq!(figure.contains("class=\"apart\""), off);
        assert_eq!(figure.contains("its parts by noise level"), !off);
        seen += 1;
    }
    // The 2×2 and the counter-arm after training, and the noise-on arms before it.
    assert_eq!(seen, 6 + 3);
}

#[test]
fn one_number_has_one_colour_in_all_panels() {
    let html = report::html(&fixture::summary());
    let mut colours = std::collections::BTreeMap::new();
    let tiles = ["maps", "maps parts"].map(|class| section_of(&html, class));
    let tiles = tiles
        .iter()
        .flat_map(|section| section.split("<rect class=\"tile\"").skip(1));
    for tile in tiles {
        let of = |key: &str, end: char| {
            let from = tile.find(key).expect("a tile has it") + key.len();
            tile[from..].split(end).next().expect("text").to_owned()
        };
        let said = of("<title>", '<');
        let number = said
            .split(": ")
            .nth(1)
            .expect("a number")
            .split(" [")
            .next();
        let colour: f64 = of("--t:", '%').parse().expect("a number");
        let number = number.expect("a median").to_owned();
        let range = colours.entry(number).or_insert((colour, colour));
        *range = (range.0.min(colour), range.1.max(colour));
    }
    // Two digits of a ratio leave a little room.
    assert!(
        colours.values().all(|(low, high)| high - low < 2.0),
        "{colours:?}"
    );
    let all = || colours.values().flat_map(|(low, high)| [*low, *high]);
    assert!(
        all().any(|t| t == 0.0) && all().any(|t| t == 100.0),
        "the scale is used"
    );
}

/// What a line of the table says of each cell: look, loss, by, part and unit; seeds and silent ones; noise level and
/// readings.
fn cells_of(map: &ArmMap) -> impl Iterator<Item = ([String; 5], [u32; 2], [Option<f64>; 4])> {
    map.cells.iter().enumerate().map(|(place, cell)| {
        let (unit, column) = (place / map.columns.len(), place % map.columns.len());
        // Regions and modes are counted from 1.
        let part = map.by.map(|_| (map.parts[column] + 1).to_string());
        let words = [
            format!("{:?}", map.look).to_lowercase(),
            format!("{:?}", map.objective).to_lowercase(),
            map.by.map_or("", By::name).to_owned(),
            part.unwrap_or_default(),
            map.units[unit].clone(),
        ];
        let numbers = [map.columns[column], cell.median, cell.min, cell.max];
        (words, [cell.n, cell.silent], numbers)
    })
}

#[test]
fn the_table_of_maps_reads_back() {
    let summary = fixture::summary();
    let text = report::map_csv(&summary).expect("there are maps");
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<csv::StringRecord> = table.records().collect::<Result<_, _>>().expect("rows");
    let mut wanted = Vec::new();
    for study in &summary.studies {
        for block in &study.blocks {
            for arm in &block.arms {
                wanted.extend(arm.maps.iter().flat_map(|map| {
                    let place = [&study.name, &block.name, &arm.label].map(String::clone);
                    cells_of(map).map(move |(of_map, counts, numbers)| {
                        ((place.clone(), of_map), counts, numbers)
                    })
                }));
            }
        }
    }
    let number = |text: &str| (!text.is_empty()).then(|| text.parse::<f64>().expect("a number"));
    let found = rows.iter().map(|row| {
        let words = |from: usize| move |place: usize| row[from + place].to_owned();
        let place = (array::from_fn(words(0)), array::from_fn(words(3)));
        let counts = [9, 10].map(|place: usize| row[place].parse().expect("a count"));
        (
            place,
            counts,
            [8, 11, 12, 13].map(|place| number(&row[place])),
        )
    });
    assert_eq!(found.collect::<Vec<_>>(), wanted);
    let of = |by: &'static str| rows.iter().filter(move |row| &row[5] == by);
    let parts: std::collections::BTreeSet<&str> = of("region").map(|row| &row[6]).collect();
    assert_eq!(parts.into_iter().collect::<Vec<_>>(), ["1", "2", "3", "4"]);
    assert!(0 < of("mode").count() && of("").all(|row| row[6].is_empty()));
    assert_eq!(report::map_csv(&fixture::interim()), None);
}
