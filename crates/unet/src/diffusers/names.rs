//! Names of tensors in a file of diffusers.

/// Layers of ours and their names there.
const LAYERS: [(&str, &str); 16] = [
    ("embedding.features.", "time_proj."),
    ("embedding.linear1.", "time_embedding.linear_1."),
    ("embedding.linear2.", "time_embedding.linear_2."),
    ("embedding.class.", "class_embedding."),
    ("embedding.class1.", "class_embedding.linear_1."),
    ("embedding.class2.", "class_embedding.linear_2."),
    ("conv_out.norm.", "conv_norm_out."),
    ("conv_out.conv.", "conv_out."),
    (".skip.norm.", ".skip_norm."),
    (".skip.conv.", ".skip_conv."),
    (".shift.", ".time_emb_proj."),
    (".scale_shift.", ".time_emb_proj."),
    (".modulate1.", ".norm1.linear."),
    (".modulate2.", ".norm2.linear."),
    (".projection.", ".conv_shortcut."),
    (".out.", ".to_out.0."),
];

/// Layers of an attention.
const ATTENTION: [(&str, &str); 4] = [
    (".norm.", ".group_norm."),
    (".query.", ".to_q."),
    (".key.", ".to_k."),
    (".value.", ".to_v."),
];

/// The name in a file of a tensor of a network that a [`Config`](super::Config) plans.
pub(super) fn file_name(ours: &str) -> String {
    let attention: &[_] = if ours.contains(".attentions.") {
        &ATTENTION
    } else {
        &[]
    };
    let mut layers = LAYERS.iter().chain(attention);
    match layers.find(|(layer, _)| ours.contains(layer)) {
        Some((layer, theirs)) => ours.replacen(layer, theirs, 1),
        None => ours.to_owned(),
    }
}
