//! The sentences of the thesis, part by part, and the findings that each part rests on.
//!
//! A sentence with two halves holds if both do, so each half names its own evidence, and a half that nothing tests says
//! so. What a built-in study says it is `about` is a table of contents; what decides a sentence stands here.

use super::sentence::{Sentence, part, sentence, untestable};

/// T1 to T36.
pub(super) const SENTENCES: [Sentence; 36] = [
    sentence(
        "Skips and noise address one issue, the ill-conditioning of the space in which learning takes place",
        &[
            part(
                "skips condition the problem",
                "one-principle-skips one-principle-over-orthogonal one-principle-networks-gain-skips ?3c ?3c-pytorch",
            )
            .under("linear chains whose plain rival does not begin with orthogonal weights"),
            part(
                "noise conditions the problem",
                "3b-gain 3b-kappa one-principle-noise one-principle-networks-gain-noise",
            )
            .under("linear models of the score"),
            part(
                "on both sides the time to learn follows the condition, by one law",
                "one-principle-time-skips one-principle-time-noise one-principle-same-slope one-principle-faster-skips one-principle-faster-noise one-principle-networks-skips one-principle-networks-noise",
            )
            .under("linear models"),
        ],
    ),
    sentence(
        "Skips preserve the signal as depth increases",
        &[part(
            "",
            "1a-signal 1a-signal-linear 1a-branch 1a-scale",
        )
        .under("scaled branches of mean zero, against plain networks that are not orthogonal")],
    ),
    sentence(
        "Skips prevent vanishing gradients",
        &[
            part(
                "without skips they vanish",
                "1a-off 1a-crit 2a-exist 2a-exist-init 2a-exist-decades 2a-exist-decades-init",
            )
            .under("initial weights that are not critical, such as PyTorch's default"),
            part("with skips they do not", "1a-skip 6-exist")
                .under("scaled branches"),
        ],
    ),
    sentence(
        "Skips let low-level and high-level representations coexist",
        &[part("", "7a").caveat(
            "the finest octave of what a U-Net answers stands for its low-level representations; what its layers hold is not measured",
        )],
    ),
    sentence(
        "Skips make the space more amenable to optimisation",
        &[part(
            "",
            "2a-lr 2a-learn 7e 7e-counter 1a-identity 1a-scale 4-t2 4-t2-he one-principle-skips one-principle-over-orthogonal one-principle-networks-gain-skips ?3c ?3c-pytorch ?3c-rank ?3c-curvature",
        )
        .under("speed, usable learning rates and, at 128 layers, the error in the end; not the error of a narrow network of 24 blocks, nor against a chain that begins orthogonal")],
    ),
    sentence(
        "Skips add no representational power; they restructure the path so that learning stays feasible over depth",
        &[
            part(
                "they add no power",
                "4-T1 4-t2-fold 4-t3 4-t4-wide !4-t4 !4-t4-he ?4-T1-decay",
            )
            .under("linear networks and networks wider than their input"),
            part(
                "learning stays feasible over depth",
                "2a-lr 2a-learn 7e 7e-counter",
            ),
        ],
    ),
    sentence(
        "Image data lie near manifolds, off which the score is ill-defined or gives no usable signal",
        &[
            part("image data lie near manifolds", "").caveat(
                "the manifolds here are made; no finding measures the dimension of images",
            ),
            part(
                "on a manifold the score is ill-defined",
                "2b-no-floor 2b-diverges ?2b-density",
            ),
            part(
                "off the data it gives no usable signal",
                "1b 1b-plane 1b-density ?g5",
            ),
        ],
    ),
    sentence(
        "Noise smooths the mass and makes the distribution differentiable",
        &[
            part("it smooths the mass", "4-spread 3b-monotone"),
            part(
                "it makes the distribution differentiable",
                "3b-jump 3b-twice",
            ),
        ],
    ),
    sentence(
        "Noise stabilises the gradients of score matching",
        &[part(
            "",
            "2b-floor 2b-norm 2b-reaches-floor 2b-floor-large 2b-tiny 3b-kappa one-principle-noise one-principle-faster-noise 1b-density-noise ?g5",
        )
        .under("closed forms and linear models; trained networks do not all come to the floor, least of all with little noise")],
    ),
    sentence(
        "Noise lets Langevin dynamics work without collapse",
        &[part(
            "",
            "5a 5c-annealed 3b-gain 3b-monotone !5c-one-level ?5d-only",
        )
        .under("several levels of noise in the data besides noise in sampling")],
    ),
    sentence(
        "Neither adds capacity in the first place: both recondition, so that gradients exist, propagate and can be trusted",
        &[
            part(
                "neither adds capacity",
                "4-T1 4-t2-fold 4-t3 4-t4-wide !4-t4 4-noise 4-noise-cost 4-noise-parameters",
            )
            .under("noise; and skips in linear networks and in networks wider than their input"),
            part(
                "both recondition",
                "3b-gain 3b-kappa 4-T1-learns 4-T1-stuck one-principle-skips one-principle-noise one-principle-time-skips one-principle-time-noise one-principle-networks-skips one-principle-networks-noise ?3c ?3c-rank",
            )
            .under("linear models"),
            part(
                "gradients exist and propagate",
                "1a-skip 2a-exist 2a-exist-init 2b-floor 2b-no-floor",
            )
            .under("initial weights of the plain network that are not critical"),
            part(
                "gradients can be trusted",
                "2a-lr 2a-shat 2a-shat-far 2a-shat-plain !2b-singular",
            )
            .under("neighbouring inputs, and noise that is not too small"),
        ],
    ),
    sentence(
        "Without skips the signal degrades with depth, without noise it vanishes off the manifold",
        &[
            part(
                "without skips the signal degrades with depth",
                "1a-signal 1a-signal-linear",
            )
            .under("plain networks that are not orthogonal"),
            part(
                "without noise it vanishes off the manifold",
                "1b 1b-plane 1b-density ?1b-same-level ?1b-large",
            ),
        ],
    ),
    sentence(
        "Residual networks let gradients propagate, noise lets the gradient of the log-density exist",
        &[
            part(
                "residual networks let gradients propagate rather than die",
                "1a-skip 1a-off 1a-crit 2a-exist 2a-exist-decades 2a-exist-decades-init",
            )
            .under("initial weights of the plain network that are not critical"),
            part(
                "noise lets the gradient of the log-density exist",
                "2b-no-floor 2b-floor 3b-jump 3b-twice ?2b-density",
            ),
        ],
    ),
    sentence(
        "The core issue is not a weak model but a problem that is not differentiable or not stable",
        &[
            part("the model is not too weak", "4-t2-fold 4-t4-wide !4-t4")
                .under("networks wider than their input"),
            part(
                "depth: learning is what fails without skips",
                "2a-lr 2a-learn 4-t2",
            )
            .under("networks of 128 layers; a narrow one of 24 blocks ends no worse without skips"),
            part(
                "data: the problem has no solution without noise",
                "2b-no-floor 2b-diverges 3b-jump",
            ),
        ],
    ),
    sentence(
        "Depth becomes near-identity maps with corrections, concentrated data become smooth distributions",
        &[
            part(
                "depth becomes near-identity maps",
                "3a-rho 3a 1a-identity",
            )
            .under("near the identity by the size of what a block adds, not by what taking it out costs"),
            part(
                "concentrated data become smooth distributions",
                "3b-twice 4-spread 3b-monotone",
            ),
        ],
    ),
    sentence(
        "Learning becomes possible by simplifying the world that the model learns in",
        &[part(
            "",
            "4-T1-learns 4-T1-stuck 3b-gain one-principle-skips one-principle-noise one-principle-networks-gain-skips one-principle-networks-gain-noise !3b-too-much",
        )
        .under("linear models, and noise that is smaller than the distance of the modes")],
    ),
    sentence(
        "Skips leave the distribution of the data as it is, noise changes it",
        &[
            part(
                "skips leave it, and every draw of it, as it is",
                "4-batches 4-starts",
            ),
            part("noise changes it", "4-spread 4-moves"),
        ],
    ),
    untestable(
        "Many breakthroughs came from repairing the environment, not from capacity",
        &[],
        "a sentence about history, which no experiment here can decide",
    ),
    sentence(
        "What changed is the opportunity to learn, not the outcome",
        &[
            part(
                "the opportunity changed",
                "2a-lr 2a-exist 7e-counter 6-mode-time",
            ),
            part(
                "the outcome did not",
                "!4-t2 4-t4-wide !2a-learn !7a !7c ?4-noise ?6-share-outcome",
            )
            .under("small problems and wide networks, not the finest detail of fields"),
        ],
    ),
    sentence(
        "Before, learning was selective: signals vanished with depth, regions could not be learned, features were excluded",
        &[
            part(
                "signals vanished with depth",
                "1a-off 1a-crit 1a-signal 2a-exist !6-exist-init",
            )
            .under("initial weights that are not critical"),
            part("regions could not be learned", "1b 1b-plane 1b-density"),
            part(
                "features were excluded in favour of others",
                "6-modes 5c-one-level edm-no-skip",
            ),
        ],
    ),
    sentence(
        "That selectivity was forced by mathematics, not designed",
        &[part(
            "",
            "6-modes 2b-no-floor 2a-exist-init 1a-crit !6-exist-init",
        )
        .under("selectivity on the side of the data; layers are silent by a choice of initial weights")],
    ),
    sentence(
        "After, every signal takes part in the computation of gradients",
        &[part(
            "",
            "6-exist edm-equal 6-modes 6-mode-time 3a-all-paths 3a-measured-paths ?6-band-equal ?6-weights ?g6",
        )
        .under("layers, noise levels and modes as the signals, not paths")],
    ),
    sentence(
        "Before, some paths received no gradient; after, gradients propagate through all paths",
        &[
            part(
                "before, some received none",
                "2a-exist 2a-exist-init",
            )
            .under("initial weights that are not critical"),
            part(
                "after, gradients propagate through all paths",
                "3a-all-paths 3a-measured-paths ?6-exist ?6-share ?6-share-plain ?6-share-theil",
            )
            .caveat("that no layer is silent does not say that no path is: most paths carry next to nothing"),
        ],
    ),
    sentence(
        "After, the space is differentiable everywhere of interest",
        &[part(
            "",
            "3b-twice 2b-floor 1b-share 1b-plane 1b 1b-same-level !2b-singular ?1b-large",
        )
        .under("levels of noise that are not too small: at the smallest the score is singular, and found in no more of the space")],
    ),
    sentence(
        "Fairness does not mean that all features are learned equally",
        &[part(
            "",
            "6-band !6-band-equal ?6-modes-drown ?6-share ?6-share-plain ?6-share-theil ?6-share-outcome ?6-weights ?g6",
        )],
    ),
    sentence(
        "It means that nothing is excluded before learning begins: no silent regions",
        &[
            part("no layer is silent", "6-exist ?6-exist-init ?2a-exist"),
            part(
                "no region is silent",
                "1b-share 1b-same-level ?1b-large",
            )
            .under("some level of noise, of which one large level covers as much as many; not the smallest"),
            part(
                "no mode is silent",
                "6-modes 6-mode-time 6-mode-time-slope 5c-annealed 6-modes-drown",
            )
            .under("noise about as large as the distance of the modes; more drowns them"),
        ],
    ),
    sentence(
        "Skips removed a barrier to optimisation, diffusion resolved a mathematical impossibility",
        &[
            part(
                "skips removed a barrier",
                "2a-lr 2a-learn 7e-counter one-principle-faster-skips 4-t2",
            )
            .under("a barrier at 128 layers, and to speed at fewer; a narrow network of 24 blocks ends no worse without skips"),
            part(
                "diffusion resolved an impossibility",
                "2b-no-floor 2b-floor 2b-diverges 2b-norm 2b-sliced ?g5",
            ),
        ],
    ),
    sentence(
        "Skips help diffusion models by gradient flow, depth and information that is kept over the steps of denoising",
        &[
            part("they help the gradient flow of a denoiser", "7e 7e-counter"),
            part(
                "they help its depth",
                "7c 7c-coarse ?7c-learns ?7a ?g2",
            ),
            part(
                "information is kept over the steps of denoising",
                "7c-steps 7c-steps-kept ?7c-steps-few ?7c-steps-drift",
            ),
        ],
    ),
    sentence(
        "Without shortcuts the updates of early layers become too small to learn from",
        &[
            part(
                "they become too small",
                "1a-off 1a-crit 2a-exist 2a-exist-init 2a-exist-adam 2a-exist-decades 2a-exist-decades-init ?g1-gradient",
            )
            .under("gradient descent from initial weights that are not critical"),
            part(
                "so that nothing is learned",
                "2a-learn 2a-learn-pytorch ?g1 ?g1-110 ?g1-training",
            )
            .under("initial weights that are not critical"),
        ],
    ),
    sentence(
        "Residual blocks of a denoiser refine the prediction of noise instead of relearning the input",
        &[
            part("a block changes little of its stream", "3a-rho 3a")
                .under("near the identity by the size of what a block adds, not by what taking it out costs"),
            part(
                "what passes by need not be learned",
                "7b-long-skip 7b-long-skip-images 7b-skip-trained edm-no-skip ?g2",
            )
            .under("linear networks at their optimum, not after the steps that a trained one is given")
            .caveat("measured on fully connected networks and in closed form; U-Nets wait for g2"),
        ],
    ),
    sentence(
        "Training is more stable with skips, above all with many layers or long schedules",
        &[
            part("with many layers", "2a-lr 7d 7d-spikes !7d-norm ?g3")
                .under("short skips; long skips make a U-Net's result the larger, the larger their factor"),
            part("with long schedules", "")
                .caveat("no finding varies the number of steps of a schedule"),
        ],
    ),
    sentence(
        "With skips depth scales; without them deeper networks get worse by loss of signal",
        &[
            part("with skips depth scales", "2a-learn 7e-counter ?g1-deeper ?g2"),
            part(
                "without them deeper networks get worse",
                "2a-learn-pytorch 7c 7c-coarse ?7c-learns ?g1 ?g1-110 ?g1-worse ?g1-worse-110 ?g1-rates",
            ),
        ],
    ),
    sentence(
        "Adding the input back keeps details even after hundreds of layers, and complex data are handled better",
        &[
            part(
                "it keeps details",
                "7a 7c !7c-coarse 1a-branch ?7c-steps",
            )
            .under("branches of mean zero"),
            part("complex data are handled better", "?g2").caveat(
                "the fields and curves here are simple; natural images wait for g2",
            ),
        ],
    ),
    sentence(
        "Predicting increments, such as noise, is easier than predicting the clean image",
        &[part(
            "",
            "!7b ?7b-patch 7b-eps-always 7b-easier 7b-easier-images 7b-easier-clean 7e-target ?7b-tanh ?7b-relu ?7b-long-skip ?7b-long-skip-images ?edm-equal ?7e-target-f ?g4",
        )
        .under("noise below most of the data's spectrum, as the rank law says")
        .caveat("7e-target-f compares two increments, and F begins near the threshold; so it has no say")],
    ),
    sentence(
        "That makes training faster and more reliable",
        &[
            part(
                "faster",
                "7e 7e-counter one-principle-faster-skips 7e-target ?7e-min-snr",
            )
            .under("increments of residual blocks, not the prediction of noise"),
            part("more reliable", "2a-lr"),
        ],
    ),
    untestable(
        "Stable Diffusion's U-Nets use residual blocks this way, and small updates make them efficient",
        &[part("", "?g2")],
        "its first half is a fact of the architecture; its second needs models of that size, with and without",
    ),
];
