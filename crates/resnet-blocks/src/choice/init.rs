//! The laws of initial values, by their names in the literature.

/// The law of the initial values of a layer. f is its fan-in, o its number of outputs times the area of
/// its kernel.
///
/// Trainability of plain networks hangs on this choice, and the defaults of PyTorch and of tch
/// differ by a factor of 6 in variance, so it is a factor and has no default.
/// Layer-sequential unit variance is `Orthogonal` followed by one pass in `Mode::Calibrate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Init {
    /// PyTorch's default of `nn.Linear` and `nn.Conv2d`: weights and biases U(-1/sqrt f, 1/sqrt f),
    /// that is variance 1/(3 f) (Kaiming-uniform with a = sqrt 5).
    PyTorch,
    /// Weights N(0, 2/f), biases 0. He et al. 2015, "Delving Deep into Rectifiers".
    #[doc(alias = "kaiming_normal")]
    He,
    /// Weights N(0, 1/f), biases 0. LeCun et al. 1998, "Efficient BackProp".
    LeCun,
    /// Weights U(-a, a) with a = sqrt(6 / (f + o)), biases 0. Glorot & Bengio 2010, "Understanding the
    /// difficulty of training deep feedforward neural networks", equation 16; variance scaling by the
    /// average of the fans, as DDPM and NCSN++ have it.
    #[doc(alias = "Glorot")]
    #[doc(alias = "fan_avg")]
    Xavier,
    /// A uniformly random orthogonal matrix (out x f; with orthonormal rows, or columns if the
    /// matrix is tall), biases 0. Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of
    /// learning in deep linear neural networks".
    Orthogonal,
    /// Convolution kernels are 0 but for their centre, an orthogonal matrix (out x in), biases 0:
    /// Xiao et al. 2018, "Dynamical Isometry and a Mean Field Theory of CNNs". Linear layers are as
    /// `Orthogonal`; so are strided convolutions, since a delta would discard three of four pixels.
    DeltaOrthogonal,
    /// The identity: output c is input c (0 where there is no input c), biases 0; a kernel has its ones
    /// in the centre. Nothing is drawn. Zagoruyko & Komodakis 2017, "DiracNets".
    Dirac,
    /// Weights N(0, 0.02^2) whatever the width, biases 0. Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional
    /// Transformers"; Bao et al. 2023 (U-ViT). The cut at two deviations of the one and at a hundred of the other is
    /// left out.
    #[doc(alias = "trunc_normal_")]
    Bert,
    /// Weights N(0, 1), biases 0: for layers that normalise their weights themselves (EDM2).
    UnitNormal,
}
