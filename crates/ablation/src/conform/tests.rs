//! How a case fails: by a number, by what it asks for, and by its form.

use serde_json::{Value, json};

use super::{Outcome, Tried, attempt};

/// One Euler step from sigma 1 to 0 of N(0, 1) data, which gives x/2.
fn case() -> Value {
    json!({
        "name": "one step",
        "kind": "k-diffusion-sampler",
        "sampler": "sample_euler",
        "sigma_grid": { "kind": "karras", "n": 1, "sigma_min": 1.0, "sigma_max": 1.0 },
        "kwargs": {},
        "model": { "kind": "gaussian-mixture", "weights": [1.0], "means": [[0.0]], "stds": [1.0] },
        "init": [[3.0]],
        "noise": [],
        "expect": { "sigmas": [1.0, 0.0], "denoiser_sigmas": [1.0], "trace": [[[3.0]], [[1.5]]] },
        "tolerance": 1e-12
    })
}

fn refusal(case: Value) -> String {
    match attempt(case) {
        Tried {
            outcome: Outcome::Refused(message),
            ..
        } => message,
        tried => panic!("was not refused: {tried:?}"),
    }
}

#[test]
fn what_agrees_passes() {
    let tried = attempt(case());
    assert!(tried.passed(), "{}", tried.line());
    assert!(tried.line().starts_with("ok"), "{}", tried.line());
}

#[test]
fn a_number_that_is_off_fails_and_is_named() {
    let mut case = case();
    case["expect"]["trace"][1][0][0] = json!(1.6);
    let tried = attempt(case);
    assert!(!tried.passed());
    let line = tried.line();
    assert!(line.starts_with("FAILED"), "{line}");
    assert!(line.contains("trace[1][0] (1.5 for 1.6) is off"), "{line}");
}

#[test]
fn what_is_not_supported_is_named() {
    let mut sampler = case();
    sampler["sampler"] = json!("sample_magic");
    assert!(refusal(sampler).contains("sample_magic"));
    let mut option = case();
    option["kwargs"] = json!({ "s_chrun": 1.0 });
    assert!(refusal(option).contains("s_chrun"));
    let mut kind = case();
    kind["kind"] = json!("oracle");
    assert!(refusal(kind).contains("oracle"));
    let mut model = case();
    model["model"]["kind"] = json!("moons");
    assert!(refusal(model).contains("moons"));
    let mut expected = case();
    expected["expect"]["likelihood"] = json!(1.0);
    assert!(refusal(expected).contains("likelihood"));
}

#[test]
fn a_case_that_contradicts_itself_is_refused() {
    let mut short = case();
    short["expect"]["trace"] = json!([[[3.0]]]);
    assert!(refusal(short).contains("2 states where 1 are expected"));
    let mut empty = case();
    empty["expect"] = json!({});
    assert!(refusal(empty).contains("nothing to compare"));
    let mut wide = case();
    wide["init"] = json!([[3.0, 1.0]]);
    assert!(refusal(wide).contains("dimension 2"));
    let mut silent = case();
    silent["kwargs"] = json!({ "s_churn": 0.4 });
    assert!(refusal(silent).contains("noise is asked for after 0 calls"));
}

#[test]
fn infinities_of_python_are_read() {
    let text = r#"{"a": -Infinity, "b": [Infinity, NaN], "c \" Infinity": "NaN \\\"}"#;
    let expected = r#"{"a": "-Infinity", "b": ["Infinity", "NaN"], "c \" Infinity": "NaN \\\"}"#;
    assert_eq!(super::without_infinities(text), expected);
    let mut case = case();
    case["kwargs"] = json!({ "s_tmax": "Infinity" });
    assert!(attempt(case).passed());
}
