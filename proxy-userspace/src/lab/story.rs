//! The account that `weir lab` gives: requests, who the origin saw, counters, a bypass edit.

use std::{
    collections::BTreeMap, env, ffi::OsStr, fmt, io::Write, net::SocketAddr, path::Path, process,
};

use serde_json::Value;

use super::{
    LabOptions,
    child::{Daemon, KillOnDrop},
    error::{LabError, Result},
    fetch::{self, Exchange},
    layout::{Family, LAN, Layout, WAN},
    network::Network,
    origin::Origin,
};

/// A port that Weir does not watch, but that the origin serves.
const UNWATCHED: u16 = 8080;

/// Builds, observes and tells; what was built goes when this ends or is dropped.
pub(super) async fn tell(options: &LabOptions, out: &mut dyn Write) -> Result<()> {
    let mut account = Account { out };
    // Dropped in the reverse order: the daemon undoes its work while there is a router.
    let network = Network::new(&Layout::default())?;
    let _origin = Origin::start(&network.origin)?;
    let directory = tempfile::tempdir().map_err(LabError::io("making a temporary directory"))?;
    account.network(&network)?;
    let (daemon, ready) = start(options, &network, directory.path()).await?;
    account.say(format_args!("{ready}\n"))?;

    account.requests(&network).await?;
    account.counters(&daemon).await?;
    account.bypass(&network, &daemon).await?;
    if options.shell {
        account.hints(&options.weir, &daemon_name())?;
        shell(&network).await?;
    } else {
        account.say(format_args!(
            "To look further, a shell where the client is, with Weir running on the router:\n\
             \x20 cargo xtask run -- --shell     or     weir lab --shell"
        ))?;
    }
    daemon.finish()?;
    drop(network);
    account.say(format_args!("Everything has been removed again."))
}

async fn start(
    options: &LabOptions,
    network: &Network,
    directory: &Path,
) -> Result<(Daemon, String)> {
    let config = directory.join("weir.toml");
    let text = format!(
        "[log]\naccess = \"off\"\n\n[bypass]\ndirectory = {:?}\n",
        directory.join("bypass").display().to_string()
    );
    std::fs::write(&config, text).map_err(LabError::io(format!("writing {}", config.display())))?;
    let arguments: [&OsStr; 8] = [
        "--netns".as_ref(),
        network.router.name().as_ref(),
        "--lan".as_ref(),
        LAN.as_ref(),
        "--wan".as_ref(),
        WAN.as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
    ];
    Daemon::start(&options.weir, &daemon_name(), &arguments).await
}

fn daemon_name() -> String {
    format!("lab-{}", process::id())
}

/// A shell in the client's namespace; its exit status is the user's own affair.
async fn shell(network: &Network) -> Result<()> {
    let program = env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let mut shell = network
        .client
        .command(&program)
        .spawn()
        .map(KillOnDrop)
        .map_err(LabError::io(format!("starting {program}")))?;
    shell.wait().await.map(drop)
}

/// The text, as it is written.
struct Account<'a> {
    out: &'a mut dyn Write,
}

impl Account<'_> {
    fn network(&mut self, network: &Network) -> Result<()> {
        let [v4, v6] = Family::BOTH;
        self.say(format_args!(
            "A network in namespaces of its own, with Weir on its router:\n\
             \n  client {} ── {LAN} router {WAN} ── origin {}\
             \n         {}                              {}\n\
             \nThe router is the namespace {}.",
            v4.client(),
            v4.origin(0),
            v6.client(),
            v6.origin(0),
            network.router.name()
        ))
    }

    /// Watched and unwatched ports, both families.
    async fn requests(&mut self, network: &Network) -> Result<()> {
        self.say(format_args!(
            "What the client asks, and whom the origin sees asking:"
        ))?;
        for family in Family::BOTH {
            self.request(network, family, family.http(), Expected::Intercepted)
                .await?;
        }
        for family in Family::BOTH {
            let unwatched = SocketAddr::new(family.origin(0), UNWATCHED);
            self.request(network, family, unwatched, Expected::Direct)
                .await?;
        }
        self.say(format_args!(""))
    }

    async fn counters(&mut self, daemon: &Daemon) -> Result<()> {
        let status = daemon.ask(&["status", "--json"]).await?;
        let flows: BTreeMap<String, u64> = serde_json::from_str::<Value>(&status)
            .ok()
            .and_then(|status| serde_json::from_value(status.get("flows")?.clone()).ok())
            .ok_or_else(|| LabError::Answer {
                origin: "weir status".to_owned(),
                detail: status,
            })?;
        self.say(format_args!("What the kernel counted (weir status):"))?;
        for (reason, count) in flows.into_iter().filter(|(_, count)| *count > 0) {
            self.say(format_args!("  {count:>6}  {reason}"))?;
        }
        self.say(format_args!(""))
    }

    /// The next connection to a bypassed origin is the client's own; the one after is not.
    async fn bypass(&mut self, network: &Network, daemon: &Daemon) -> Result<()> {
        let prefixes = Family::BOTH.map(|family| {
            (
                family,
                format!("{}/{}", family.origin(0), family.host_length()),
            )
        });
        for (verb, expected) in [("add", Expected::Direct), ("del", Expected::Intercepted)] {
            for (family, prefix) in &prefixes {
                daemon.ask(&["bypass", verb, prefix]).await?;
                self.say(format_args!("weir bypass {verb} {prefix}"))?;
                self.request(network, *family, family.http(), expected)
                    .await?;
            }
        }
        self.say(format_args!(""))
    }

    async fn request(
        &mut self,
        network: &Network,
        family: Family,
        origin: SocketAddr,
        expected: Expected,
    ) -> Result<()> {
        let exchange = fetch::get(&network.client, family.client(), origin).await?;
        expected.check(&exchange, origin)?;
        let Exchange { client, seen } = exchange;
        let (client, origin, seen) = (client.to_string(), origin.to_string(), seen.to_string());
        self.say(format_args!(
            "  {client:<18} → {origin:<18}  it sees {seen:<18} {expected}"
        ))
    }

    fn hints(&mut self, weir: &Path, instance: &str) -> Result<()> {
        let (weir, origin) = (weir.display(), Family::V4.origin(0));
        self.say(format_args!(
            "This shell is where the client is. Weir runs until you leave it.\n\
             \x20 curl http://{origin}/\n\
             \x20 {weir} status --instance {instance}\n\
             \x20 {weir} bypass add {origin}/32 --instance {instance}"
        ))
    }

    fn say(&mut self, line: fmt::Arguments<'_>) -> Result<()> {
        writeln!(self.out, "{line}")
            .and_then(|()| self.out.flush())
            .map_err(LabError::io("writing the account"))
    }
}

/// What the account is about to claim, and therefore checks.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Intercepted,
    Direct,
}

impl Expected {
    fn check(self, exchange: &Exchange, origin: SocketAddr) -> Result<()> {
        let holds = match self {
            Self::Intercepted => exchange.intercepted(),
            Self::Direct => exchange.direct(),
        };
        if holds {
            return Ok(());
        }
        let Exchange { client, seen } = exchange;
        let detail = format!("{client} asked, {seen} was seen: {self:?} was expected");
        Err(LabError::Answer {
            origin: origin.to_string(),
            detail,
        })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Intercepted => "intercepted: the client's address, a port of Weir's",
            Self::Direct => "direct: the client's own connection",
        })
    }
}
