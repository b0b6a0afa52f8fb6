//! Units of a plain `VarStore` (feature `tch`).

use std::collections::HashMap;

use tch::{Tensor, nn::VarStore};

/// The trainable parameters of a store, one unit to a layer, in the order in which they were made.
///
/// A layer is what shares a name up to its last dot: `conv1.weight` and `conv1.bias` are the unit `conv1`. A parameter
/// without a dot is a unit of its own. Frozen and empty parameters are left out.
///
/// *Failure mode*: the order is that of construction, which need not be that of the forward pass; and what a unit is
/// decides every index, so a study declares its partition before looking. Any other one is a `Vec` of the same type.
///
/// ```
/// use learnability::unit::units_of;
/// use tch::{Device, nn};
/// let store = nn::VarStore::new(Device::Cpu);
/// for (layer, width) in [("embed", 3), ("block/1", 5)] {
///     let path = layer.split('/').fold(store.root(), |path, name| path / name);
///     path.var("weight", &[width, 2], nn::Init::Const(0.1));
///     path.var("bias", &[width], nn::Init::Const(0.0));
/// }
/// let names: Vec<(String, usize)> = units_of(&store).into_iter().map(|(name, p)| (name, p.len())).collect();
/// assert_eq!(names, [("embed".to_owned(), 2), ("block.1".to_owned(), 2)]);
/// ```
pub fn units_of(store: &VarStore) -> Vec<(String, Vec<Tensor>)> {
    // The store lists names and tensors apart; the memory that they share tells which is which.
    let names: HashMap<_, String> = store
        .variables()
        .into_iter()
        .map(|(name, tensor)| (tensor.data_ptr(), name))
        .collect();
    let mut units: Vec<(String, Vec<Tensor>)> = Vec::new();
    for parameter in store.trainable_variables() {
        if parameter.numel() == 0 || !parameter.requires_grad() {
            continue;
        }
        let name = &names[&parameter.data_ptr()];
        let layer = name
            .rsplit_once('.')
            .map_or(name.as_str(), |(layer, _)| layer);
        match units.iter_mut().find(|(name, _)| name == layer) {
            Some((_, parameters)) => parameters.push(parameter),
            None => units.push((layer.to_owned(), vec![parameter])),
        }
    }
    units
}
