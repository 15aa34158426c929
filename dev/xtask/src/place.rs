//! Where things are: the checkout, Cargo and what it builds. In: the environment that Cargo sets;
//! out: paths. It must not create anything.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout this command belongs to.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR");
    let xtask = manifest.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("."))
        .to_owned()
}

/// Where Cargo puts binaries of a profile (`debug`, `release`).
pub(crate) fn binaries(root: &Path, profile: &str) -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root.join(target).join(profile)
}

/// The Cargo that runs us, in the checkout, as if it were called from a terminal.
///
/// What Cargo told this program about its own package is taken away: build scripts that watch such
/// variables (ring's does) would build again at every change between `cargo test` and us.
pub(crate) fn cargo(root: &Path) -> Command {
    const OURS: [&str; 5] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
        "CARGO_PRIMARY_",
    ];
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        if OURS
            .iter()
            .any(|ours| name.to_string_lossy().starts_with(ours))
        {
            command.env_remove(name);
        }
    }
    command
}
