//! What the machine must have. In: wishes; out: the places of programs, or an error that names
//! what is missing and the exact line that brings it. It must not run the package manager: that
//! is the command runner's job.

mod database;
mod kafka;
mod step;

pub(crate) use database::Engine;
pub use step::run as run_step;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::StackError;
use crate::progress::Progress;

/// A program that comes from the system's package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The program's name on the PATH.
    pub name: &'static str,
    /// What it is needed for, for messages.
    pub purpose: &'static str,
    /// The Debian packages that bring it (Java's depends on the release, see [`packages`]).
    pub packages: &'static [&'static str],
}

impl Tool {
    /// The Java runtime, 17 or newer.
    pub const JAVA: Tool = Tool {
        name: "java",
        purpose: "Java 17 or newer, runs Apache Kafka",
        packages: &[],
    };
    /// Fetches Kafka's jars.
    pub const MAVEN: Tool = Tool {
        name: "mvn",
        purpose: "fetches Apache Kafka",
        packages: &["maven"],
    };
    /// Builds the database.
    pub const CMAKE: Tool = Tool {
        name: "cmake",
        purpose: "builds the database",
        packages: &["cmake"],
    };
    /// Builds the database and librdkafka.
    pub const CXX: Tool = Tool {
        name: "c++",
        purpose: "builds native libraries",
        packages: &["g++"],
    };
    /// Builds the database and librdkafka.
    pub const MAKE: Tool = Tool {
        name: "make",
        purpose: "builds native libraries",
        packages: &["make"],
    };
    /// Ties children to their parent.
    pub const SETPRIV: Tool = Tool {
        name: "setpriv",
        purpose: "ends children with their parent",
        packages: &["util-linux"],
    };

    /// Where it is, if it is there (and new enough).
    pub fn path(&self) -> Option<PathBuf> {
        if *self == Self::JAVA {
            return java();
        }
        find(self.name)
    }

    /// Where it is, or the error that says how to get it.
    pub fn require(&self) -> Result<PathBuf, StackError> {
        self.path().ok_or_else(|| StackError::Missing(vec![*self]))
    }
}

/// The Debian packages that bring these tools, each once.
pub fn packages(tools: &[Tool]) -> Vec<&'static str> {
    let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let mut packages: Vec<&str> = tools
        .iter()
        .flat_map(|tool| tool.packages)
        .copied()
        .collect();
    if tools.contains(&Tool::JAVA) {
        packages.push(java_package(&os_release));
    }
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// The line to type as root to get these tools.
pub fn apt_line(tools: &[Tool]) -> String {
    format!(
        "apt-get install -y --no-install-recommends {}",
        packages(tools).join(" ")
    )
}

/// Addresses of parts that exist already and are not to be started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Instead of a broker of our own.
    pub bootstrap_servers: Option<String>,
    /// The given broker wants TLS or a user, so its topics cannot be made or asked for from here.
    pub secured: bool,
    /// Instead of a database of our own.
    pub mongodb_uri: Option<String>,
}

impl Given {
    /// `KAFKA_BOOTSTRAP_SERVERS` (with `KAFKA_SECURITY_PROTOCOL`) and `MONGODB_URI`, where set and
    /// not empty.
    pub fn from_environment() -> Self {
        let protocol = variable("KAFKA_SECURITY_PROTOCOL").unwrap_or_default();
        Self {
            bootstrap_servers: variable("KAFKA_BOOTSTRAP_SERVERS"),
            secured: !matches!(protocol.to_ascii_lowercase().as_str(), "" | "plaintext"),
            mongodb_uri: variable("MONGODB_URI"),
        }
    }
}

/// Where the installed parts are; `None` for what was given by address.
pub(crate) struct Installed {
    pub(crate) libs: Option<PathBuf>,
    pub(crate) engine: Option<Engine>,
}

/// Which programs are missing for a stack on this machine, all of them at once.
pub fn missing(given: &Given) -> Vec<Tool> {
    let mut needed = vec![Tool::SETPRIV];
    if given.bootstrap_servers.is_none() {
        needed.push(Tool::JAVA);
        if !kafka::is_installed() {
            needed.push(Tool::MAVEN);
        }
    }
    if given.mongodb_uri.is_none() && !database::is_installed() {
        needed.extend([Tool::CMAKE, Tool::CXX, Tool::MAKE]);
    }
    needed.retain(|tool| tool.path().is_none());
    needed
}

/// Brings the broker and the database into the cache without starting them.
pub fn prepare(given: &Given, progress: &Progress) -> Result<(), StackError> {
    ensure(given, progress).map(drop)
}

pub(crate) fn ensure(given: &Given, progress: &Progress) -> Result<Installed, StackError> {
    let missing = missing(given);
    if !missing.is_empty() {
        return Err(StackError::Missing(missing));
    }
    Ok(Installed {
        libs: if given.bootstrap_servers.is_some() {
            None
        } else {
            Some(kafka::ensure(progress)?)
        },
        engine: if given.mongodb_uri.is_some() {
            None
        } else {
            Some(database::ensure(progress)?)
        },
    })
}

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

/// A program by path, or by name on the PATH.
pub fn find(program: impl AsRef<Path>) -> Option<PathBuf> {
    let program = program.as_ref();
    if program.components().count() > 1 {
        return is_executable(program).then(|| program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The system directories as well: nginx lives in /usr/sbin, which a user's PATH often lacks.
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|dir| dir.join(program))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The first Java that is new enough: `JAVA_HOME`'s, else the PATH's. Asked until there is one.
fn java() -> Option<PathBuf> {
    static JAVA: OnceLock<PathBuf> = OnceLock::new();
    if let Some(java) = JAVA.get() {
        return Some(java.clone());
    }
    let home = variable("JAVA_HOME").and_then(|home| find(Path::new(&home).join("bin/java")));
    let java = [home, find("java")]
        .into_iter()
        .flatten()
        .find(|java| java_version(java) >= Some(17))?;
    Some(JAVA.get_or_init(|| java).clone())
}

/// The package that brings Java 17 or newer: releases from 2024 on have a newer default and no
/// longer the 17.
fn java_package(os_release: &str) -> &'static str {
    let field = |name: &str| {
        let line = os_release
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"'))
    };
    let release = field("VERSION_ID").and_then(|id| id.split('.').next()?.parse::<u32>().ok());
    let new = match (field("ID"), release) {
        (Some("debian"), Some(release)) => release >= 13,
        (Some("ubuntu"), Some(release)) => release >= 24,
        _ => false,
    };
    if new {
        "default-jre-headless"
    } else {
        "openjdk-17-jre-headless"
    }
}

fn java_version(java: &Path) -> Option<u32> {
    let output = std::process::Command::new(java)
        .arg("-version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    // The first line ends like: version "17.0.15" …
    let version = text.split('"').nth(1)?;
    version.split(['.', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Tool, apt_line, java_package};

    #[test]
    fn the_java_package_is_one_that_the_release_has() {
        assert_eq!(
            java_package("ID=debian\nVERSION_ID=\"12\"\n"),
            "openjdk-17-jre-headless"
        );
        assert_eq!(
            java_package("ID=debian\nVERSION_ID=\"13\"\n"),
            "default-jre-headless"
        );
        assert_eq!(
            java_package("ID=ubuntu\nVERSION_ID=\"22.04\"\n"),
            "openjdk-17-jre-headless"
        );
        assert_eq!(
            java_package("ID=ubuntu\nVERSION_ID=\"24.04\"\n"),
            "default-jre-headless"
        );
        assert_eq!(java_package(""), "openjdk-17-jre-headless");
    }

    #[test]
    fn the_line_to_type_names_each_package_once() {
        let line = apt_line(&[Tool::CXX, Tool::MAKE, Tool::CXX]);
        assert_eq!(line, "apt-get install -y --no-install-recommends g++ make");
    }
}
