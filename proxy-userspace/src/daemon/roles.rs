//! Which links the configuration means, and what for.

use proxy_ebpf::{
    framing::Framing,
    settings::{ROLE_LAN, ROLE_WAN},
};

use crate::{
    config::{Intercept, is_link_pattern, matches_link},
    netconf::links::Link,
};

/// `ARPHRD_LOOPBACK`, in the kernel's word: what `*` stands for, and nobody means.
const LOOPBACK: &str = "loopback";

/// The names and patterns of `intercept.lan` and `intercept.wan`.
#[derive(Clone, Debug, Default)]
pub(super) struct Roles(Vec<Entry>);

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: String,
    /// [`ROLE_LAN`] or [`ROLE_WAN`].
    pub(super) role: u32,
    pub(super) is_pattern: bool,
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given<'a> {
    /// None of ours.
    Nothing,
    /// Ours by its name: the roles, as bits.
    Named(u32),
    /// Ours by a pattern.
    Matched(u32, &'a str),
    /// A LAN by one pattern, a WAN by another.
    Both { lan: &'a str, wan: &'a str },
}

/// A link that is ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) link: &'a Link,
    pub(super) framing: Framing,
    pub(super) role: u32,
    /// What brought it, if it is not named.
    pub(super) pattern: Option<&'a str>,
}

/// The links that are meant.
#[derive(Debug, Default)]
pub(super) struct Sorted<'a> {
    pub(super) wanted: Vec<Wanted<'a>>,
    /// What is wrong with those that are both LAN and WAN.
    pub(super) contradictory: Vec<String>,
    /// What is wrong with those that a pattern stands for, and that we cannot be on.
    pub(super) unsuitable: Vec<String>,
}

impl Roles {
    pub(super) fn new(intercept: &Intercept) -> Self {
        let of = |list: &[String], role| {
            let entry = |text: &String| Entry {
                text: text.clone(),
                role,
                is_pattern: is_link_pattern(text),
            };
            list.iter().map(entry).collect::<Vec<_>>()
        };
        let lan = of(&intercept.lan, ROLE_LAN);
        let wan = of(&intercept.wan, ROLE_WAN);
        Self([lan, wan].concat())
    }

    /// The names, LANs first.
    pub(super) fn names(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(|entry| !entry.is_pattern)
    }

    /// The patterns, LANs first.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(|entry| entry.is_pattern)
    }

    /// What the link called `name` is, or would be. A name has the word before any pattern.
    pub(super) fn of(&self, name: &str) -> Given<'_> {
        let named = self.names().filter(|entry| entry.text == name);
        let roles = named.fold(0, |roles, entry| roles | entry.role);
        if roles != 0 {
            return Given::Named(roles);
        }
        let matched = |role| {
            let mut patterns = self.patterns();
            let found = patterns.find(|it| it.role == role && matches_link(&it.text, name));
            found.map(|pattern| pattern.text.as_str())
        };
        match (matched(ROLE_LAN), matched(ROLE_WAN)) {
            (None, None) => Given::Nothing,
            (Some(lan), None) => Given::Matched(ROLE_LAN, lan),
            (None, Some(wan)) => Given::Matched(ROLE_WAN, wan),
            (Some(lan), Some(wan)) => Given::Both { lan, wan },
        }
    }

    /// What of `links` is meant.
    pub(super) fn sort<'a>(&'a self, links: &'a [Link]) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        for link in links {
            let (role, pattern) = match self.of(&link.name) {
                Given::Nothing => continue,
                Given::Matched(..) | Given::Both { .. } if link.kind == LOOPBACK => continue,
                Given::Named(role) => (role, None),
                Given::Matched(role, pattern) => (role, Some(pattern)),
                Given::Both { lan, wan } => {
                    sorted.contradictory.push(format!(
                        "interface {} is a LAN by \"{lan}\" and a WAN by \"{wan}\", so nothing is \
                         intercepted on it: name it in intercept.lan or in intercept.wan, which \
                         comes before patterns, or give it another name",
                        link.name
                    ));
                    continue;
                }
            };
            match (link.framing, pattern) {
                (Some(framing), _) => sorted.wanted.push(Wanted {
                    link,
                    framing,
                    role,
                    pattern,
                }),
                (None, Some(pattern)) => sorted.unsuitable.push(format!(
                    "interface {}, which \"{pattern}\" stands for, is of link type {}, so nothing \
                     is intercepted on it: weir knows Ethernet and links without a header",
                    link.name, link.kind
                )),
                // Whoever named it is told by whoever finds it missing.
                (None, None) => {}
            }
        }
        sorted
    }
}

/// For people and `weir status`.
pub(super) const fn role_name(role: u32) -> &'static str {
    if role & ROLE_LAN != 0 { "lan" } else { "wan" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(lan: &[&str], wan: &[&str]) -> Roles {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Roles::new(&Intercept {
            lan: list(lan),
            wan: list(wan),
            ..Intercept::default()
        })
    }

    fn link(name: &str, kind: &str, framing: Option<Framing>) -> Link {
        Link {
            name: name.to_owned(),
            index: 7,
            framing,
            kind: kind.to_owned(),
            vrf: None,
        }
    }

    #[test]
    fn a_name_comes_before_patterns() {
        let roles = roles(&["ppp*", "wan7"], &["ppp9", "wan*"]);
        assert_eq!(roles.of("ppp0"), Given::Matched(ROLE_LAN, "ppp*"));
        assert_eq!(roles.of("ppp9"), Given::Named(ROLE_WAN));
        assert_eq!(roles.of("wan7"), Given::Named(ROLE_LAN));
        assert_eq!(roles.of("wan0"), Given::Matched(ROLE_WAN, "wan*"));
        assert_eq!(roles.of("eth0"), Given::Nothing);
    }

    #[test]
    fn patterns_of_both_sides_contradict_each_other() {
        let roles = roles(&["ppp*"], &["*1"]);
        let (lan, wan) = ("ppp*", "*1");
        assert_eq!(roles.of("ppp1"), Given::Both { lan, wan });
        let links = [
            link("ppp1", "ppp", Some(Framing::None)),
            link("ppp2", "ppp", Some(Framing::None)),
        ];
        let sorted = roles.sort(&links);
        assert_eq!(sorted.wanted.len(), 1);
        assert_eq!(sorted.wanted[0].link.name, "ppp2");
        let said = &sorted.contradictory[0];
        assert!(said.contains("ppp1 is a LAN by \"ppp*\" and a WAN by \"*1\""));
    }

    #[test]
    fn loopback_is_meant_by_nobody_and_strange_links_are_told() {
        let roles = roles(&["*"], &["eth0", "eth1"]);
        let links = [
            link("lo", "loopback", None),
            link("eth0", "ether", Some(Framing::Ethernet)),
            link("eth1", "hdlc", None),
            link("ib0", "infiniband", None),
            link("tun0", "none", Some(Framing::None)),
        ];
        let sorted = roles.sort(&links);
        let wanted: Vec<_> = sorted
            .wanted
            .iter()
            .map(|it| (it.link.name.as_str(), role_name(it.role), it.pattern))
            .collect();
        assert_eq!(wanted, [("eth0", "wan", None), ("tun0", "lan", Some("*"))]);
        assert_eq!(sorted.unsuitable.len(), 1);
        assert!(sorted.unsuitable[0].contains("ib0") && sorted.contradictory.is_empty());
    }
}
