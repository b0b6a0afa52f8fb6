//! Every row of the crate, by name, for tests that hold for all of them.

use noise_schedule::{Kernel, LogSnrLinear, Rectified};
use score_objective::{
    CleanSample, Consistency, Direction, Edm, EdmVelocity, Epsilon, FlowVelocity, KarrasVe,
    PathVelocity, Preconditioner, PreviousMean, Score, Velocity, label,
};

pub(crate) type Row = (&'static str, Box<dyn Preconditioner>);

/// The rows that scale their input to unit variance and label by ln(σ/α)/4.
pub(crate) fn unit_variance_rows(data_std: f64) -> Vec<Row> {
    vec![
        ("epsilon", Box::new(Epsilon::new(data_std).unwrap())),
        (
            "clean sample",
            Box::new(CleanSample::new(data_std).unwrap()),
        ),
        ("velocity", Box::new(Velocity::new(data_std).unwrap())),
        ("score", Box::new(Score::new(data_std).unwrap())),
        ("edm", Box::new(Edm::new(data_std).unwrap())),
        (
            "edm velocity",
            Box::new(EdmVelocity::new(data_std).unwrap()),
        ),
    ]
}

/// All rows.
pub(crate) fn all_rows(data_std: f64) -> Vec<Row> {
    let mut rows = unit_variance_rows(data_std);
    for direction in [Direction::ToNoise, Direction::ToData] {
        rows.push(("flow velocity", Box::new(FlowVelocity::new(direction))));
        let linear = LogSnrLinear::new(30.0, -30.0).unwrap();
        rows.push(("path", Box::new(PathVelocity::new(linear, direction))));
        rows.push((
            "straight",
            Box::new(PathVelocity::new(Rectified, direction)),
        ));
    }
    rows.push(("karras ve", Box::new(KarrasVe)));
    let cleaner = |k: Kernel| Kernel::new(1.3 * k.alpha(), 0.5 * k.sigma()).unwrap();
    rows.push((
        "previous mean",
        Box::new(PreviousMean::new(data_std, cleaner).unwrap()),
    ));
    let consistency = Consistency::new(1e-3, data_std).unwrap();
    rows.push(("consistency", Box::new(consistency)));
    rows.push((
        "labelled",
        Box::new(Edm::new(data_std).unwrap().labelled(label::angle)),
    ));
    rows
}
