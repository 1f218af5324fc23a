//! A box with a bridge in the cable between a client and its router.
//!
//! ```text
//! cli eth0 ── p1 [br0] p2 ── lan0 rtr wan0 ── eth0 org
//! ```

use std::time::Duration;

use proxy_userspace::lab::{Family, LAN, Namespace, Network};

use crate::{
    addressed::{Addressed, At},
    client::{Dial, dial},
    launch::Options,
    tagger::Tagger,
    wait::until,
};

const SOON: Duration = Duration::from_secs(20);

/// The box. Weir belongs into it.
#[derive(Debug)]
pub struct BridgeBox {
    /// Where `br0` and its ports `p1` and `p2` are.
    pub inside: Namespace,
    /// What puts the tags on, if there are any.
    _taggers: Vec<Tagger>,
}

impl BridgeBox {
    /// In the cable between the network's client and router.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn between(net: &Network) -> Self {
        Self::cut_into(net, [At(&net.client, "eth0"), At(&net.router, LAN)])
    }

    /// In the cable between these two, the client's side first.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn cut_into(net: &Network, ends: [At<'_>; 2]) -> Self {
        Self::cut(net, ends, |inside| {
            for (At(host, name), port) in ends.into_iter().zip(["p1", "p2"]) {
                let (host, others) = (host.name(), inside.name());
                let pair = format!(
                    "link add name {name} netns {host} type veth peer name {port} netns {others}"
                );
                ip(inside, &pair);
            }
            Vec::new()
        })
    }

    /// The same, with all frames in the box tagged with `vlan`: the cables put the tag on, and take
    /// it off.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn tagged(net: &Network, vlan: u16) -> Self {
        let ends = [At(&net.client, "eth0"), At(&net.router, LAN)];
        Self::cut(net, ends, |inside| {
            let ports = [At(inside, "p1"), At(inside, "p2")];
            let pairs = ends.into_iter().zip(ports);
            pairs
                .map(|(end, port)| Tagger::between(end, port, vlan))
                .collect()
        })
    }

    /// The same, but only the client's frames have a tag, which has a priority and no VLAN, and what
    /// comes to the client has it or none.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[must_use]
    pub fn prioritised(net: &Network) -> Self {
        const PRIORITY: u16 = 5 << 13;
        let ends = [At(&net.client, "eth0"), At(&net.router, LAN)];
        Self::cut(net, ends, |inside| {
            let [client, router] = ends;
            vec![
                Tagger::between(client, At(inside, "p1"), PRIORITY),
                Tagger::none(router, At(inside, "p2")),
            ]
        })
    }

    /// Runs `ip` in the box.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn ip(&self, command: &str) {
        ip(&self.inside, command);
    }

    fn cut(net: &Network, pair: [At<'_>; 2], lay: impl FnOnce(&Namespace) -> Vec<Tagger>) -> Self {
        let addressed = pair.map(Addressed::of);
        let At(host, name) = pair[0];
        host.ip(&["link", "delete", name]).unwrap();
        let inside = Namespace::further("box").unwrap();
        for which in ["all", "default"] {
            let key = format!("net.ipv6.conf.{which}.accept_dad");
            inside.sysctl(&key, "0").unwrap();
        }
        let taggers = lay(&inside);
        ip(&inside, "link set lo up");
        ip(
            &inside,
            "link add br0 type bridge stp_state 0 forward_delay 0",
        );
        ip(&inside, "link set br0 up");
        for port in ["p1", "p2"] {
            ip(&inside, &format!("link set {port} master br0"));
            ip(&inside, &format!("link set {port} up"));
        }
        // It has no part in what it passes on.
        inside.sysctl("net.ipv4.ip_forward", "0").unwrap();
        for (at, addressed) in pair.into_iter().zip(&addressed) {
            addressed.apply(at);
        }
        let this = Self {
            inside,
            _taggers: taggers,
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
        until(SOON, "link-local addresses in the box", || {
            let shown = self
                .inside
                .ip(&["-6", "-o", "address", "show", "scope", "link"]);
            let shown = shown.unwrap();
            shown.lines().count() == 3 && !shown.contains("tentative")
        });
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

#[track_caller]
fn ip(namespace: &Namespace, command: &str) {
    namespace
        .ip(&command.split(' ').collect::<Vec<_>>())
        .unwrap_or_else(|error| panic!("{error}"));
}
