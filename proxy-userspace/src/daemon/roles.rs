//! Which links the configuration means, and what for.

use proxy_ebpf::settings::{ROLE_BRIDGE, ROLE_LAN, ROLE_WAN};

use crate::{
    config::{Intercept, is_link_pattern, matches_link},
    netconf::links::Link,
};

/// Clients and origins by one interface: a one-armed router.
pub(super) const ONE_ARMED: u32 = ROLE_LAN | ROLE_WAN;

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

    /// Whether clients may come from a link of that name.
    pub(super) fn is_lan(&self, name: &str) -> bool {
        match self.of(name) {
            Given::Named(role) | Given::Matched(role, _) => role & ROLE_LAN != 0,
            Given::Nothing | Given::Both { .. } => false,
        }
    }

    /// The names and patterns of LANs.
    pub(super) fn lans(&self) -> impl Iterator<Item = &str> {
        let lans = self.0.iter().filter(|entry| entry.role == ROLE_LAN);
        lans.map(|entry| entry.text.as_str())
    }

    /// The links that are meant, with their roles.
    pub(super) fn sort<'a>(
        &'a self,
        links: &'a [Link],
    ) -> impl Iterator<Item = (&'a Link, Given<'a>)> {
        let given = links.iter().map(|link| (link, self.of(&link.name)));
        given.filter(|(link, given)| match given {
            Given::Nothing => false,
            Given::Named(_) => true,
            Given::Matched(..) | Given::Both { .. } => link.kind != LOOPBACK,
        })
    }

    /// What is wrong with links that are both LAN and WAN.
    pub(super) fn contradictions(&self, links: &[Link]) -> Vec<String> {
        let sorted = self.sort(links);
        let both = sorted.filter_map(|(link, given)| match given {
            Given::Both { lan, wan } => Some((&link.name, lan, wan)),
            _ => None,
        });
        both.map(|(name, lan, wan)| {
            format!(
                "interface {name} is a LAN by \"{lan}\" and a WAN by \"{wan}\", so nothing is \
                 intercepted on it: name it in intercept.lan or in intercept.wan, which comes before \
                 patterns, or give it another name"
            )
        })
        .collect()
    }
}

/// For people and `weir status`.
pub(super) const fn role_name(role: u32) -> &'static str {
    match role {
        ONE_ARMED => "lan+wan",
        ROLE_LAN => "lan",
        ROLE_BRIDGE => "bridge",
        _ => "wan",
    }
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

    fn link(name: &str, kind: &str) -> Link {
        Link {
            name: name.to_owned(),
            index: 7,
            framing: None,
            kind: kind.to_owned(),
            vrf: None,
            bridge: None,
            mac: [0; 6],
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
        assert!(roles.is_lan("ppp0") && roles.is_lan("wan7"));
        assert!(!roles.is_lan("ppp9") && !roles.is_lan("eth0"));
    }

    #[test]
    fn patterns_of_both_sides_contradict_each_other() {
        let roles = roles(&["ppp*"], &["*1"]);
        let (lan, wan) = ("ppp*", "*1");
        assert_eq!(roles.of("ppp1"), Given::Both { lan, wan });
        assert!(!roles.is_lan("ppp1"));
        let links = [link("ppp1", "ppp"), link("ppp2", "ppp")];
        let [said] = &roles.contradictions(&links)[..] else {
            panic!("one");
        };
        assert!(said.contains("ppp1 is a LAN by \"ppp*\" and a WAN by \"*1\""));
    }

    #[test]
    fn loopback_is_meant_by_nobody() {
        let roles = roles(&["*"], &["eth0", "l*"]);
        let links = [
            link("lo", "loopback"),
            link("eth0", "ether"),
            link("tun0", "none"),
        ];
        let sorted: Vec<_> = roles
            .sort(&links)
            .map(|(link, given)| (link.name.as_str(), given))
            .collect();
        assert_eq!(
            sorted,
            [
                ("eth0", Given::Named(ROLE_WAN)),
                ("tun0", Given::Matched(ROLE_LAN, "*"))
            ]
        );
        assert_eq!(roles.contradictions(&links), [""; 0]);
    }
}
