//! Interfaces that go and come back as they were.

use std::time::Duration;

use proxy_userspace::lab::Namespace;

use crate::wait::until;

/// How long the kernel may take to take an address into use, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// An interface of a namespace.
#[derive(Clone, Copy, Debug)]
pub struct At<'a>(pub &'a Namespace, pub &'static str);

/// An interface's addresses and the routes through it.
#[derive(Clone, Debug)]
pub struct Addressed(Vec<Vec<String>>);

impl Addressed {
    /// As they are.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    #[must_use]
    pub fn of(At(namespace, name): At<'_>) -> Self {
        let mut commands = Vec::new();
        for family in ["-4", "-6"] {
            let show = [
                family, "-o", "address", "show", "dev", name, "scope", "global",
            ];
            for line in namespace.ip(&show).unwrap().lines() {
                let words: Vec<_> = line.split_whitespace().collect();
                let further = words.contains(&"deprecated");
                let lifetime = if further { " preferred_lft 0" } else { "" };
                commands.push(format!(
                    "{family} address add {} dev {name}{lifetime}",
                    words[3]
                ));
            }
        }
        for family in ["-4", "-6"] {
            let routes = namespace
                .ip(&[family, "route", "show", "dev", name])
                .unwrap();
            for route in routes.lines().filter(|line| !line.contains("proto kernel")) {
                commands.push(format!(
                    "{family} route replace {} dev {name}",
                    route.trim()
                ));
            }
        }
        let words = |command: &String| command.split_whitespace().map(str::to_owned).collect();
        Self(commands.iter().map(words).collect())
    }

    /// Brings the interface up with them; what it has kept of them stays.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    pub fn apply(&self, At(namespace, name): At<'_>) {
        namespace.ip(&["link", "set", name, "up"]).unwrap();
        for command in &self.0 {
            let words: Vec<_> = command.iter().map(String::as_str).collect();
            if let Err(error) = namespace.ip(&words) {
                let error = error.to_string();
                let there = error.contains("exists") || error.contains("already assigned");
                assert!(there, "{error}");
            }
        }
        // An IPv6 address is in use once a work queue has got to it.
        until(SOON, "addresses in use", || {
            let lines = |words: &[&str]| namespace.ip(words).unwrap().lines().count();
            let routes = ["-6", "route", "show", "table", "local", "dev", name];
            let addresses = ["-6", "-o", "address", "show", "dev", name];
            lines(&[&addresses[..], &["tentative"]].concat()) == 0
                && lines(&[&routes[..], &["type", "local"]].concat()) == lines(&addresses)
        });
    }
}

/// Deletes a pair of veth interfaces, and makes it again.
///
/// # Panics
///
/// When the kernel refuses.
pub fn redial(pair: [At<'_>; 2]) {
    let addressed = pair.map(Addressed::of);
    let At(namespace, name) = pair[0];
    namespace.ip(&["link", "delete", name]).unwrap();
    veth(pair);
    for (at, addressed) in pair.into_iter().zip(&addressed) {
        addressed.apply(at);
    }
}

/// Makes a pair of veth interfaces.
///
/// # Panics
///
/// When the kernel refuses.
pub fn veth([At(first, name), At(second, other)]: [At<'_>; 2]) {
    let (one, two) = (first.name(), second.name());
    let both = format!("link add {name} netns {one} type veth peer name {other} netns {two}");
    first.ip(&both.split(' ').collect::<Vec<_>>()).unwrap();
}
