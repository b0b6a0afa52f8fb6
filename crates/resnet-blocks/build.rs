//! Compiles the autograd node of `norm_silu` against the headers of the libtorch that tch links.
//!
//! Without headers beside the library the crate is built without the node, and says so: the composition of torch's
//! own operations takes its place.

fn main() {
    println!("cargo:rustc-check-cfg=cfg(norm_silu_node)");
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(feature = "tch")]
    node();
}

#[cfg(feature = "tch")]
fn node() {
    use std::{env, path::Path};

    let source = "src/norm_silu/node.cpp";
    println!("cargo:rerun-if-changed={source}");
    // What torch-sys tells those that depend on it; nothing where it links nothing, as on docs.rs.
    let Some(library) = env::var_os("DEP_TCH_LIBTORCH_LIB") else {
        return;
    };
    let root = Path::new(&library).parent().unwrap_or(Path::new("/"));
    let include = root.join("include");
    if !include
        .join("torch/csrc/autograd/custom_function.h")
        .is_file()
    {
        println!(
            "cargo:warning=no headers of libtorch in {}: bf16 networks will train slower",
            include.display()
        );
        return;
    }
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file(source);
    // `at::parallel_for` is a template: its threads are those that this compiler makes of OpenMP's pragmas, and without
    // them it runs on one. They come from the library that libtorch has beside it, so that both share one team.
    let team = "libgomp.so.1";
    if Path::new(&library).join(team).is_file()
        && build.is_flag_supported("-fopenmp").unwrap_or(false)
    {
        build.flag("-fopenmp");
        println!(
            "cargo:rustc-link-search=native={}",
            Path::new(&library).display()
        );
        println!("cargo:rustc-link-lib=dylib:+verbatim={team}");
    }
    build.compile("norm_silu_node");
    println!("cargo:rustc-cfg=norm_silu_node");
}
