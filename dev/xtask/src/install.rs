//! What the machine lacks, installed. In: needs; out: a machine that has them, or the exact line
//! to type where we may not install. Only the system's package manager and user-level package
//! clients are used; nothing is fetched by address.

mod tests;

pub(crate) use tests::{Tools, for_tests};

use std::path::Path;
use std::process::{Command, Stdio};

use devstack::install::{Given, Tool, apt_line, find, packages, run_step};
use devstack::process::Spawn;
use devstack::{Notice, Progress, cache_dir};

use crate::exit::Failure;
use crate::say::say;

/// Something needed, and how its presence shows.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    tool: Tool,
    present: fn(&Tool) -> bool,
}

const fn program(
    name: &'static str,
    purpose: &'static str,
    packages: &'static [&'static str],
) -> Need {
    Need {
        tool: Tool {
            name,
            purpose,
            packages,
        },
        present: |tool| tool.path().is_some(),
    }
}

const fn header(name: &'static str, packages: &'static [&'static str]) -> Need {
    Need {
        tool: Tool {
            name,
            purpose: "builds the Kafka client",
            packages,
        },
        present: has_header,
    }
}

const NGINX: Need = program("nginx", "serves the web page", &["nginx"]);
pub(crate) const NODE: Need = program("node", "runs the frontend's tests", &["nodejs"]);
pub(crate) const NPM: Need = program("npm", "fetches the browser driver", &["npm"]);
pub(crate) const PYTHON: Need = Need {
    tool: Tool {
        name: "python3",
        purpose: "with venv, checks the manifests and the services' description",
        packages: &["python3", "python3-venv"],
    },
    present: has_venv,
};
pub(crate) const CHROMIUM: Need = program("chromium", "runs the browser tests", &["chromium"]);

/// What the services need to be built: librdkafka is compiled from source.
const BUILD: [Need; 5] = [
    Need {
        tool: Tool::CXX,
        present: |tool| tool.path().is_some(),
    },
    Need {
        tool: Tool::MAKE,
        present: |tool| tool.path().is_some(),
    },
    program("pkg-config", "finds system libraries", &["pkg-config"]),
    header("openssl/ssl.h", &["libssl-dev"]),
    header("zlib.h", &["zlib1g-dev"]),
];

/// Lines while something is installed or started.
pub(crate) fn progress() -> Progress {
    Progress::new(|notice| match notice {
        Notice::Warning(text) => say(&format!("  ! {text}")),
        other => say(&format!("  {}", other.text())),
    })
}

/// What building the workspace needs.
pub(crate) fn for_build() -> Result<(), Failure> {
    ensure(&BUILD)
}

/// What `up` needs: building, the web server, the broker and the database.
pub(crate) fn for_up(given: &Given) -> Result<(), Failure> {
    let mut needs = BUILD.to_vec();
    needs.push(NGINX);
    needs.extend(for_stack(given));
    ensure(&needs)?;
    devstack::install::prepare(given, &progress()).map_err(Failure::from)
}

fn for_stack(given: &Given) -> Vec<Need> {
    let missing = devstack::install::missing(given).into_iter();
    missing
        .map(|tool| Need {
            tool,
            present: |tool| tool.path().is_some(),
        })
        .collect()
}

/// Installs what is missing of these, all in one go.
pub(crate) fn ensure(needs: &[Need]) -> Result<(), Failure> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing
        .iter()
        .map(|tool| format!("{} ({})", tool.name, tool.purpose))
        .collect();
    say(&format!("missing on this machine: {}", names.join(", ")));
    let line = apt_line(&missing);
    let Some(apt) = apt() else {
        return Err(Failure::unavailable(format!(
            "these can only be installed by root with the system's package manager. On Debian or Ubuntu type\n  \
             sudo {line}\nand run this command again."
        )));
    };
    let log = cache_dir().join("logs/apt.log");
    let update = apt.clone().arg("update");
    run_step("updating the package lists", &update, &log, &progress())?;
    let install = apt
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages(&missing));
    run_step(
        &format!("installing {}", packages(&missing).join(" ")),
        &install,
        &log,
        &progress(),
    )?;
    let still = self::missing(needs);
    if still.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = still.iter().map(|tool| tool.name).collect();
    Err(Failure::unavailable(format!(
        "installed, but still missing or too old: {}. Bring {} by hand, on the PATH, and run this command again.",
        names.join(", "),
        if names.len() == 1 { "it" } else { "them" },
    )))
}

fn missing(needs: &[Need]) -> Vec<Tool> {
    needs
        .iter()
        .filter(|need| !(need.present)(&need.tool))
        .map(|need| need.tool)
        .collect()
}

/// The package manager, where we may use it without asking for a password.
fn apt() -> Option<Spawn> {
    let apt = find("apt-get")?;
    // A freshly installed nginx must not start by itself and take port 80.
    let settings = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"];
    let options = ["-o", "DPkg::Lock::Timeout=300"];
    if rustix::process::geteuid().is_root() {
        return Some(
            Spawn::new("apt-get", "env")
                .args(settings)
                .arg(apt)
                .args(options),
        );
    }
    let sudo = find("sudo")?;
    let allowed = Command::new(&sudo)
        .args(["-n", "true"])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let may = allowed.is_ok_and(|status| status.success());
    may.then(|| {
        Spawn::new("apt-get", sudo)
            .args(["-n", "env"])
            .args(settings)
            .arg(apt)
            .args(options)
    })
}

/// Asks the compiler, which knows its own places.
fn has_header(tool: &Tool) -> bool {
    let compiler = find("cc").or_else(|| find("c++"));
    compiler.is_some_and(|compiler| {
        let mut command = Command::new(compiler);
        command.args(["-E", "-x", "c", "-include", tool.name, "/dev/null"]);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// Debian splits what makes a virtual environment off Python.
fn has_venv(python: &Tool) -> bool {
    let asked = Command::new(python.name)
        .args(["-c", "import ensurepip, venv"])
        .stderr(Stdio::null())
        .status();
    asked.is_ok_and(|status| status.success())
}

/// A program's major version, from an output like `v20.1.0` or `tool 20.1.0`.
fn major_version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split('.').next()?.parse().ok()
}
