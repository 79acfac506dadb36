//! What a comparison measures: which variants, workloads and growths are chosen, and that these are built. `compare` calls
//! it.

use std::path::Path;
use std::process::Command;

use crate::args::Compare;
use crate::growth::{self, Growth};
use crate::variants::{self, Variant};
use crate::workload::{self, Workload};

/// The variant that is measured twice to see the noise.
pub const HERD: &str = "herd";

/// The workloads of `--quick`.
const QUICK: [&str; 3] = ["50", "pipelined", "open"];

/// What is to be measured.
pub struct Chosen {
    pub variants: Vec<Variant>,
    pub workloads: Vec<Workload>,
    pub growths: Vec<Growth>,
}

/// What `--only`, `--quick` and `--server` leave.
///
/// # Errors
/// A name is unknown, or a command is none.
pub fn choose(args: &Compare, mut all: Vec<Variant>) -> Result<Chosen, String> {
    for text in &args.server {
        let own = Variant::custom(text)?;
        if all.iter().any(|variant| variant.name == own.name) {
            return Err(format!("--server {}: there is a variant of that name", own.name));
        }
        all.push(own);
    }
    let mut workloads: Vec<_> = workload::ALL.to_vec();
    if args.quick {
        workloads.retain(|workload| QUICK.contains(&workload.name));
    }
    let Some(only) = &args.only else {
        let growths = if args.quick { Vec::new() } else { growth::ALL.to_vec() };
        return Ok(Chosen { variants: all, workloads, growths });
    };
    let names: Vec<_> = only.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if names.is_empty() {
        return Err("--only: name variants and workloads, with commas between".into());
    }
    let is_variant = |name: &str| all.iter().any(|variant| variant.name == name);
    let unknown = names
        .iter()
        .find(|name| !is_variant(name) && Workload::find(name).is_none() && growth::find(name).is_empty());
    if let Some(name) = unknown {
        let variants: Vec<_> = all.iter().map(|variant| variant.name.as_str()).collect();
        let workloads = workload::ALL.map(|workload| workload.name).join(", ");
        return Err(format!(
            "--only: there is no {name:?}; the variants are {}, the workloads {workloads}, and {}, which is {}",
            variants.join(", "),
            growth::ALL_NAME,
            growth::ALL.map(|growth| growth.name).join(", ")
        ));
    }
    let growths: Vec<_> = names.iter().flat_map(|name| growth::find(name)).collect();
    let grows_alone = !growths.is_empty() && names.iter().all(|name| Workload::find(name).is_none());
    if names.iter().any(|name| is_variant(name)) {
        all.retain(|variant| names.contains(&variant.name.as_str()));
    }
    if names.iter().any(|name| Workload::find(name).is_some()) {
        workloads = names.iter().filter_map(|name| Workload::find(name)).collect();
    }
    if grows_alone {
        workloads.clear();
        if !names.iter().any(|name| all.iter().any(|variant| variant.name == *name)) {
            all.retain(|variant| variant.name == HERD);
        }
    }
    if !growths.is_empty() && !all.iter().any(Variant::grows) {
        return Err("--only: growth is of herd, which is left out".into());
    }
    Ok(Chosen { variants: all, workloads, growths })
}

/// Where herd and the variants are built as this program was: with optimisation, or not, for tests.
///
/// # Errors
/// There is no folder above it.
pub fn places(bench: &Path) -> Result<variants::Places, String> {
    let folder = if cfg!(debug_assertions) { "debug" } else { "release" };
    let root = bench.parent().ok_or("the comparison has no folder above it")?;
    Ok(variants::Places {
        bench: bench.to_owned(),
        built: bench.join("target").join(folder),
        herd: root.join("target").join(folder).join("herd"),
    })
}

/// Builds herd and the variants, where any of them is to be measured.
///
/// # Errors
/// One of them does not build.
pub fn build(bench: &Path, built: &variants::Places, all: &[Variant]) -> Result<(), String> {
    let root = bench.parent().ok_or("the comparison has no folder above it")?;
    for (manifest, package, programs) in [(root, "herd", &built.herd), (bench, "variants", &built.built)] {
        if !all.iter().any(|variant| variant.is_in(programs)) {
            continue;
        }
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "-p", package, "--manifest-path"]).arg(manifest.join("Cargo.toml"));
        if built.built.ends_with("release") {
            cargo.arg("--release");
        }
        // Both workspaces where cargo puts them by itself, whatever this one was told.
        cargo.env_remove("CARGO_TARGET_DIR");
        let status = cargo.status().map_err(|why| format!("cargo: {why}"))?;
        if !status.success() {
            return Err(format!("{package} does not build: {status}"));
        }
    }
    Ok(())
}
