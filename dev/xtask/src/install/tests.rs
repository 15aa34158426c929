//! What only the tests need: a browser and its driver, Node, promtool, kubectl, schemathesis. In: the checkout;
//! out: where they are. Tools that would bring a daemon along are unpacked into the cache instead
//! of being installed.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use devstack::install::{Given, find, run_step};
use devstack::process::Spawn;
use devstack::{StackError, cache_dir, exclusively};

use super::{CHROMIUM, NODE, NPM, Need, PYTHON, apt, ensure, for_up, major_version, progress};
use crate::exit::Failure;

/// The frontend's tests use what Node has since this version.
const NODE_AT_LEAST: u32 = 20;

/// Where npm puts what it was asked for.
const NODE_FROM_NPM: &str = "node_modules/node/bin/node";
const PLAYWRIGHT: &str = "node_modules/playwright-core";

/// Where the tests' tools are.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) node: PathBuf,
    pub(crate) chromium: PathBuf,
    pub(crate) playwright: PathBuf,
    pub(crate) promtool: PathBuf,
    pub(crate) schemathesis: PathBuf,
}

/// Installs all that `test` needs beyond what `up` needs.
pub(crate) fn for_tests(root: &Path) -> Result<Tools, Failure> {
    for_up(&Given::from_environment())?;
    // Any Chromium will do; the package is asked for only if there is none.
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find_map(find);
    let mut needs: Vec<Need> = vec![NODE, NPM, PYTHON];
    if browser.is_none() {
        needs.push(CHROMIUM);
    }
    ensure(&needs)?;
    let lost = |name: &str| {
        Failure::unavailable(format!("{name} was there a moment ago and is not any more"))
    };
    Ok(Tools {
        node: node()?,
        chromium: browser
            .or_else(|| find("chromium"))
            .ok_or_else(|| lost("chromium"))?,
        playwright: playwright(root)?,
        promtool: promtool()?,
        schemathesis: schemathesis(root)?,
    })
}

/// The PATH's Node if it is new enough, else one from npm.
fn node() -> Result<PathBuf, Failure> {
    if let Some(node) = find("node")
        && major_version(&node) >= Some(NODE_AT_LEAST)
    {
        return Ok(node);
    }
    let home = exclusively("node-22", &progress(), |dir| {
        fs::write(dir.join("package.json"), "{\"private\": true}\n").map_err(io("write", dir))?;
        let install = npm_install(dir).arg("node@22");
        run_step(
            "installing Node 22",
            &install,
            &cache_dir().join("logs/install-node.log"),
            &progress(),
        )?;
        present(&dir.join(NODE_FROM_NPM))
    })?;
    Ok(home.join(NODE_FROM_NPM))
}

/// The browser driver in the version the frontend asks for; a changed `package.json` is another
/// directory of the cache.
fn playwright(root: &Path) -> Result<PathBuf, Failure> {
    let wanted = root.join("frontend/package.json");
    let text = fs::read_to_string(&wanted)
        .map_err(Failure::doing(format!("reading {}", wanted.display())))?;
    let version = text
        .split("\"playwright-core\": \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .ok_or_else(|| {
            Failure::software(format!(
                "{} does not name playwright-core",
                wanted.display()
            ))
        })?;
    let home = exclusively(&format!("frontend-tests-{version}"), &progress(), |dir| {
        fs::write(dir.join("package.json"), &text).map_err(io("write", dir))?;
        let install = npm_install(dir).arg("--ignore-scripts");
        run_step(
            "installing the browser driver",
            &install,
            &cache_dir().join("logs/install-playwright.log"),
            &progress(),
        )?;
        present(&dir.join(PLAYWRIGHT))
    })?;
    Ok(home.join(PLAYWRIGHT))
}

fn npm_install(dir: &Path) -> Spawn {
    Spawn::new("npm", "npm")
        .args([
            "install",
            "--no-package-lock",
            "--no-audit",
            "--no-fund",
            "--prefix",
        ])
        .arg(dir)
        .current_dir(dir)
}

/// promtool checks the metrics' text. Debian has it in the package of the server, which would
/// start one; so it is taken out of the package.
fn promtool() -> Result<PathBuf, Failure> {
    if let Some(promtool) = find("promtool") {
        return Ok(promtool);
    }
    if find("dpkg").is_none() {
        return Err(Failure::unavailable(
            "promtool is missing. Bring it (it comes with Prometheus) on the PATH and run this command again.",
        ));
    }
    let home = exclusively("promtool", &progress(), |dir| {
        let download = Spawn::new("apt-get", "apt-get")
            .args(["download", "prometheus"])
            .current_dir(dir);
        let log = cache_dir().join("logs/install-promtool.log");
        let fetch = || run_step("fetching promtool", &download, &log, &progress());
        match (fetch(), apt()) {
            (Ok(()), _) => {}
            (Err(error), None) => return Err(error),
            // A machine that never updated its lists knows no package.
            (Err(_), Some(apt)) => {
                run_step(
                    "updating the package lists",
                    &apt.arg("update"),
                    &log,
                    &progress(),
                )?;
                fetch()?;
            }
        }
        let package = fs::read_dir(dir)
            .map_err(io("read", dir))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let package = package
            .ok_or_else(missing)
            .map_err(io("find the package in", dir))?;
        let unpack = Spawn::new("dpkg", "dpkg").arg("-x").arg(&package).arg(dir);
        run_step("unpacking promtool", &unpack, &log, &progress())?;
        fs::remove_file(&package).map_err(io("remove", &package))
    })?;
    Ok(home.join("usr/bin/promtool"))
}

/// The Python that has what holds the services against their own description; other pins are another
/// directory of the cache. The environment is moved once it is whole, so its scripts do not run.
fn schemathesis(root: &Path) -> Result<PathBuf, Failure> {
    let wanted = root.join("dev/e2e/python/requirements.txt");
    let pins = fs::read_to_string(&wanted)
        .map_err(Failure::doing(format!("reading {}", wanted.display())))?;
    let mut hash = DefaultHasher::new();
    pins.hash(&mut hash);
    let name = format!("schemathesis-{:016x}", hash.finish());
    let home = exclusively(&name, &progress(), |dir| {
        let log = cache_dir().join("logs/install-schemathesis.log");
        let venv = Spawn::new("python3", "python3").args(["-m", "venv"]);
        let making = "making a Python environment for schemathesis";
        run_step(making, &venv.arg(dir), &log, &progress())?;
        let pip = Spawn::new("pip", dir.join("bin/python"))
            .args(["-m", "pip", "install", "--disable-pip-version-check"])
            .arg("--requirement")
            .arg(&wanted);
        run_step("installing schemathesis", &pip, &log, &progress())?;
        present(&dir.join("bin/schemathesis"))
    })?;
    Ok(home.join("bin/python"))
}

/// npm is content with less than was asked of it, for instance without an install script.
fn present(path: &Path) -> Result<(), StackError> {
    fs::metadata(path).map(drop).map_err(io("find", path))
}

fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StackError {
    let path = path.to_owned();
    move |source| StackError::Io { what, path, source }
}
