//! `weir doctor`: a daemon that runs, or one that would, and the host around it.

use std::fs;

use anyhow::Result;
use proxy_ebpf::settings::{ROLE_LAN, ROLE_WAN};
use serde_json::Value;

use super::{
    enter,
    interfaces::Interfaces,
    keeper::Keeper,
    roles::{Given, Roles},
    settings,
    surroundings::{self, Warning},
    told,
};
use crate::{
    config::{Config, Families, Missing, SpoofSource},
    doctor::{self, Code, Facts, Finding, Host, Level, Subject, conflicts},
    fault::Fault,
    netconf::{
        self, Handle,
        delivery::Plan,
        firewall,
        links::{self, Link},
        netns,
    },
};

/// Whom it is about.
#[derive(Clone, Debug)]
pub enum Patient {
    /// A daemon that runs: what it says of itself ([`Request::Examine`]).
    ///
    /// [`Request::Examine`]: crate::control::Request::Examine
    Running(Value),
    /// One that would run with this configuration, in this network namespace.
    Planned(Box<Config>, Option<String>),
}

impl Patient {
    /// Enters its network namespace. The process must have one thread only.
    pub(super) fn enter(&self) -> Result<(), Fault> {
        match self {
            Self::Running(status) => enter_that_of(status),
            Self::Planned(_, netns) => enter(netns.as_deref()),
        }
    }
}

/// Looks, and changes nothing.
///
/// Must be called while the process has one thread only: it enters the network namespace.
///
/// # Errors
///
/// If the network namespace cannot be entered, or rtnetlink cannot be asked.
pub fn examine(patient: &Patient) -> Result<Vec<Finding>> {
    let host = Host::look();
    patient.enter()?;
    look(&host, patient)
}

/// The same in the network namespace that has been entered.
pub(super) fn look(host: &Host, patient: &Patient) -> Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let handle = netconf::connect()?;
        let subject = match patient {
            Patient::Running(status) => of_status(status),
            Patient::Planned(config, _) => {
                let Families { ipv4, ipv6 } = config.intercept.families;
                let mut families = Vec::new();
                families.extend(ipv4.then_some(4));
                families.extend((ipv6 && ipv6_is_on()).then_some(6));
                let links = links::list(&handle).await.unwrap_or_default();
                of_config(config, families, &links)
            }
        };
        let facts = Facts::gather(&subject, host, &handle).await;
        let mut findings = match patient {
            Patient::Running(status) => told::of_daemon(status),
            Patient::Planned(config, _) => {
                let mut findings = vec![Finding::new(
                    Code::Planned,
                    Level::Note,
                    "weir",
                    "a daemon that would run with this configuration; none was asked",
                )];
                findings.extend(of_surroundings(&handle, config, &subject.families).await);
                findings
            }
        };
        let examined = doctor::examine(&facts);
        // The daemon has found some of it already.
        let lines: Vec<_> = examined.iter().map(Finding::line).collect();
        findings.retain(|finding| !lines.contains(&finding.found));
        findings.extend(examined);
        Ok(findings)
    })
}

fn ipv6_is_on() -> bool {
    let disabled = fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6");
    disabled.is_ok_and(|value| value.trim() == "0")
}

/// Those that are named, there or not, and those that patterns stand for.
fn of_config(config: &Config, families: Vec<u8>, links: &[Link]) -> Subject {
    let roles = Roles::new(&config.intercept);
    let of_role = |role: u32| {
        let names = roles.names().filter(|entry| entry.role & role != 0);
        let mut names: Vec<_> = names.map(|entry| entry.text.clone()).collect();
        names.extend(roles.sort(links).filter_map(|(link, given)| match given {
            Given::Matched(of_pattern, _) if of_pattern & role != 0 => Some(link.name.clone()),
            _ => None,
        }));
        names
    };
    Subject {
        runs: false,
        lans: of_role(ROLE_LAN),
        wans: of_role(ROLE_WAN),
        waits: config.intercept.missing == Missing::Wait || roles.patterns().next().is_some(),
        ports: config.intercept.ports.clone(),
        own_ports: own_ports(config),
        families,
        plan: settings::plan(config),
    }
}

/// The ports that connections to origins are from, if they are of `spoof.ports`.
pub(super) fn own_ports(config: &Config) -> Option<(u16, u16)> {
    let ports = &config.spoof.ports;
    (config.spoof.source == SpoofSource::Client).then_some((*ports.start(), *ports.end()))
}

/// From outside, a daemon is in the namespace that it says.
fn enter_that_of(status: &Value) -> Result<(), Fault> {
    let Some(id) = status["netns"].as_u64() else {
        return Ok(());
    };
    if netns::current_id().is_ok_and(|current| current == id) {
        return Ok(());
    }
    match netns::enter_id(id) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::HostCannot(format!(
            "the daemon's network namespace ({id}) cannot be found from here: run it where the \
             daemon runs"
        ))),
        Err(error) => Err(Fault::NotPermitted(format!(
            "cannot enter the daemon's network namespace ({id}): {error}; run it as root"
        ))),
    }
}

fn of_status(status: &Value) -> Subject {
    let of_role = |role: &str| {
        let interfaces = status["interfaces"].as_array().into_iter().flatten();
        interfaces
            .filter(|interface| {
                let roles = interface["role"].as_str().unwrap_or_default();
                roles.split('+').any(|it| it == role)
            })
            .filter_map(|interface| interface["name"].as_str().map(str::to_owned))
            .collect()
    };
    let numbers = |key: &str| {
        let numbers = status[key].as_array().into_iter().flatten();
        numbers.filter_map(Value::as_u64)
    };
    let of_host = |key: &str| {
        let number = status["host"][key].as_u64();
        number.and_then(|number| u32::try_from(number).ok())
    };
    Subject {
        runs: true,
        lans: of_role("lan"),
        wans: of_role("wan"),
        waits: true,
        ports: numbers("ports")
            .filter_map(|port| u16::try_from(port).ok())
            .collect(),
        own_ports: serde_json::from_value(status["own_ports"].clone()).unwrap_or_default(),
        families: numbers("families")
            .filter_map(|family| u8::try_from(family).ok())
            .collect(),
        plan: Plan {
            table: of_host("table").unwrap_or_default(),
            priority: of_host("priority").unwrap_or_default(),
            steer_mark: of_host("steer_mark").unwrap_or_default(),
            socket_mark: of_host("socket_mark").unwrap_or_default(),
            output_mark: of_host("output_mark"),
        },
    }
}

/// What a start would refuse, or warn of.
async fn of_surroundings(handle: &Handle, config: &Config, families: &[u8]) -> Vec<Finding> {
    const CHECK: &str = "surroundings";
    let links = match links::list(handle).await {
        Ok(links) => links,
        Err(error) => return vec![Finding::unread(CHECK, "interfaces", &error.to_string())],
    };
    let interfaces = match Interfaces::new(config, &links) {
        Ok(interfaces) => interfaces,
        Err(fault) => {
            return vec![Finding::new(
                Code::Surroundings,
                Level::Error,
                "roles",
                fault.to_string(),
            )];
        }
    };
    let ours = interfaces.among(&links);
    let names: Vec<_> = ours.iter().map(|(link, _)| &link.name[..]).collect();
    match surroundings::warnings(handle, &ours, &links, families, config).await {
        Err(error) => vec![Finding::unread(
            CHECK,
            "surroundings",
            &format!("{error:#}"),
        )],
        Ok(warnings) => {
            let finding = |warning: Warning| {
                let level = match warning {
                    Warning::Broken(_) => Level::Error,
                    Warning::Different(_) => Level::Warning,
                };
                Finding::new(Code::Surroundings, level, names.join(", "), warning.text())
            };
            warnings.into_iter().map(finding).collect()
        }
    }
}

impl Keeper {
    /// Rules of nftables that interception does not go with. They are read again only if they have
    /// changed since.
    pub(super) fn firewall_conflicts(&mut self, links: &[Link]) -> Vec<Warning> {
        let known = self.firewall.as_ref().map(|(generation, _)| *generation);
        let now = firewall::generation();
        if now.as_ref().ok().copied() != known || known.is_none() {
            // The number first: what changes while it is read is read again next time.
            self.firewall = match now.and_then(|now| Ok((now, firewall::read()?))) {
                Ok(read) => Some(read),
                Err(error) => {
                    tracing::warn!(%error, "cannot read nftables' rules: not looked at");
                    None
                }
            };
        }
        let Some((_, ruleset)) = &self.firewall else {
            return Vec::new();
        };
        let subject = of_config(&self.options.config, self.families.clone(), links);
        let warning = |finding: Finding| match finding.level {
            Level::Error => Warning::Broken(finding.line()),
            _ => Warning::Different(finding.line()),
        };
        let found = conflicts(&subject, ruleset, links);
        found.into_iter().map(warning).collect()
    }
}
