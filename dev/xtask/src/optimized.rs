//! Programs of ours that want optimized services beside them. In: which, and their options; out:
//! nothing, for this process becomes that program. It must not know what the program does.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use devstack::install::Given;

use crate::exit::Failure;
use crate::install;
use crate::place;

/// Builds the services and the package `program`, and becomes the program of that name. It finds the
/// services by the variable.
pub(crate) fn become_program(
    program: &str,
    variable: &str,
    options: &[String],
) -> Result<(), Failure> {
    let root = place::root();
    // It always starts a broker and database of its own, whatever the environment gives.
    install::for_up(&Given::default())?;
    let packages = ["producer-svc", "consumer-svc", program];
    let mut build = place::cargo(&root);
    build.args(["build", "--release", "--bins"]);
    build.args(packages.iter().flat_map(|package| ["--package", package]));
    let built = build.status().map_err(Failure::doing("starting cargo"))?;
    if !built.success() {
        return Err(Failure::software(format!(
            "{program} could not be built; see above"
        )));
    }
    let binaries = place::binaries(&root, "release");
    let path = binaries.join(program);
    // Signals and the exit code are its own from here on.
    let error = Command::new(&path)
        .args(options)
        .env(variable, &binaries)
        .current_dir(&root)
        .exec();
    Err(Failure::doing(format!("starting {}", path.display()))(
        error,
    ))
}
