//! Where the services' binaries are. In: `E2E_BIN_DIR`, or this program's own place; out: paths.
//! It builds nothing: a test that compiles its subject would hold cargo's lock for minutes.

use std::path::{Path, PathBuf};

/// The binary of this service.
///
/// # Panics
/// If it is not there, with the remedy.
pub fn binary(name: &str) -> PathBuf {
    let path = dir().join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo xtask test`, or `cargo build --workspace --bins` first",
        path.display()
    );
    path
}

/// A directory for data that outlives one test but not `cargo clean`.
pub fn scratch() -> PathBuf {
    dir().join("e2e")
}

/// Test programs stand in `<profile>/deps`, the services one level up.
fn dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("E2E_BIN_DIR") {
        return dir.into();
    }
    let own = std::env::current_exe().expect("a program knows its own place");
    let profile = own.parent().and_then(Path::parent);
    profile
        .expect("test programs stand two levels deep")
        .to_owned()
}
