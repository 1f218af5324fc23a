//! The links of a network: pairs of interfaces with a subnet on each.

use super::{
    layout::{Family, Net},
    namespace::Namespace,
};

/// What the links of a network carry, but for a hop's.
pub(super) const ETHERNET_MTU: u32 = 1500;

/// A veth pair and the subnet on it.
pub(super) struct Link<'a> {
    mtu: u32,
    net: Net,
    near: End<'a>,
    far: End<'a>,
}

impl<'a> Link<'a> {
    pub(super) fn new(net: Net, near: End<'a>, far: End<'a>) -> Self {
        Self {
            net,
            mtu: ETHERNET_MTU,
            near,
            far,
        }
    }

    pub(super) fn with_mtu(self, mtu: u32) -> Self {
        Self { mtu, ..self }
    }

    /// The line for `ip -batch` that makes both ends.
    pub(super) fn create(&self) -> String {
        let Self { mtu, near, far, .. } = self;
        format!(
            "link add {} netns {} mtu {mtu} type veth peer name {} netns {} mtu {mtu}",
            near.interface,
            near.namespace.name(),
            far.interface,
            far.namespace.name(),
        )
    }

    pub(super) fn ends(&self) -> [Placed<'_>; 2] {
        [&self.near, &self.far].map(|end| Placed { net: self.net, end })
    }
}

/// One end of a link: an interface and its host numbers in the link's subnet.
pub(super) struct End<'a> {
    namespace: &'a Namespace,
    interface: &'static str,
    hosts: Vec<u8>,
}

impl<'a> End<'a> {
    pub(super) fn new(namespace: &'a Namespace, interface: &'static str, hosts: &[u8]) -> Self {
        Self {
            namespace,
            interface,
            hosts: hosts.to_vec(),
        }
    }
}

/// An end together with its link's subnet.
pub(super) struct Placed<'a> {
    net: Net,
    end: &'a End<'a>,
}

impl Placed<'_> {
    pub(super) fn is_in(&self, namespace: &Namespace) -> bool {
        self.end.namespace.name() == namespace.name()
    }

    /// The lines for `ip -batch` that bring it up with its addresses.
    pub(super) fn up(&self, families: &[Family]) -> Vec<String> {
        let interface = self.end.interface;
        let mut lines = vec![format!("link set {interface} up")];
        for family in families {
            for (index, &host) in self.end.hosts.iter().enumerate() {
                let address = family.with_length(self.net, host);
                // Deprecated IPv6 addresses work as well, but only the first is chosen unasked.
                let further = *family == Family::V6 && index > 0;
                let lifetime = if further { " preferred_lft 0" } else { "" };
                lines.push(format!("address add {address} dev {interface}{lifetime}"));
            }
        }
        lines
    }
}
