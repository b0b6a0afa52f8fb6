//! The sentences that the claims are about, in short, with why some of them cannot be tested here.

/// A sentence of the thesis.
pub(super) struct Sentence {
    /// What it says.
    pub(super) says: &'static str,
    /// Why no claim bears on it, if none does.
    pub(super) untestable: &'static str,
}

const fn sentence(says: &'static str) -> Sentence {
    Sentence {
        says,
        untestable: "no claim of this laboratory bears on it yet",
    }
}

const fn untestable(says: &'static str, untestable: &'static str) -> Sentence {
    Sentence { says, untestable }
}

/// T1 to T36.
pub(super) const SENTENCES: [Sentence; 36] = [
    sentence(
        "Skips and noise address one issue, the ill-conditioning of the space in which learning takes place",
    ),
    sentence("Skips preserve the signal as depth increases"),
    sentence("Skips prevent vanishing gradients"),
    sentence("Skips let low-level and high-level representations coexist"),
    sentence("Skips make the space more amenable to optimisation"),
    sentence("Skips add no representational power"),
    sentence(
        "Image data lie near manifolds, off which the score is ill-defined or gives no usable signal",
    ),
    sentence("Noise smooths the mass and makes the distribution differentiable"),
    sentence("Noise stabilises the gradients of score matching"),
    sentence("Noise lets Langevin dynamics work without collapse"),
    sentence(
        "Neither adds capacity in the first place: both recondition, so that gradients exist, propagate and can be trusted",
    ),
    sentence(
        "Without skips the signal degrades with depth, without noise it vanishes off the manifold",
    ),
    sentence(
        "Residual networks let gradients propagate, noise lets the gradient of the log-density exist",
    ),
    sentence(
        "The core issue is not a weak model but a problem that is not differentiable or not stable",
    ),
    sentence(
        "Depth becomes near-identity maps with corrections, concentrated data become smooth distributions",
    ),
    sentence("Learning becomes possible by simplifying the world that the model learns in"),
    untestable(
        "Skips leave the distribution of the data as it is, noise changes it",
        "true by definition: arms share their data stream, and noise adds sigma² to every variance",
    ),
    untestable(
        "Many breakthroughs came from repairing the environment, not from capacity",
        "a sentence about history, which no experiment here can decide",
    ),
    sentence("What changed is the opportunity to learn, not the outcome"),
    sentence(
        "Before, learning was selective: signals vanished with depth, regions could not be learned, features were excluded",
    ),
    sentence("That selectivity was forced by mathematics, not designed"),
    sentence("After, every signal takes part in the computation of gradients"),
    sentence("After, gradients propagate through all paths"),
    sentence("After, the space is differentiable everywhere of interest"),
    sentence("Fairness does not mean that all features are learned equally"),
    sentence("It means that nothing is excluded before learning begins: no silent regions"),
    sentence(
        "Skips removed a barrier to optimisation, diffusion resolved a mathematical impossibility",
    ),
    sentence("Skips help diffusion models by gradient flow, depth and kept information"),
    sentence("Without shortcuts the updates of early layers become too small to learn from"),
    sentence("Residual blocks refine the prediction of noise instead of relearning the input"),
    sentence("Training is more stable with skips, above all with many layers"),
    sentence("With skips depth scales; without them deeper networks get worse by loss of signal"),
    sentence("Adding the input back keeps details even after hundreds of layers"),
    sentence("Predicting increments, such as noise, is easier than predicting the clean image"),
    sentence("That makes training faster and more reliable"),
    untestable(
        "Stable Diffusion's U-Nets use residual blocks this way, and small updates make them efficient",
        "its first half is a fact of the architecture; its second needs models of that size, with and without",
    ),
];
