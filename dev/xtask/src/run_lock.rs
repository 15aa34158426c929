//! One `up` at a time in a checkout. In: the checkout; out: a lock that ends with its process, or
//! who holds it. It must not stop anyone.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::exit::Failure;

/// Where `up` keeps data, logs and its lock, in the checkout but outside of git.
pub(crate) fn dir(root: &Path) -> PathBuf {
    root.join(".data/up")
}

/// Held as long as this lives.
pub(crate) struct RunLock {
    file: File,
}

/// What the lock's owner wrote down: its process id, then the address of its web page.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) pid: Option<i32>,
    pub(crate) page: Option<String>,
}

/// Takes the lock; `Err` inside `Ok` is the one who has it.
pub(crate) fn take(root: &Path) -> Result<Result<RunLock, Holder>, Failure> {
    let dir = dir(root);
    fs::create_dir_all(&dir).map_err(Failure::doing(format!("creating {}", dir.display())))?;
    let path = dir.join("lock");
    let opened = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path);
    let mut file = opened.map_err(Failure::doing(format!("opening {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text)
                .map_err(Failure::doing(format!("reading {}", path.display())))?;
            let mut lines = text.lines();
            let pid = lines.next().and_then(|line| line.parse().ok());
            return Ok(Err(Holder {
                pid,
                page: lines.next().map(str::to_owned),
            }));
        }
        Err(TryLockError::Error(error)) => {
            return Err(Failure::doing(format!("locking {}", path.display()))(error));
        }
    }
    let lock = RunLock { file };
    lock.write("")
        .map_err(Failure::doing(format!("writing {}", path.display())))?;
    Ok(Ok(lock))
}

impl RunLock {
    /// Tells a second `up` where the page is.
    pub(crate) fn announce(&self, page: &str) -> Result<(), Failure> {
        self.write(page)
            .map_err(Failure::doing("writing the lock file"))
    }

    fn write(&self, page: &str) -> std::io::Result<()> {
        use std::io::Seek as _;
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        if page.is_empty() {
            Ok(())
        } else {
            writeln!(file, "{page}")
        }
    }
}
