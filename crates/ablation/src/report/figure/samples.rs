//! Samples to look at: the 2×2 side by side, and beside it the reference and the counter-arm.

use std::fmt::Write as _;

use crate::report::figure::canvas::{Canvas, short};
use crate::report::figure::{figure, of_arm};
use crate::report::markup::{data, escape};
use crate::report::view;
use crate::summary::{Arm, Block, Exhibit, Role, StudySummary};

/// Side of a panel in user units.
const SIDE: f64 = 220.0;
/// Images per row and column of a panel.
const GRID: usize = 4;
/// Points drawn of one set; more only hide each other.
const POINTS: usize = 600;

/// The exhibits of a study; none if no arm has one.
pub(in crate::report) fn samples(study: &StudySummary) -> Option<String> {
    let mut drawn: Vec<(&Block, &Arm)> = view::drawn(study)
        .into_iter()
        .filter(|(_, arm)| arm.exhibit.is_some())
        .collect();
    // Rows are noise off and on, on the left as on the right.
    drawn.sort_by_key(|(_, arm)| view::on(arm, "noise"));
    let first = drawn.first()?.1.exhibit.as_ref()?;
    let is_main = |block: &Block| block.role == Role::Main;
    let mut body = String::from("<div class=\"exhibits\"><div class=\"square\">");
    for (skip, noise) in view::QUARTERS {
        let found = drawn.iter().find(|(block, arm)| {
            is_main(block)
                && view::on(arm, "skip") == Some(skip)
                && view::on(arm, "noise") == Some(noise)
        });
        match found {
            Some((block, arm)) => body.push_str(&panel(study, block, arm)),
            None => body.push_str(
                "<div class=\"panel empty\"><span title=\"no finished cell\">–</span></div>",
            ),
        }
    }
    body.push_str("</div><div class=\"square\">");
    let (off, on): (Vec<_>, Vec<_>) = drawn
        .iter()
        .filter(|(block, _)| !is_main(block))
        .partition(|(_, arm)| view::on(arm, "noise") != Some(true));
    let fresh = fresh_data(first);
    let whole_rows = off.len() % 2 == 0;
    let panels = |body: &mut String, arms: &[&(&Block, &Arm)]| {
        for (block, arm) in arms {
            body.push_str(&panel(study, block, arm));
        }
    };
    // An odd row is filled up with the data, so that noise off and on stay on rows of their own.
    panels(&mut body, &off);
    if !whole_rows {
        body.push_str(&fresh);
    }
    panels(&mut body, &on);
    if whole_rows {
        body.push_str(&fresh);
    }
    body.push_str("</div></div>");
    Some(figure(
        "Samples to look at",
        &body,
        &caption(study, first, &drawn),
        &data(&[("study", &study.name)]),
    ))
}

/// Images kept back, to compare with; points have the data under them instead.
fn fresh_data(exhibit: &Exhibit) -> String {
    match exhibit {
        Exhibit::Images {
            height,
            width,
            data,
            ..
        } => format!(
            "<div class=\"panel\">{}<p>fresh data</p></div>",
            bitmap(&grid_uri(data, *width, *height), "fresh data")
        ),
        Exhibit::Points { .. } => String::new(),
    }
}

/// One arm: drawing and label.
fn panel(study: &StudySummary, block: &Block, arm: &Arm) -> String {
    let mut notes = String::new();
    let drawing = match &arm.exhibit {
        Some(Exhibit::Points {
            samples,
            data,
            window,
            outside,
            ..
        }) => {
            if 0 < *outside {
                let _ = write!(
                    notes,
                    "{outside} of {} outside",
                    samples.len() + *outside as usize
                );
            }
            points(samples, data, *window, &view::look(block, arm), &arm.label)
        }
        Some(Exhibit::Images {
            height,
            width,
            samples,
            ..
        }) => bitmap(&grid_uri(samples, *width, *height), &arm.label),
        None => String::new(),
    };
    let tags = of_arm(study, block, arm)
        .map(|(key, value)| data(&[(key, &value)]))
        .concat();
    let label = escape(&arm.label);
    let class = view::kind(block, arm).class();
    format!(
        "<div class=\"panel {class}\"{tags}>{drawing}<p>{label}<small>{notes}</small></p></div>"
    )
}

/// Data in grey, samples in the arm's colour.
fn points(
    samples: &[[f64; 2]],
    data: &[[f64; 2]],
    window: [f64; 4],
    look: &str,
    label: &str,
) -> String {
    let [left, right, bottom, top] = window;
    let place = |set: &[[f64; 2]]| {
        let mut d = String::new();
        let inside =
            |p: &&[f64; 2]| (left..=right).contains(&p[0]) && (bottom..=top).contains(&p[1]);
        for p in set.iter().filter(inside).take(POINTS) {
            let (x, y) = (
                (p[0] - left) / (right - left) * SIDE,
                (top - p[1]) / (top - bottom) * SIDE,
            );
            // A line of no length with round ends is the shortest way to write a dot.
            let _ = write!(d, "M{} {}h0", short(x), short(y));
        }
        d
    };
    let mut canvas = Canvas::new(SIDE, SIDE);
    canvas.rect("frame", (0.5, 0.5), (SIDE - 1.0, SIDE - 1.0));
    canvas.path("cloud data", &place(data), "");
    canvas.path(&format!("cloud {look}"), &place(samples), "");
    canvas.finish(&format!("samples of {label} over the data"))
}

fn bitmap(uri: &str, label: &str) -> String {
    let mut canvas = Canvas::new(SIDE, SIDE);
    canvas.image((0.0, 0.0), (SIDE, SIDE), uri);
    canvas.finish(&format!("images: {label}"))
}

/// Up to 4×4 images with a line between them, as a PNG in a data URI.
fn grid_uri(images: &[Vec<u8>], width: u32, height: u32) -> String {
    let (w, h) = (width as usize, height as usize);
    let (across, down) = (GRID * (w + 1) - 1, GRID * (h + 1) - 1);
    let mut pixels = vec![128_u8; across * down];
    for (place, image) in images
        .iter()
        .take(GRID * GRID)
        .enumerate()
        .filter(|(_, image)| image.len() == w * h)
    {
        let (top, left) = (place / GRID * (h + 1), place % GRID * (w + 1));
        for (row, line) in image.chunks_exact(w.max(1)).enumerate() {
            let start = (top + row) * across + left;
            pixels[start..start + w].copy_from_slice(line);
        }
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, across as u32, down as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder
        .write_header()
        .expect("memory takes a header of positive size");
    writer
        .write_image_data(&pixels)
        .expect("the buffer has across × down pixels");
    drop(writer);
    format!("data:image/png;base64,{}", base64(&bytes))
}

/// Base64 with padding (RFC 4648, section 4); fifteen lines are lighter than a dependency.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, i| {
            word << 8 | u32::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(LETTERS[(word >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn caption(study: &StudySummary, first: &Exhibit, drawn: &[(&Block, &Arm)]) -> String {
    match first {
        Exhibit::Points { axes, .. } => {
            let lost: Vec<String> = drawn
                .iter()
                .filter_map(|(_, arm)| match &arm.exhibit {
                    Some(Exhibit::Points {
                        samples, outside, ..
                    }) if 0 < *outside => {
                        let all = samples.len() + *outside as usize;
                        Some(format!("{} {outside} of {all}", arm.label))
                    }
                    _ => None,
                })
                .collect();
            let lost = if lost.is_empty() {
                "No sample lies outside.".to_owned()
            } else {
                format!("Outside the window: {}.", lost.join("; "))
            };
            format!(
                "Samples of the first finished seed (colour) over fresh data (grey), {} against {}, the same window \
                 everywhere. {lost}",
                axes[1], axes[0]
            )
        }
        Exhibit::Images { height, width, .. } => format!(
            "The first {} samples of the first finished seed of {}, {height}×{width} pixels, not selected.",
            GRID * GRID,
            study.name
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_known_answers() {
        // RFC 4648, section 10.
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_grid_is_a_png_of_the_right_size() {
        let uri = grid_uri(&[vec![0, 255, 255, 0], vec![9; 4]], 2, 2);
        assert!(uri.starts_with("data:image/png;base64,iVBORw0KGgo"));
    }
}
