//! The directory of one stack: who holds it, which ports it had, which processes an earlier run
//! left. In: a path or nothing; out: a directory that is ours alone. It must not start anything.

mod leftovers;

#[cfg(test)]
pub(crate) use leftovers::born;
pub(crate) use leftovers::record;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::error::StackError;
use crate::port;
use crate::progress::Progress;

const LOCK: &str = "lock";
const STATE: &str = "stack.json";
const TEMP_PREFIX: &str = "purchases-stack-";

/// The ports of one broker.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BrokerPorts {
    pub(crate) client: u16,
    pub(crate) internal: u16,
    pub(crate) controller: u16,
    pub(crate) proxy: u16,
    /// In the order of [`Listener::ALL`](crate::Listener::ALL); listened on by secured stacks only.
    #[serde(default)]
    pub(crate) secured: [u16; 4],
}

/// What is remembered between two starts in the same directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) brokers: Vec<BrokerPorts>,
    pub(crate) database: u16,
    pub(crate) database_proxy: u16,
}

impl State {
    fn ports(&mut self) -> impl Iterator<Item = &mut u16> {
        self.brokers
            .iter_mut()
            .flat_map(|each| {
                [
                    &mut each.client,
                    &mut each.internal,
                    &mut each.controller,
                    &mut each.proxy,
                ]
                .into_iter()
                .chain(&mut each.secured)
            })
            .chain([&mut self.database, &mut self.database_proxy])
    }
}

/// A directory held by this process. Dropping it gives it and its ports free.
#[derive(Debug)]
pub(crate) struct Layout {
    path: PathBuf,
    state: State,
    temp: Option<TempDir>,
    /// Locked; never inherited by children, so it ends with us.
    _lock: File,
}

impl Layout {
    /// Takes the directory (a temporary one without a path), ends what a killed run left in it,
    /// wipes it if it is to be fresh, and settles on ports: those of the last time where free.
    pub(crate) fn open(
        path: Option<&Path>,
        fresh: bool,
        brokers: usize,
        progress: &Progress,
    ) -> Result<Self, StackError> {
        let temp = match path {
            Some(_) => None,
            None => {
                leftovers::sweep();
                let made = tempfile::Builder::new().prefix(TEMP_PREFIX).tempdir();
                Some(made.map_err(StackError::io(
                    "create a directory in",
                    &std::env::temp_dir(),
                ))?)
            }
        };
        let path = temp
            .as_ref()
            .map(TempDir::path)
            .or(path)
            .unwrap_or(Path::new("."))
            .to_owned();
        fs::create_dir_all(&path).map_err(StackError::io("create", &path))?;
        // Children run in directories of their own, so every path they get must be absolute.
        let path = path.canonicalize().map_err(StackError::io("find", &path))?;
        let lock = hold(&path)?;
        leftovers::end(&path, progress)?;
        if fresh {
            wipe(&path)?;
        }
        let mut state = load(&path)?.unwrap_or_else(|| State {
            brokers: vec![
                BrokerPorts {
                    client: 0,
                    internal: 0,
                    controller: 0,
                    proxy: 0,
                    secured: [0; 4],
                };
                brokers
            ],
            database: 0,
            database_proxy: 0,
        });
        if state.brokers.len() != brokers {
            return Err(StackError::OtherShape {
                dir: path,
                found: state.brokers.len(),
                wanted: brokers,
            });
        }
        for port in state.ports() {
            if *port == 0 || !port::reserve(*port) {
                *port = port::free_port();
            }
        }
        let layout = Self {
            path,
            state,
            temp,
            _lock: lock,
        };
        layout.save()?;
        Ok(layout)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The directory of one part, made if needed.
    pub(crate) fn part(&self, name: &str) -> Result<PathBuf, StackError> {
        let dir = self.path.join(name);
        fs::create_dir_all(&dir).map_err(StackError::io("create", &dir))?;
        Ok(dir)
    }

    fn save(&self) -> Result<(), StackError> {
        let path = self.path.join(STATE);
        let text = serde_json::to_string_pretty(&self.state).unwrap_or_default();
        fs::write(&path, text).map_err(StackError::io("write", &path))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        self.state.ports().for_each(|port| port::release(*port));
        if std::thread::panicking()
            && let Some(temp) = self.temp.take()
        {
            // The logs are what one wants to see now. `sweep` removes them another day.
            let kept = temp.keep();
            drop(writeln!(
                std::io::stderr(),
                "devstack: logs and data are kept in {}",
                kept.display()
            ));
        }
    }
}

fn hold(dir: &Path) -> Result<File, StackError> {
    let path = dir.join(LOCK);
    let mut options = File::options();
    let opened = options
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path);
    let mut file = opened.map_err(StackError::io("open", &path))?;
    if file.try_lock().is_err() {
        let mut holder = String::new();
        let known = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
        let holder = if known {
            holder.trim().to_owned()
        } else {
            "(unknown)".to_owned()
        };
        return Err(StackError::InUse {
            dir: dir.to_owned(),
            holder,
        });
    }
    file.set_len(0).map_err(StackError::io("write", &path))?;
    write!(file, "{}", std::process::id()).map_err(StackError::io("write", &path))?;
    Ok(file)
}

fn load(dir: &Path) -> Result<Option<State>, StackError> {
    let path = dir.join(STATE);
    match fs::read_to_string(&path) {
        // A half-written file is as good as none: ports are chosen again.
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StackError::io("read", &path)(error)),
    }
}

fn wipe(dir: &Path) -> Result<(), StackError> {
    for entry in fs::read_dir(dir)
        .map_err(StackError::io("read", dir))?
        .flatten()
    {
        let path = entry.path();
        if entry.file_name() == LOCK {
            continue;
        }
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(StackError::io("remove", &path))?;
    }
    Ok(())
}
