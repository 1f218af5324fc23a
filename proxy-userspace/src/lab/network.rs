//! Builds a throwaway network and sees to it that its two ends reach each other.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    error::{LabError, Result},
    layout::{ASIDE, Family, Hop, LAN, Layout, Net, ORIGINS, Side, WAN},
    link::{ETHERNET_MTU, End, Link},
    namespace::{Namespace, ip_batch, require, sweep},
};

/// How long a network that was just built may take until packets cross it.
const READY: Duration = Duration::from_secs(10);
/// The discard port: nothing listens there, so that an answer is a reset.
const CLOSED_PORT: u16 = 9;

/// Namespaces with links between them; all of it goes on drop.
#[derive(Debug)]
pub struct Network {
    /// Where the clients are.
    pub client: Namespace,
    /// Where Weir belongs: [`LAN`] towards the clients, [`WAN`] towards the origins.
    pub router: Namespace,
    /// Where the origins are.
    pub origin: Namespace,
    /// Behind the router's third interface, if the layout has it.
    pub aside: Option<Namespace>,
    /// The routers of the hop, if the layout has it: nearer to the client, farther from it.
    pub hop: Option<[Namespace; 2]>,
    layout: Layout,
}

impl Network {
    /// Builds the network and waits until the client reaches the origin in every family.
    ///
    /// # Errors
    ///
    /// Without root or iproute2, or when the kernel refuses a part of it; nothing stays behind.
    pub fn new(layout: &Layout) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Err(LabError::NotPermitted);
        }
        require("ip", "iproute2")?;
        sweep();
        let network = Self::namespaces(*layout)?;
        network.configure()?;
        network.wait_until_connected()?;
        Ok(network)
    }

    /// The families that this network has.
    #[must_use]
    pub fn families(&self) -> &'static [Family] {
        if self.layout.has_ipv6() {
            &Family::BOTH
        } else {
            &[Family::V4]
        }
    }

    fn namespaces(layout: Layout) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let make = |role: &str| {
            let name = format!("weir-{}-{number}-{role}", std::process::id());
            ip_batch(&[format!("netns add {name}")])?;
            Namespace::adopt(name)
        };
        Ok(Self {
            client: make("cli")?,
            router: make("rtr")?,
            origin: make("org")?,
            aside: layout.aside.then(|| make("asd")).transpose()?,
            hop: layout
                .hop
                .map(|_| Ok([make("hpa")?, make("hpb")?]))
                .transpose()?,
            layout,
        })
    }

    fn configure(&self) -> Result<()> {
        for namespace in self.all() {
            // Duplicate address detection would keep new addresses unusable for a second.
            namespace.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
            namespace.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        }
        for namespace in self.routers() {
            namespace.sysctl("net.ipv4.ip_forward", "1")?;
            namespace.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        }
        let links = self.links();
        ip_batch(&links.iter().map(Link::create).collect::<Vec<_>>())?;
        for namespace in self.all() {
            let mut lines = vec!["link set lo up".to_owned()];
            for end in links.iter().flat_map(Link::ends) {
                if end.is_in(namespace) {
                    lines.extend(end.up(self.families()));
                }
            }
            lines.extend(self.routes(namespace));
            namespace.ip_batch(&lines)?;
        }
        Ok(())
    }

    fn links(&self) -> Vec<Link<'_>> {
        let mtu = self.layout.hop.map_or(ETHERNET_MTU, |hop| hop.mtu);
        let cli = End::new(&self.client, "eth0", &[2, 3]);
        let lan = End::new(&self.router, LAN, &[1]);
        let wan = End::new(&self.router, WAN, &[1]);
        let hosts: Vec<u8> = (2..2 + ORIGINS).collect();
        let org = End::new(&self.origin, "eth0", &hosts);
        let mut links = Vec::new();
        match self.hop() {
            None => {
                links.push(Link::new(Net::Client, cli, lan));
                links.push(Link::new(Net::Origin, wan, org));
            }
            Some((side, [hpa, hpb])) => {
                let small = Link::new(
                    Net::Small,
                    End::new(hpa, "far", &[1]),
                    End::new(hpb, "near", &[2]),
                );
                links.push(small.with_mtu(mtu));
                match side {
                    Side::Client => {
                        links.push(Link::new(Net::Client, cli, End::new(hpa, "near", &[1])));
                        links.push(Link::new(Net::Beyond, End::new(hpb, "far", &[2]), lan));
                        links.push(Link::new(Net::Origin, wan, org));
                    }
                    Side::Origin => {
                        links.push(Link::new(Net::Client, cli, lan));
                        links.push(Link::new(Net::Beyond, wan, End::new(hpa, "near", &[2])));
                        links.push(Link::new(Net::Origin, End::new(hpb, "far", &[1]), org));
                    }
                }
            }
        }
        if let Some(aside) = &self.aside {
            let router = End::new(&self.router, ASIDE, &[1]);
            links.push(Link::new(Net::Aside, router, End::new(aside, "eth0", &[2])));
        }
        links
    }

    /// What the namespace reaches by a gateway: everything, for a host; the far end, for a router.
    fn routes(&self, namespace: &Namespace) -> Vec<String> {
        let is = |other: &Namespace| namespace.name() == other.name();
        let mut routes: Vec<(Option<Net>, Net, u8)> = Vec::new();
        if is(&self.client) {
            routes.push((None, Net::Client, 1));
        } else if is(&self.origin) {
            routes.push((None, Net::Origin, 1));
        } else if self.aside.as_ref().is_some_and(is) {
            routes.push((None, Net::Aside, 1));
        } else if let Some((side, [hpa, hpb])) = self.hop() {
            routes = match side {
                Side::Client if is(&self.router) => vec![(Some(Net::Client), Net::Beyond, 2)],
                Side::Client if is(hpa) => vec![(None, Net::Small, 2)],
                Side::Client if is(hpb) => {
                    vec![(None, Net::Beyond, 1), (Some(Net::Client), Net::Small, 1)]
                }
                Side::Origin if is(&self.router) => vec![(None, Net::Beyond, 2)],
                Side::Origin if is(hpa) => {
                    vec![(None, Net::Small, 2), (Some(Net::Client), Net::Beyond, 1)]
                }
                Side::Origin if is(hpb) => vec![(None, Net::Small, 1)],
                _ => Vec::new(),
            };
        }
        let mut lines = Vec::new();
        for &family in self.families() {
            for &(to, net, host) in &routes {
                let to = to.map_or_else(|| "default".to_owned(), |net| family.prefix(net));
                let gateway = family.on(net, host);
                lines.push(format!("route add {to} via {gateway}"));
            }
        }
        lines
    }

    /// A reset from the origin's closed port has crossed every link in both directions.
    fn wait_until_connected(&self) -> Result<()> {
        let mut targets: Vec<SocketAddr> = Vec::new();
        for family in self.families() {
            targets.push((family.origin(0), CLOSED_PORT).into());
            if self.aside.is_some() {
                targets.push((family.aside(), CLOSED_PORT).into());
            }
        }
        for target in targets {
            self.client
                .run(|| wait_for_reset(target))?
                .map_err(|error| LabError::Unreachable {
                    from: self.client.name().to_owned(),
                    to: target.to_string(),
                    detail: error.to_string(),
                })?;
        }
        Ok(())
    }

    fn hop(&self) -> Option<(Side, &[Namespace; 2])> {
        self.layout
            .hop
            .map(|Hop { side, .. }| side)
            .zip(self.hop.as_ref())
    }

    fn all(&self) -> impl Iterator<Item = &Namespace> {
        [&self.client, &self.origin]
            .into_iter()
            .chain(&self.aside)
            .chain(self.routers())
    }

    fn routers(&self) -> impl Iterator<Item = &Namespace> {
        std::iter::once(&self.router).chain(self.hop.iter().flatten())
    }
}

fn wait_for_reset(target: SocketAddr) -> io::Result<()> {
    let deadline = Instant::now() + READY;
    loop {
        match TcpStream::connect_timeout(&target, Duration::from_secs(1)) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(10)),
            Ok(_) => return Err(io::Error::other("something listens on the discard port")),
        }
    }
}
