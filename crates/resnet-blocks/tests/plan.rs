//! What is planned is what is created, and what comes out has the planned shape.
#![cfg(feature = "tch")]

mod common;

use common::{
    catalogue::{Part, any_part},
    store,
};
use proptest::prelude::*;
use resnet_blocks::{Layer, LongSkip, Mode, Params};
use tch::{Kind, Tensor, nn::VarStore};

/// Names and shapes of the planned tensors, and of the created ones, both in order.
fn planned_and_created(
    layers: &[Layer],
    params: &Params<'_>,
    store: &VarStore,
) -> [Vec<(String, Vec<i64>)>; 2] {
    let planned = layers.iter().flat_map(Layer::tensors);
    let planned = planned.map(|tensor| (tensor.name.clone(), tensor.dims()));
    let variables = store.variables();
    let name_of = |tensor: &Tensor| {
        let of = variables
            .iter()
            .find(|(_, v)| v.data_ptr() == tensor.data_ptr());
        of.expect("a unit holds variables of the store").0.clone()
    };
    let created = params.units().into_iter().flat_map(|unit| unit.parameters);
    let created = created.map(|tensor| (name_of(&tensor), tensor.size()));
    [planned.collect(), created.collect()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn planned_layers_are_created_and_shapes_come_out(
        part in any_part(), side in 1usize..6, count in 1i64..3,
    ) {
        let store = store(Kind::Double);
        let params = Params::seeded(store.root(), 0);
        let block = part.build(&params.sub("net.block")).expect("a valid configuration");
        let input = part.input(side);
        let (layers, output) = part.layers("net.block", input);
        let [planned, created] = planned_and_created(&layers, &params, &store);
        prop_assert_eq!(&planned, &created);
        prop_assert_eq!(created.len(), store.len());
        let count_of = |store: &VarStore| -> usize {
            store.trainable_variables().iter().map(Tensor::numel).sum()
        };
        prop_assert_eq!(layers.iter().map(Layer::parameters).sum::<usize>(), count_of(&store));
        let (x, embedding) = part.batch(count, side, 1);
        let y = block.forward(&x, &embedding, &mut Mode::Eval);
        let [channels, height, width] =
            [output.channels, output.height, output.width].map(|n| n as i64);
        match part {
            Part::Mlp(..) => prop_assert_eq!(y.size(), [count, channels]),
            _ => prop_assert_eq!(y.size(), [count, channels, height, width]),
        }
    }
}

#[test]
fn a_learned_long_skip_creates_what_it_plans() {
    for channels in [4, 40] {
        let store = store(Kind::Float);
        let params = Params::seeded(store.root(), 0);
        let feature = resnet_blocks::Feature {
            channels,
            height: 3,
            width: 3,
        };
        let layers = LongSkip::ConcatLearned.layers("up0.skip", feature);
        LongSkip::ConcatLearned
            .build(&params.sub("up0.skip"), channels)
            .expect("a valid skip");
        let [planned, created] = planned_and_created(&layers, &params, &store);
        assert_eq!(planned, created);
    }
}
