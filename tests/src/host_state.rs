//! A picture of everything on a host that Weir may touch, to compare before and after.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use aya::programs::tc::{SchedClassifier, TcAttachType};
use proxy_userspace::lab::Namespace;

/// What there is, by subject; a subject's lines are sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState(BTreeMap<String, BTreeSet<String>>);

impl HostState {
    /// Rules, routes, links, qdiscs and filters, TCX programs, TCP sockets and sysctls of the
    /// namespace, and what is below `/run/weir` and the host's bpffs under the instance's name.
    ///
    /// # Panics
    ///
    /// When any of it cannot be read.
    #[must_use]
    pub fn of(namespace: &Namespace, instance: &str) -> Self {
        let mut state = BTreeMap::new();
        for family in ["-4", "-6"] {
            state.insert(format!("rules {family}"), ip(namespace, &[family, "rule"]));
            let routes = ip(namespace, &[family, "route", "show", "table", "all"]);
            state.insert(format!("routes {family}"), routes);
        }
        let links = ip(namespace, &["-d", "-o", "link"]);
        // A bridge's line ends with its timers, and a port's with its counters.
        let lasting = |line: &String| line.split("  bridge").next().unwrap_or(line).to_owned();
        let links = links.iter().map(lasting).collect();
        state.insert("links".to_owned(), links);
        state.insert("addresses".to_owned(), ip(namespace, &["-o", "address"]));
        state.insert(
            "qdiscs".to_owned(),
            command(namespace, "tc", &["qdisc", "show"]),
        );
        state.insert("sockets".to_owned(), command(namespace, "ss", &["-tanH"]));
        for interface in interfaces(namespace) {
            for hook in ["ingress", "egress"] {
                let filters = command(
                    namespace,
                    "tc",
                    &["filter", "show", "dev", &interface, hook],
                );
                state.insert(format!("filters {interface} {hook}"), filters);
            }
            state.insert(
                format!("programs {interface}"),
                programs(namespace, &interface),
            );
        }
        let sysctls = namespace
            .run(sysctls)
            .unwrap_or_else(|error| panic!("{error}"));
        state.insert("sysctls".to_owned(), sysctls);
        state.insert("files".to_owned(), files(instance));
        Self(state)
    }

    /// The same without these subjects, and without link-local addresses: where links have been
    /// made again.
    #[must_use]
    pub fn without(mut self, subjects: &[&str]) -> Self {
        self.0
            .retain(|subject, _| !subjects.contains(&subject.as_str()));
        for lines in self.0.values_mut() {
            lines.retain(|line| !line.contains("fe80:"));
        }
        self
    }

    /// The lines under a subject.
    #[must_use]
    pub fn lines(&self, subject: &str) -> Vec<&str> {
        self.0
            .get(subject)
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect()
    }

    /// The lines that only one of the two has: `-` before, `+` after.
    #[must_use]
    pub fn difference(&self, after: &Self) -> Vec<String> {
        let none = BTreeSet::new();
        let subjects: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        let mut lines = Vec::new();
        for subject in subjects {
            let before = self.0.get(subject).unwrap_or(&none);
            let after = after.0.get(subject).unwrap_or(&none);
            lines.extend(
                before
                    .difference(after)
                    .map(|line| format!("- {subject}: {line}")),
            );
            lines.extend(
                after
                    .difference(before)
                    .map(|line| format!("+ {subject}: {line}")),
            );
        }
        lines
    }

    /// # Panics
    ///
    /// With the difference, if there is one.
    #[track_caller]
    pub fn assert_same(&self, after: &Self, when: &str) {
        let difference = self.difference(after);
        assert!(
            difference.is_empty(),
            "{when}, the host differs:\n{}",
            difference.join("\n")
        );
    }
}

fn interfaces(namespace: &Namespace) -> Vec<String> {
    let links = ip(namespace, &["-o", "link"]);
    let name = |line: &String| {
        let name = line.split(": ").nth(1)?;
        Some(name.split('@').next().unwrap_or(name).to_owned())
    };
    links.iter().filter_map(name).collect()
}

fn programs(namespace: &Namespace, interface: &str) -> BTreeSet<String> {
    let query = |hook| {
        let (_, programs) = SchedClassifier::query_tcx(interface, hook)
            .unwrap_or_else(|error| panic!("querying TCX programs of {interface}: {error}"));
        programs
            .iter()
            .map(|program| {
                format!(
                    "{hook:?} {} {}",
                    program.id(),
                    program.name_as_str().unwrap_or("?")
                )
            })
            .collect::<Vec<_>>()
    };
    let both = || {
        [TcAttachType::Ingress, TcAttachType::Egress]
            .into_iter()
            .flat_map(query)
            .collect()
    };
    namespace
        .run(both)
        .unwrap_or_else(|error| panic!("{error}"))
}

fn sysctls() -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    let mut directories = vec![Path::new("/proc/sys/net").to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if let Ok(value) = fs::read_to_string(&path)
                // The one that counts instead of deciding.
                && !path.ends_with("nf_conntrack_count")
            {
                values.insert(format!("{} = {}", path.display(), value.trim_end()));
            }
        }
    }
    values
}

fn files(instance: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut directories = vec![Path::new("/run/weir").to_owned(), "/sys/fs/bpf".into()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.to_string_lossy().contains(instance) {
                found.insert(path.display().to_string());
            }
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
    found
}

fn ip(namespace: &Namespace, arguments: &[&str]) -> BTreeSet<String> {
    let text = namespace
        .ip(arguments)
        .unwrap_or_else(|error| panic!("{error}"));
    text.lines().map(str::to_owned).collect()
}

fn command(namespace: &Namespace, program: &str, arguments: &[&str]) -> BTreeSet<String> {
    let output = namespace.command(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?} (package iproute2): {errors}"
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}
