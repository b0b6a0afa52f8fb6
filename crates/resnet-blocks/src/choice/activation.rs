//! Nonlinearities by name.

/// The nonlinearity phi, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x / (1 + exp(-x)), also called swish.
    #[doc(alias = "swish")]
    Silu,
    /// max(x, 0).
    Relu,
    /// max(x, 0) + min(exp(x) - 1, 0).
    ///
    /// Source: Clevert et al. 2016, "Fast and Accurate Deep Network Learning by Exponential Linear Units".
    Elu,
    /// max(x, 0) + 0.2 min(x, 0).
    ///
    /// Source: Maas et al. 2013, "Rectifier Nonlinearities Improve Neural Network Acoustic Models"; the slope
    /// of 0.2 is that of the score networks of Song & Ermon.
    LeakyRelu,
    /// tanh(x).
    Tanh,
    /// x Phi(x), with the normal distribution's Phi; exact, not the approximation by tanh.
    ///
    /// Source: Hendrycks & Gimpel 2016, "Gaussian Error Linear Units".
    Gelu,
    /// x tanh(ln(1 + exp(x))).
    ///
    /// Source: Misra 2019, "Mish: A Self Regularized Non-Monotonic Activation Function".
    Mish,
    /// SiLU divided by 0.596, its root mean square on standard normal numbers.
    ///
    /// Source: Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
    /// equation 81.
    #[doc(alias = "mp_silu")]
    MagnitudeSilu,
}
