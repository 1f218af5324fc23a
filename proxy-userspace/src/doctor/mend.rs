//! What `weir doctor --fix` does about a finding, and how that is undone.

use std::{collections::BTreeMap, fs, io};

use serde::{Deserialize, Serialize};

use crate::netconf::{firewall::exception::Exception, sysctl};

/// A change of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Step {
    /// A rule in front of somebody else's chain.
    Accept(Exception),
    /// A kernel parameter.
    Sysctl {
        /// `net/ipv4/ip_forward`, say.
        name: String,
        /// From now on.
        value: String,
    },
    /// The daemon puts back what is its own, and missing. It goes with the daemon, so there is
    /// nothing to undo.
    Daemon {
        /// The command that does the same.
        command: String,
    },
}

/// Kernel parameters as they were.
pub type Before = BTreeMap<String, String>;

impl Step {
    /// The command that does the same.
    #[must_use]
    pub fn command(&self) -> String {
        match self {
            Self::Accept(exception) => exception.to_string(),
            Self::Sysctl { name, value } => setting(name, value),
            Self::Daemon { command } => command.clone(),
        }
    }

    /// What has to be known for it to be undone.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn before(&self) -> io::Result<Before> {
        match self {
            Self::Accept(_) | Self::Daemon { .. } => Ok(Before::new()),
            Self::Sysctl { name, .. } => {
                let mut before = Before::from([(name.clone(), sysctl::read(name)?)]);
                for name in followers(name) {
                    let value = sysctl::read(&name);
                    before.extend(value.map(|value| (name, value)));
                }
                Ok(before)
            }
        }
    }

    /// Does it. The daemon's part is the caller's.
    ///
    /// # Errors
    ///
    /// If the host refuses.
    pub fn apply(&self) -> io::Result<()> {
        match self {
            Self::Accept(exception) => exception.insert(),
            Self::Sysctl { name, value } => sysctl::write(name, value),
            Self::Daemon { .. } => Ok(()),
        }
    }

    /// The commands that undo it. None if somebody else has changed it since, or it is gone.
    ///
    /// # Errors
    ///
    /// If the host cannot be looked at.
    pub fn undoing(&self, before: &Before) -> io::Result<Vec<String>> {
        match self {
            Self::Accept(exception) => Ok(exception.removal()?.into_iter().collect()),
            Self::Sysctl { name, value } if is(name, value) => {
                let Some(main) = before.get(name) else {
                    return Ok(Vec::new());
                };
                let mut commands = vec![setting(name, main)];
                // Those that will not have followed it back by themselves.
                let others = before.iter().filter(|(it, _)| *it != name);
                let others = others.filter(|(it, was)| **was != following(it, main));
                commands.extend(others.map(|(name, was)| setting(name, was)));
                Ok(commands)
            }
            Self::Sysctl { .. } | Self::Daemon { .. } => Ok(Vec::new()),
        }
    }

    /// Undoes it, unless somebody else has changed it since. What is gone is fine.
    ///
    /// # Errors
    ///
    /// If the host refuses.
    pub fn undo(&self, before: &Before) -> io::Result<()> {
        match self {
            Self::Accept(exception) => exception.remove(),
            Self::Sysctl { name, value } if is(name, value) => {
                if let Some(was) = before.get(name) {
                    sysctl::write(name, was)?;
                }
                // Those that followed it, as far as they are not back by themselves.
                for (name, was) in before.iter().filter(|(it, was)| !is(it, was)) {
                    match sysctl::write(name, was) {
                        // Its interface is gone.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        written => written?,
                    }
                }
                Ok(())
            }
            Self::Sysctl { .. } | Self::Daemon { .. } => Ok(()),
        }
    }
}

fn is(name: &str, value: &str) -> bool {
    sysctl::read(name).is_ok_and(|now| now == value)
}

fn setting(name: &str, value: &str) -> String {
    format!("sysctl -w {}={value}", name.replace('/', "."))
}

/// Parameters that the kernel sets along with one: `inet_forward_change`, `addrconf_fixup_forwarding`.
fn followers(name: &str) -> Vec<String> {
    let (family, one) = match name {
        "net/ipv4/ip_forward" => ("ipv4", Some(REDIRECTS)),
        "net/ipv6/conf/all/forwarding" => ("ipv6", None),
        _ => return Vec::new(),
    };
    let entries = fs::read_dir(format!("/proc/sys/net/{family}/conf"));
    let interfaces = entries.into_iter().flatten().flatten();
    let interfaces = interfaces.filter_map(|entry| entry.file_name().into_string().ok());
    interfaces
        .map(|interface| format!("net/{family}/conf/{interface}/forwarding"))
        .chain(one.map(str::to_owned))
        .filter(|it| it != name)
        .collect()
}

/// A router heeds no redirects.
const REDIRECTS: &str = "net/ipv4/conf/all/accept_redirects";

/// What the kernel sets a follower to when `main` is set.
fn following<'a>(name: &str, main: &'a str) -> &'a str {
    match (name, main) {
        (REDIRECTS, "0") => "1",
        (REDIRECTS, _) => "0",
        _ => main,
    }
}
