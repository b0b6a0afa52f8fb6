//! What can be built, what it costs, and what is refused.

use serde_json::{Value, json};

use super::*;

fn mlp() -> Value {
    json!({ "kind": "mlp", "width": 8, "blocks": 2, "activation": "silu", "short": "none", "init": "pytorch" })
}

fn unet() -> Value {
    json!({
        "kind": "unet", "base": 8, "multipliers": [1, 2], "blocks": 1, "activation": "silu", "norm": "none",
        "short": "none", "long": "none", "init": "he",
    })
}

fn of(network: &Value, shape: &[usize]) -> Result<Architecture, Error> {
    Architecture::of(
        &serde_json::from_value(network.clone()).expect("a network"),
        shape,
        "here",
    )
}

#[test]
fn skips_add_no_capacity() {
    for (network, shape, key, skips) in [
        (
            mlp(),
            vec![2],
            "short",
            vec![
                json!("identity"),
                json!("inverse_sqrt_depth"),
                json!({ "scaled": 0.5 }),
            ],
        ),
        (
            unet(),
            vec![1, 8, 8],
            "short",
            vec![json!("identity"), json!("inverse_sqrt_depth")],
        ),
        (unet(), vec![1, 8, 8], "long", vec![json!("add")]),
    ] {
        let plain = of(&network, &shape).expect("it can be built");
        assert!(0 < plain.parameters() && 0.0 < plain.forward_flops(2));
        for skip in skips {
            let mut changed = network.clone();
            changed[key] = skip.clone();
            let parameters = of(&changed, &shape).expect("it can be built").parameters();
            assert_eq!(parameters, plain.parameters(), "{key} = {skip}");
        }
    }
    let mut concatenated = unet();
    concatenated["long"] = json!("concat");
    let more = of(&concatenated, &[1, 8, 8])
        .expect("it can be built")
        .parameters();
    assert!(
        of(&unet(), &[1, 8, 8])
            .expect("it can be built")
            .parameters()
            < more
    );
}

#[test]
fn every_skip_of_the_catalogue_can_be_named_and_matched() {
    let short = [
        json!("none"),
        json!("identity"),
        json!("inverse_sqrt_depth"),
        json!({ "scaled": 0.5 }),
        json!({ "averaged": 0.7 }),
        json!({ "magnitude_preserving": 0.3 }),
        json!({ "stochastic_depth": 0.9 }),
        json!("re_zero"),
        json!({ "layer_scale": 1e-4 }),
        json!({ "highway": -1.0 }),
        json!("fixup"),
        json!("deep_norm"),
    ];
    let long = [
        json!("none"),
        json!("add"),
        json!("concat"),
        json!({ "concat_scaled": 0.7 }),
        json!({ "concat_power": 0.5 }),
        json!("concat_learned"),
        json!({ "concat_magnitude_preserving": 0.5 }),
    ];
    let mut wide = unet();
    wide["base"] = json!(32);
    let skips = short.into_iter().map(|skip| ("short", skip));
    for (key, skip) in skips.chain(long.into_iter().map(|skip| ("long", skip))) {
        let mut network = wide.clone();
        network[key] = skip.clone();
        let matched = json!({
            "kind": "matched", "by": "parameters", "quantum": 1, "reference": wide, "network": network,
        });
        let parameters = |network: &Value| {
            let built = of(network, &[1, 8, 8]).expect("it can be built");
            built.parameters() as f64
        };
        let ratio = parameters(&matched) / parameters(&wide);
        assert!((ratio - 1.0).abs() <= 0.01, "{key} = {skip}: {ratio}");
    }
}

#[test]
fn published_networks_are_named_by_family() {
    for (family, width) in [("ddpm", 32), ("ddpm++", 16), ("ncsn++", 16), ("adm", 64)] {
        let network = json!({
            "kind": "published", "family": family, "width": width, "multipliers": [1, 2], "blocks": 1,
            "short": "published", "long": { "other": "add" },
        });
        let built = of(&network, &[3, 8, 8]).expect("it can be built");
        assert!(0 < built.parameters() && 0 < built.layers(), "{family}");
    }
}

fn transformer() -> Value {
    json!({
        "kind": "transformer", "patch": 2, "width": 384, "blocks": 12, "heads": 6, "activation": "gelu",
        "conditioning": "adaln_zero", "short": "identity", "long": "none", "init": "xavier",
    })
}

#[test]
fn transformers_are_named_by_their_parts() {
    let latent = Feature {
        channels: 4,
        height: 32,
        width: 32,
    };
    let built = |network: &Value| match of(network, &[4, 32, 32]).expect("it can be built") {
        Architecture::Transformer(transformer) => *transformer,
        other => panic!("{other:?}"),
    };
    let dit = transformer();
    assert_eq!(built(&dit), TransformerConfig::dit_s(latent, 2));
    let u_vit = json!({
        "kind": "transformer", "patch": 2, "width": 512, "blocks": 13, "heads": 8, "activation": "gelu",
        "conditioning": "token", "short": "identity", "long": "concat", "init": "bert",
    });
    assert_eq!(built(&u_vit), TransformerConfig::u_vit_s(latent, 2));
    let of_latent = of(&dit, &[4, 32, 32]).expect("it can be built");
    assert_eq!(of_latent.parameters(), 32_474_512);
    assert!(of_latent.attends());
    assert_eq!(of_latent.layer_names().len(), of_latent.layers());
    assert_eq!(of_latent.shortcut_names().len(), 24);
    // Attention and layers are two branches each.
    let mut scaled = dit;
    scaled["short"] = json!("inverse_sqrt_depth");
    assert_eq!(built(&scaled).short, ShortSkip::inverse_sqrt(24));
}

#[test]
fn an_mlp_cannot_be_matched_to_a_u_net() {
    let network = json!({
        "kind": "matched", "by": "flops", "quantum": 1, "reference": unet(), "network": mlp(),
    });
    let message = crate::fixture::refusal(of(&network, &[1, 8, 8]));
    assert!(message.contains("two networks of one kind"), "{message}");
}

#[test]
fn parameters_of_an_mlp_are_those_of_its_layers() {
    // In: 2 + the label's features to 8; four square layers; out to 2. The square layers alone are certain.
    let [two, four] = [2, 4].map(|blocks| {
        let mut network = mlp();
        network["blocks"] = json!(blocks);
        of(&network, &[2]).expect("it can be built")
    });
    assert!(4 * (8 * 8 + 8) <= four.parameters() - two.parameters());
    assert_eq!(four.layers() - two.layers(), 4);
}

#[test]
fn what_cannot_be_built_is_refused() {
    let change = |mut network: Value, key: &str, value: Value| {
        network[key] = value;
        network
    };
    for (network, shape, part) in [
        (change(mlp(), "width", json!(0)), vec![2], "width"),
        (change(mlp(), "blocks", json!(0)), vec![2], "block"),
        (unet(), vec![2], "this network needs images"),
        (unet(), vec![1, 8, 6], "8×6"),
        (
            change(unet(), "multipliers", json!([1, 1, 1, 1, 1, 1])),
            vec![1, 8, 8],
            "level",
        ),
        (
            change(unet(), "multipliers", json!([])),
            vec![1, 8, 8],
            "level",
        ),
        (change(unet(), "base", json!(0)), vec![1, 8, 8], "`base`"),
        (
            change(mlp(), "width", json!(1_u64 << 32)),
            vec![2],
            "10⁹ weights",
        ),
        (
            change(mlp(), "width", json!(50_000)),
            vec![2],
            "10⁹ weights",
        ),
        (
            change(mlp(), "blocks", json!(1_u64 << 40)),
            vec![2],
            "10⁴ blocks",
        ),
        (mlp(), vec![1 << 40], "10⁹ weights"),
        (transformer(), vec![2], "this network needs images"),
        (transformer(), vec![1, 9, 9], "2 does not divide 9"),
        (
            change(transformer(), "heads", json!(7)),
            vec![1, 8, 8],
            "does not divide 384",
        ),
        (
            change(transformer(), "heads", json!(u64::MAX)),
            vec![1, 8, 8],
            "at most 65536",
        ),
        (
            change(transformer(), "patch", json!(0)),
            vec![1, 8, 8],
            "the side of a patch",
        ),
        (
            change(transformer(), "long", json!("add")),
            vec![1, 8, 8],
            "add or take one",
        ),
        (
            change(transformer(), "short", json!("none")),
            vec![1, 8, 8],
            "neither ever gets a gradient",
        ),
        (
            change(transformer(), "width", json!(1_u64 << 60)),
            vec![1, 8, 8],
            "10⁹ weights",
        ),
        (
            change(transformer(), "blocks", json!(u64::MAX)),
            vec![1, 8, 8],
            "10⁴ blocks",
        ),
        (
            change(unet(), "base", json!(1_u64 << 60)),
            vec![1, 8, 8],
            "10⁹ weights",
        ),
        (
            change(unet(), "multipliers", json!([1, 1_u64 << 60])),
            vec![1, 8, 8],
            "10⁹ weights",
        ),
        (
            change(unet(), "blocks", json!(u64::MAX)),
            vec![1, 8, 8],
            "10⁴ blocks",
        ),
    ] {
        let message = crate::fixture::refusal(of(&network, &shape));
        assert!(
            message.starts_with("here: network = ") && message.contains(part),
            "{network}: {message}"
        );
    }
}

#[test]
fn the_exact_score_costs_nothing() {
    let exact = of(&json!({ "kind": "exact" }), &[2]).expect("it is always there");
    assert_eq!(
        (exact.parameters(), exact.forward_flops(8), exact.layers()),
        (0, 0.0, 0)
    );
}

#[test]
fn calibration_is_asked_for_by_name() {
    for (init, expected) in [
        ("pytorch", false),
        ("orthogonal", false),
        ("orthogonal_lsuv", true),
    ] {
        let mut network = mlp();
        network["init"] = json!(init);
        assert_eq!(
            calibrates(&serde_json::from_value(network).expect("a network")),
            expected,
            "{init}"
        );
    }
}
