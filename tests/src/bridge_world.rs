//! A network with Weir in a box with a bridge.

use proxy_userspace::lab::{Family, Layout, Network, Origin};

use crate::{
    BridgeBox,
    client::{connect, get},
    daemon::Weir,
    launch::Options,
    load::{Plan, repeat},
    network,
};

const MIB: usize = 1 << 20;

/// Dropped in the order of its fields: the daemon while there is a box.
#[derive(Debug)]
pub struct BridgeWorld {
    /// The daemon.
    pub weir: Weir,
    /// Ports 80 and 8080 of every address of the origin.
    pub origin: Origin,
    /// The box.
    pub bridge: BridgeBox,
    /// The network that it is in.
    pub net: Network,
}

impl BridgeWorld {
    /// The default network, with the box in the client's cable, `prepare`d before the daemon starts.
    #[track_caller]
    #[must_use]
    pub fn new(prepare: impl FnOnce(&BridgeBox, &Network)) -> Self {
        let net = network(&Layout::default());
        let bridge = BridgeBox::between(&net);
        Self::with(net, bridge, &BridgeBox::options(""), prepare)
    }

    /// The same with another network, box, or options.
    ///
    /// # Panics
    ///
    /// When any of it does not come about.
    #[track_caller]
    #[must_use]
    pub fn with(
        net: Network,
        bridge: BridgeBox,
        options: &Options,
        prepare: impl FnOnce(&BridgeBox, &Network),
    ) -> Self {
        let origin = Origin::start(&net.origin).unwrap_or_else(|error| panic!("{error}"));
        prepare(&bridge, &net);
        let weir = Weir::start(&bridge.inside, options);
        Self {
            weir,
            origin,
            bridge,
            net,
        }
    }

    /// Everything that should work does, in both families.
    ///
    /// # Panics
    ///
    /// When something does not.
    #[track_caller]
    pub fn works(&self) {
        for family in Family::BOTH {
            self.carries(family);
        }
    }

    /// What is large works both ways, and is intercepted.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn carries(&self, family: Family) {
        let mut connection = connect(&self.net.client, (family.client(), 0), family.http());
        assert!(connection.echo("/").unwrap().intercepted(), "{family:?}");
        connection.download(4 * MIB).unwrap();
        assert!(connection.upload(4 * MIB).unwrap().intercepted());
    }

    /// Whether a new connection is intercepted; it works in any case.
    #[track_caller]
    #[must_use]
    pub fn intercepts(&self, family: Family) -> bool {
        get(&self.net.client, (family.client(), 0), family.http()).intercepted()
    }

    /// Each of many new connections works, and is direct or not.
    ///
    /// # Panics
    ///
    /// When one is otherwise.
    #[track_caller]
    pub fn all(&self, direct: bool) {
        let plan = |family| Plan::new(family, 46000..46200);
        for attempt in repeat(&self.net.client, &Family::BOTH.map(plan)) {
            let echo = attempt.outcome.as_ref();
            assert!(
                echo.is_ok_and(|echo| echo.direct() == direct),
                "{attempt:?}"
            );
        }
    }
}
