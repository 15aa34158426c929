//! The cache outside the checkout. In: the environment; out: its place, and a way to install
//! into it once. It must not know what is installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::StackError;
use crate::progress::Progress;

/// `PURCHASES_CACHE`, else `$XDG_CACHE_HOME/purchases`, else `~/.cache/purchases`.
pub fn cache_dir() -> PathBuf {
    let given = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(dir) = given("PURCHASES_CACHE") {
        return dir;
    }
    let base = given("XDG_CACHE_HOME")
        .or_else(|| given("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir);
    base.join("purchases")
}

/// Makes sure that `cache/name` exists, calling `fill` with an empty directory to fill if not.
///
/// The directory gets its name only when it is complete, and one process at a time installs:
/// the others wait and then find it there.
pub fn exclusively(
    name: &str,
    progress: &Progress,
    fill: impl FnOnce(&Path) -> Result<(), StackError>,
) -> Result<PathBuf, StackError> {
    exclusively_in(&cache_dir(), name, progress, fill)
}

fn exclusively_in(
    cache: &Path,
    name: &str,
    progress: &Progress,
    fill: impl FnOnce(&Path) -> Result<(), StackError>,
) -> Result<PathBuf, StackError> {
    let done = cache.join(name);
    if done.is_dir() {
        return Ok(done);
    }
    fs::create_dir_all(cache).map_err(StackError::io("create", cache))?;
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::options()
        .create(true)
        .append(true)
        .open(&lock_path)
        .map_err(StackError::io("open", &lock_path))?;
    if lock.try_lock().is_err() {
        progress.install(format!(
            "waiting for another process that is installing {name}"
        ));
        lock.lock().map_err(StackError::io("lock", &lock_path))?;
    }
    if done.is_dir() {
        return Ok(done);
    }
    let unfinished = cache.join(format!("{name}.part"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(StackError::io("remove", &unfinished))?;
    }
    fs::create_dir_all(&unfinished).map_err(StackError::io("create", &unfinished))?;
    fill(&unfinished)?;
    fs::rename(&unfinished, &done).map_err(StackError::io("rename", &unfinished))?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::exclusively_in;
    use crate::StackError;
    use crate::progress::Progress;

    #[test]
    fn of_many_at_once_one_installs_and_the_others_find_it() {
        let cache = tempfile::tempdir().unwrap();
        let fills = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let home = exclusively_in(cache.path(), "tool", &Progress::quiet(), |dir| {
                        fills.fetch_add(1, Ordering::SeqCst);
                        fs::write(dir.join("binary"), "whole").map_err(StackError::io("write", dir))
                    });
                    assert_eq!(
                        fs::read_to_string(home.unwrap().join("binary")).unwrap(),
                        "whole"
                    );
                });
            }
        });
        assert_eq!(fills.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failed_installation_counts_as_none_and_is_begun_anew() {
        let cache = tempfile::tempdir().unwrap();
        let failed = exclusively_in(cache.path(), "tool", &Progress::quiet(), |dir| {
            fs::write(dir.join("half"), "").map_err(StackError::io("write", dir))?;
            Err(StackError::NotRunning("the installer".to_owned()))
        });
        assert!(failed.is_err());
        let home = exclusively_in(cache.path(), "tool", &Progress::quiet(), |dir| {
            fs::write(dir.join("binary"), "").map_err(StackError::io("write", dir))
        });
        let home = home.unwrap();
        assert!(home.join("binary").exists() && !home.join("half").exists());
    }
}
