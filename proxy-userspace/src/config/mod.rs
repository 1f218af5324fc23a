//! Room `config`: the daemon's settings, from one TOML file, strict.
//!
//! Every key has a default, so an empty file is a valid one. A key that is not known or a value
//! that makes no sense is an error with line and column; nothing is checked a second time later.
//!
//! `keys.rs` is the one table of keys: reading, the commented sample and the question what may
//! change on a reload all come from it. `rule/` has the same for the entries of `[[rule]]`, which
//! a reload may always change.

mod document;
mod error;
mod format;
mod keys;
mod link_pattern;
mod nearest;
mod output;
mod rule;
mod settings;

use std::{fmt, fs, path::Path};

pub use error::ConfigError;
pub use link_pattern::{is_link_pattern, matches_link};
pub use rule::{
    Action, Conditions, Day, Days, FieldEdits, HostPattern, MAX_PAGE, PathPattern, Pattern, Period,
    Rule, Source, Template, Variable, normal_host, normal_path,
};
pub use settings::{
    AccessTarget, Bypass, Config, Control, Damaged, Dscp, Families, Forwarded, Host, HostCheck,
    Http, Intercept, Learn, Limits, Log, LogFormat, LogQuery, MAX_PORTS, Metrics, Missing, Mode,
    OnFailure, OnOverload, Security, Spoof, SpoofSource, Ttl, Unknown, Valve, Workers,
};

use document::{Document, Fault};
use keys::KEYS;

/// Where `weir run` looks for its configuration unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/weir/weir.toml";

/// A key whose value is another one in another configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `section.key`
    pub path: &'static str,
    /// The value in force, as in the file.
    pub old: String,
    /// The other.
    pub new: String,
    /// Whether a reload can change it.
    pub live: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, old, new, .. } = self;
        write!(f, "{path} ({old} is in force, {new} in the file)")
    }
}

impl Config {
    /// Reads and parses the file at `path`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Read`] if the file cannot be read ([`ConfigError::is_not_found`] tells
    /// whether it is missing), and those of [`Config::parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses `text`; `name` is what errors call it, usually the file's path. Files that it names
    /// as pages are read as well.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with the first mistake in the order of the text.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let located = |fault: Fault| error::locate(text, name, fault);
        let document = Document::parse(text).map_err(located)?;
        let mut config = Self::default();
        let mut faults = document.unknown_keys();
        for key in &KEYS {
            if let Some(value) = document.value(key.path)
                && let Err(fault) = (key.set)(&mut config, value)
            {
                faults.push(fault);
            }
        }
        faults.extend(config.contradictions(&document));
        match rule::read(&document, &config.host) {
            Ok(rules) => config.rules = rules,
            Err(wrong) => faults.extend(wrong),
        }
        if let Some(message) = config.output_mark_is_taken() {
            let value = document.value("intercept.output");
            let at = value.map(|value| value.span()).unwrap_or_default();
            faults.push(Fault::new(at, message));
        }
        match faults.into_iter().min_by_key(|fault| fault.at.start) {
            Some(first) => Err(located(first)),
            None => Ok(config),
        }
    }

    /// Replaces the interfaces by those of the command line; an empty list leaves the file's.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Flag`] for a name that cannot be an interface's, or for one that is given
    /// twice.
    pub fn with_interfaces(mut self, lan: &[String], wan: &[String]) -> Result<Self, ConfigError> {
        for (flag, names, list) in [
            ("--lan", lan, &mut self.intercept.lan),
            ("--wan", wan, &mut self.intercept.wan),
        ] {
            if !names.is_empty() {
                *list = format::interfaces::check(names.iter().map(String::as_str))
                    .map_err(|(_, message)| ConfigError::Flag { flag, message })?;
            }
        }
        Ok(self)
    }

    /// A commented file with every key at its default, made from the table of keys.
    #[must_use]
    pub fn sample() -> String {
        keys::sample(&Self::default())
    }

    /// The keys that differ between this configuration and `new` and cannot change while the
    /// daemon runs. Empty if a reload can apply `new` completely.
    #[must_use]
    pub fn unchangeable_differences(&self, new: &Self) -> Vec<Difference> {
        let fixed = self.differences(new).filter(|it| !it.live);
        fixed.collect()
    }

    /// The keys that differ between this configuration and `new`.
    pub fn differences(&self, new: &Self) -> impl Iterator<Item = Difference> {
        KEYS.iter().filter_map(|key| {
            let (old, new) = ((key.show)(self), (key.show)(new));
            (old != new).then_some(Difference {
                path: key.path,
                old,
                new,
                live: key.live,
            })
        })
    }

    /// Every key, as `section.key`, with its value as in the file.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, String)> {
        KEYS.iter().map(|key| (key.path, (key.show)(self)))
    }

    /// What no key can see on its own.
    fn contradictions(&self, document: &Document<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.host.steer_mark == self.host.socket_mark {
            let value = document
                .value("host.socket_mark")
                .or_else(|| document.value("host.steer_mark"));
            faults.push(Fault::new(
                value.map(|value| value.span()).unwrap_or_default(),
                format!(
                    "host.steer_mark and host.socket_mark are both {:#x}; \
                     give each a bit of its own",
                    self.host.steer_mark
                ),
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests;
