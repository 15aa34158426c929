//! How the database is configured and started. In: the engine, a port, a directory; out: a part
//! that can be launched. It must not wait for anything.

use std::fs;
use std::path::Path;

use crate::error::StackError;
use crate::install::Engine;
use crate::layout::Layout;
use crate::part::{Answers, Part, Recipe};
use crate::process::Spawn;
use crate::secured::Secured;

/// Makes the part.
pub(crate) fn part(
    layout: &Layout,
    engine: &Engine,
    port: u16,
    (standalone, secured): (bool, Option<&Secured>),
) -> Result<Part, StackError> {
    let name = "database";
    let dir = layout.part(name)?;
    let data = dir.join("data");
    fs::create_dir_all(&data).map_err(StackError::io("create", &data))?;
    let log = dir.join("database.log");
    let (spawn, ready_words) = match engine {
        Engine::Mongod(program) => {
            let spawn = tolerant(name, program)
                .args(["--bind_ip", "127.0.0.1", "--port"])
                .arg(port.to_string())
                .arg("--dbpath")
                .arg(&data)
                .args(["--setParameter", "enableTestCommands=1"])
                .args(secured.map(Secured::mongod_arguments).unwrap_or_default());
            (spawn, "Waiting for connections")
        }
        Engine::Secantus(program) => {
            // An empty file of our own, else it would look for one in the home directory.
            let config = dir.join("secantusd.toml");
            fs::write(&config, "").map_err(StackError::io("write", &config))?;
            let spawn = tolerant(name, program)
                .arg("--config")
                .arg(&config)
                .args(["--host", "127.0.0.1", "--port"])
                .arg(port.to_string())
                .arg("--storage-path")
                .arg(&data)
                // Without it SIGKILL loses acknowledged writes, even those with `j: true`.
                .arg("--sync-on-commit")
                .args(["--cache-size", "1G"])
                .arg("--enable-test-commands")
                .args(standalone.then_some("--standalone"))
                .args(secured.map(Secured::secantus_arguments).unwrap_or_default());
            (spawn, "listening on")
        }
    };
    let recipe = Recipe {
        spawn: spawn.current_dir(&dir).log(&log),
        dir,
        log,
        ready_words,
        answers: match secured {
            Some(_) => Answers::SecuredDatabase,
            None => Answers::Database,
        },
    };
    Ok(Part::new(name, format!("127.0.0.1:{port}"), Some(recipe)))
}

/// One that outlives a limit of its files' sizes: as on a full disk, writing then fails, where it would
/// be ended by a signal.
fn tolerant(name: &str, program: &Path) -> Spawn {
    Spawn::new(name, "sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(program)
}
