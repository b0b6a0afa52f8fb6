//! Renderings of a [`Summary`](crate::summary::Summary), and of an exact [`Report`](crate::exact::Report): data in, strings out.
//!
//! Nothing here computes a statistic or touches a file or a clock: every number shown is in the summary,
//! rounded by one rule (two significant digits of the interval's half-width), so that terminal,
//! Markdown, HTML, CSV and event files cannot disagree. A number that is undefined is shown as `–`, never as NaN.
//!
//! The figures are SVG written here and not by a plotting crate: `plotters` writes colours as fixed RGB
//! and no classes, so that dark mode (CSS variables) and the attributes `data-probe`, `data-arm` and
//! `data-contrast` on every mark would be out of reach.
//!
//! ```
//! use ablation::report;
//! use ablation::summary::{Provenance, Summary};
//!
//! let summary = Summary {
//!     schema: 1,
//!     name: "default".into(),
//!     question: "Do skip connections and diffusion noise do the same thing?".into(),
//!     stamps: vec![],
//!     studies: vec![],
//!     provenance: Provenance::default(),
//! };
//! assert!(report::terminal(&summary, 80, report::Colour::Never).contains("Do skip connections"));
//! assert!(report::html(&summary).starts_with("<!doctype html>"));
//! ```

mod claims;
mod csv;
mod exact;
mod figure;
mod html;
mod looks;
mod markdown;
mod markup;
mod number;
mod probed;
mod published;
mod tables;
mod tensorboard;
mod terminal;
mod view;

pub(crate) use self::claims::effect_words;
pub use self::claims::{claims_markdown, claims_terminal};
pub use self::csv::{csv, map_csv};
pub use self::exact::{exact_markdown, exact_terminal};
pub use self::html::html;
pub use self::looks::looks;
pub(crate) use self::markdown::cell;
pub use self::markdown::markdown;
pub(crate) use self::number::significant;
#[cfg(feature = "tch")]
pub(crate) use self::number::thousands;
pub use self::probed::{probed_html, probed_markdown, probed_terminal};
pub use self::tensorboard::tensorboard;
pub use self::terminal::{Colour, terminal};
