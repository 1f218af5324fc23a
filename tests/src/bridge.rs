//! A box with a bridge in the cable between a client and its router.
//!
//! ```text
//! cli eth0 ── p1 [br0] p2 ── lan0 rtr wan0 ── eth0 org
//! ```

use std::time::Duration;

use proxy_userspace::lab::{Family, LAN, Namespace, Network};

use crate::{
    client::{Dial, dial},
    launch::Options,
    tun::{Addressed, At},
    wait::until,
};

const SOON: Duration = Duration::from_secs(20);

/// The box. Weir belongs into it.
#[derive(Debug)]
pub struct BridgeBox {
    /// Where `br0` and its ports `p1` and `p2` are.
    pub inside: Namespace,
    /// What puts the tags on, if there are any.
    _taggers: Option<Namespace>,
}

impl BridgeBox {
    /// In the cable between the network's client and router.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn between(net: &Network) -> Self {
        Self::cut(net, |inside| {
            let client = format!(
                "link add eth0 netns {} type veth peer name p1 netns {}",
                net.client.name(),
                inside.name()
            );
            let router = format!(
                "link add {LAN} netns {} type veth peer name p2 netns {}",
                net.router.name(),
                inside.name()
            );
            (vec![client, router], None)
        })
    }

    /// The same, with all frames in the box tagged with `vlan`: switches to both sides of it put
    /// the tag on, and take it off.
    ///
    /// ```text
    /// cli eth0 ── a [ta] b ── p1 [br0] p2 ── c [tb] d ── lan0 rtr
    /// ```
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn tagged(net: &Network, vlan: u16) -> Self {
        Self::cut(net, |inside| {
            let taggers = Namespace::further("tag").unwrap();
            let tag = taggers.name();
            let pair = |one: &str, its: &str, other: &str, others: &str| {
                format!("link add {one} netns {its} type veth peer name {other} netns {others}")
            };
            let pairs = vec![
                pair("eth0", net.client.name(), "a", tag),
                pair("b", tag, "p1", inside.name()),
                pair("c", tag, "p2", inside.name()),
                pair(LAN, net.router.name(), "d", tag),
            ];
            (pairs, Some((taggers, vlan)))
        })
    }

    fn cut(
        net: &Network,
        make: impl FnOnce(&Namespace) -> (Vec<String>, Option<(Namespace, u16)>),
    ) -> Self {
        let pair = [At(&net.client, "eth0"), At(&net.router, LAN)];
        let addressed = pair.map(Addressed::of);
        net.client.ip(&["link", "delete", "eth0"]).unwrap();
        let inside = Namespace::further("box").unwrap();
        let (links, taggers) = make(&inside);
        for link in links {
            ip(&net.client, &link);
        }
        if let Some((taggers, vlan)) = &taggers {
            for (name, access, trunk) in [("ta", "a", "b"), ("tb", "d", "c")] {
                bridge(
                    taggers,
                    name,
                    &[access, trunk],
                    "vlan_filtering 1 vlan_default_pvid 0",
                );
                let access = format!("vlan add dev {access} vid {vlan} pvid untagged");
                let trunk = format!("vlan add dev {trunk} vid {vlan}");
                for command in [access, trunk] {
                    let words: Vec<_> = command.split(' ').collect();
                    let status = taggers.command("bridge").args(words).status().unwrap();
                    assert!(status.success(), "bridge {command}");
                }
            }
        }
        ip(&inside, "link set lo up");
        bridge(&inside, "br0", &["p1", "p2"], "");
        // It has no part in what it passes on, not even as a neighbour.
        inside.sysctl("net.ipv4.ip_forward", "0").unwrap();
        for (at, addressed) in pair.into_iter().zip(&addressed) {
            addressed.apply(at);
        }
        let this = Self {
            inside,
            _taggers: taggers.map(|(taggers, _)| taggers),
        };
        this.wait_until_connected(net);
        this
    }

    /// Options for a daemon in the box.
    #[must_use]
    pub fn options(config: &str) -> Options {
        Options {
            lan: vec!["p1".to_owned()],
            wan: vec!["p2".to_owned()],
            ..Options::config(config)
        }
    }

    fn wait_until_connected(&self, net: &Network) {
        for family in Family::BOTH {
            let way = Dial {
                deadline: Duration::from_secs(1),
                ..Dial::new((family.client(), 0), (family.origin(0), 9))
            };
            until(SOON, "packets across the bridge", || {
                let refused = net.client.run(|| dial(&way).map(drop)).unwrap();
                refused.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
            });
        }
    }
}

/// Makes a bridge of these ports, and brings all up.
fn bridge(namespace: &Namespace, name: &str, ports: &[&str], options: &str) {
    ip(
        namespace,
        format!("link add {name} type bridge stp_state 0 forward_delay 0 {options}").trim(),
    );
    ip(namespace, &format!("link set {name} up"));
    for port in ports {
        ip(namespace, &format!("link set {port} master {name}"));
        ip(namespace, &format!("link set {port} up"));
    }
}

fn ip(namespace: &Namespace, command: &str) {
    namespace
        .ip(&command.split(' ').collect::<Vec<_>>())
        .unwrap_or_else(|error| panic!("{error}"));
}
