//! Somebody else's BPF program on an interface.

use nix::net::if_::if_nametoindex;
use proxy_userspace::{
    lab::Namespace,
    sys::{bpf::Hook, probe::Probe},
};

/// A program that counts, and gives a verdict.
#[derive(Debug)]
pub struct Neighbour(Probe);

impl Neighbour {
    /// On TCX, behind those that are there; every packet goes on to the next.
    #[must_use]
    pub fn on_tcx(namespace: &Namespace, interface: &str, hook: Hook) -> Self {
        const TCX_NEXT: i32 = -1;
        Self::ending(namespace, interface, hook, TCX_NEXT)
    }

    /// On TCX, with this verdict.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    #[must_use]
    pub fn ending(namespace: &Namespace, interface: &str, hook: Hook, verdict: i32) -> Self {
        let attached = namespace.run(|| {
            let index = if_nametoindex(interface).expect("an interface");
            Probe::on_tcx(index, hook, verdict)
        });
        let probe = attached.unwrap_or_else(|error| panic!("{error}"));
        Self(probe.unwrap_or_else(|error| panic!("a program on TCX of {interface}: {error}")))
    }

    /// On generic XDP; it goes on drop.
    ///
    /// # Panics
    ///
    /// When the kernel refuses.
    #[must_use]
    pub fn on_xdp(namespace: &Namespace, interface: &str) -> Self {
        let attached = namespace.run(|| {
            let index = if_nametoindex(interface).expect("an interface");
            Probe::on_xdp(index)
        });
        let probe = attached.unwrap_or_else(|error| panic!("{error}"));
        Self(probe.unwrap_or_else(|error| panic!("an XDP program on {interface}: {error}")))
    }

    /// Packets that it has seen.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.0.packets().expect("a counter")
    }

    /// Those that were put together of many: more than 16 KiB.
    ///
    /// # Panics
    ///
    /// When they cannot be read.
    #[must_use]
    pub fn large(&self) -> u64 {
        self.0.large().expect("a counter")
    }
}
