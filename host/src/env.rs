//! Configuration from environment variables.
//!
//! In: tables of variables and an environment. Out: parsed values, or every
//! error at once, by variable name. Values of secret variables are in no message.
//! Variables that no table names are left alone: they may be someone else's.

#![expect(clippy::disallowed_methods, reason = "this is the one place")]

mod help;
mod parse;
mod secret;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

pub use help::help_text;
pub use parse::{
    bytes, certificates, count, count_in, duration, flag, http_url, private_key, socket_addr, text,
};
pub use secret::{Secret, secret};

/// Where variables come from.
pub trait Env {
    /// The variable's value, if it is set.
    fn get(&self, name: &str) -> Option<String>;

    /// The names of all variables that begin with `prefix`, in order.
    fn names(&self, prefix: &str) -> Vec<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        let all = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        sorted(all.filter(|name| name.starts_with(prefix)))
    }
}

impl Env for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        HashMap::get(self, name).cloned()
    }

    fn names(&self, prefix: &str) -> Vec<String> {
        sorted(self.keys().filter(|name| name.starts_with(prefix)).cloned())
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// One variable: what it is called, what it means, and what holds without it.
#[derive(Debug, Clone, Copy)]
pub struct Var {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) default: Option<&'static str>,
    pub(crate) required: bool,
    pub(crate) secret: bool,
}

impl Var {
    /// A variable without which the service does not start.
    pub const fn required(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            default: None,
            required: true,
            secret: false,
        }
    }

    /// A variable that may be left out.
    pub const fn optional(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            default: None,
            required: false,
            secret: false,
        }
    }

    /// A variable with a value of its own.
    pub const fn with_default(
        name: &'static str,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            help,
            default: Some(default),
            required: false,
            secret: false,
        }
    }

    /// The value is shown nowhere, not even in the message that it is wrong.
    pub const fn secret(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }
}

/// Reads variables and collects what is wrong with them.
///
/// ```
/// use host::env::{Reader, Var, duration, socket_addr};
/// const VARS: &[Var] = &[
///     Var::with_default("HTTP_ADDR", "0.0.0.0:8000", "where to listen"),
///     Var::with_default("DRAIN_TIMEOUT", "30s", "how long a shutdown may take"),
/// ];
/// let env = std::collections::HashMap::from([("HTTP_ADDR".to_owned(), "nowhere".to_owned())]);
/// let mut reader = Reader::new(&[VARS], &env);
/// let addr = reader.get("HTTP_ADDR", socket_addr);
/// let drain = reader.get("DRAIN_TIMEOUT", duration);
/// let errors = reader.finish(|| Some((addr?, drain?))).unwrap_err();
/// assert!(errors.to_string().contains("HTTP_ADDR: \"nowhere\" is not"));
/// ```
pub struct Reader<'e> {
    vars: Vec<Var>,
    env: &'e dyn Env,
    read: BTreeSet<&'static str>,
    errors: Vec<ConfigError>,
}

impl<'e> Reader<'e> {
    /// A reader of the variables in these tables.
    ///
    /// # Panics
    /// If two tables name the same variable: the help would contradict itself.
    pub fn new(tables: &[&[Var]], env: &'e dyn Env) -> Self {
        let vars: Vec<Var> = tables
            .iter()
            .flat_map(|table| table.iter().copied())
            .collect();
        let names: BTreeSet<_> = vars.iter().map(|var| var.name).collect();
        assert!(
            names.len() == vars.len(),
            "a variable is in the tables twice: {names:?}"
        );
        Self {
            vars,
            env,
            read: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    /// The variable's value or default. `None` says that an error was noted.
    ///
    /// # Panics
    /// If no table names the variable, or it is optional: then use [`Reader::optional`].
    pub fn get<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let var = self.var(name);
        assert!(var.required || var.default.is_some(), "{name} is optional");
        self.optional(name, parse)?
    }

    /// The variable's value, `Some(None)` if it is not set. `None` says that an
    /// error was noted. A value that is empty or blank counts as not set, because that is how
    /// manifests and compose files write "nothing".
    ///
    /// # Panics
    /// If no table names the variable.
    pub fn optional<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        let var = self.var(name);
        self.read.insert(var.name);
        let set = self.env.get(name).filter(|value| is_something(value));
        let Some(value) = set.or_else(|| var.default.map(str::to_owned)) else {
            if var.required {
                self.fail(name, "is required and not set");
                return None;
            }
            return Some(None);
        };
        let parsed = if value.contains(char::REPLACEMENT_CHARACTER) {
            Err("is not valid UTF-8".to_owned())
        } else {
            parse(value.trim()).map_err(|error| error.to_string())
        };
        match parsed {
            Ok(parsed) => Some(Some(parsed)),
            Err(reason) if var.secret => {
                self.fail(name, format!("(value hidden) {reason}"));
                None
            }
            Err(reason) => {
                let shown: String = value.chars().take(100).collect();
                self.fail(name, format!("{shown:?} {reason}"));
                None
            }
        }
    }

    /// The variables with this prefix that are set, whether in a table or not; empty ones are not, here either.
    pub fn prefixed(&self, prefix: &str) -> Vec<(String, String)> {
        let names = self.env.names(prefix).into_iter();
        names
            .filter_map(|name| self.env.get(&name).map(|value| (name, value)))
            .filter(|(_, value)| is_something(value))
            .collect()
    }

    /// Notes an error that shows only when variables are seen together.
    pub fn fail(&mut self, name: &str, reason: impl Into<String>) {
        self.errors.push(ConfigError {
            name: name.to_owned(),
            reason: reason.into(),
        });
    }

    /// All errors, or what `build` makes of the values that were read.
    ///
    /// # Panics
    /// If `build` gives `None` though every value was good; and, in debug builds,
    /// if a table names a variable that nobody read: the help would promise what
    /// has no effect.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, ConfigErrors> {
        let forgotten: Vec<_> = self
            .vars
            .iter()
            .map(|var| var.name)
            .filter(|name| !self.read.contains(name))
            .collect();
        debug_assert!(
            forgotten.is_empty(),
            "in a table but never read: {forgotten:?}"
        );
        if self.errors.is_empty() {
            Ok(build().expect("every value that was read without an error is there"))
        } else {
            Err(ConfigErrors(self.errors))
        }
    }

    fn var(&self, name: &str) -> Var {
        let found = self.vars.iter().find(|var| var.name == name);
        *found.unwrap_or_else(|| panic!("{name} is in no table of variables"))
    }
}

fn is_something(value: &str) -> bool {
    !value.trim().is_empty()
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("read", &self.read)
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

/// What is wrong with one variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable.
    pub name: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

/// Everything that is wrong with the configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "error" } else { "errors" };
        write!(
            f,
            "{} {noun} in the configuration (see --help):",
            self.0.len()
        )?;
        self.0
            .iter()
            .try_for_each(|error| write!(f, "\n  {}: {}", error.name, error.reason))
    }
}

impl std::error::Error for ConfigErrors {}
