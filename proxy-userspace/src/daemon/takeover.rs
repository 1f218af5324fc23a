//! Taking over from a daemon that runs: the new daemon's half.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    errno::Errno,
    unistd::{dup2_stderr, dup2_stdin, dup2_stdout},
};
use proxy_ebpf::abi::ABI_VERSION;

use super::{generations::Generations, instance::Claim, keeper::Keeper, settings};
use crate::{
    config::Config,
    control::handover::{KEPT, Offer, Offered, Part, TAKEN, take_over},
    fault::Fault,
    netconf::{
        delivery::LOOPBACK,
        journal::{self, Journal},
        links::Link,
        netns,
    },
    sys::{bpffs::Bpffs, defragment::Defragmentation},
};

/// How long the old daemon may take to give up what it has.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sections and keys that cannot change with a takeover: the host's state is made with them.
const HELD: [&str; 6] = [
    "host.",
    "intercept.lan",
    "intercept.wan",
    "intercept.families",
    "intercept.output",
    "security.user",
];

/// Settings that cannot change with a takeover, as in the configuration file.
pub(super) fn held(config: &Config) -> BTreeMap<String, String> {
    let all = config.settings();
    let held = all.filter(|(path, _)| HELD.iter().any(|held| path.starts_with(held)));
    held.map(|(path, value)| (path.to_owned(), value)).collect()
}

/// What another daemon of the instance has handed over, and holds still for.
pub(super) struct Takeover {
    /// The connection to it.
    stream: UnixStream,
    pub(super) offer: Offer,
    maps: Option<Bpffs>,
    locks: Option<[OwnedFd; 2]>,
    listeners: Vec<(u32, u8, OwnedFd)>,
    defragmentation: Vec<(u8, OwnedFd)>,
    generations: Vec<(u32, OwnedFd)>,
    output: Option<[OwnedFd; 2]>,
    /// Where messages go in the end.
    errors: Option<OwnedFd>,
}

impl Takeover {
    /// Asks for it. `None` if no daemon runs.
    pub(super) fn ask(instance: &str) -> Result<Option<Self>> {
        let refused = |why: String| {
            Fault::HostCannot(format!(
                "cannot take over from the running daemon of instance {instance}: {why}"
            ))
        };
        let Offered {
            stream,
            offer,
            descriptors,
        } = match take_over(&journal::run_dir(instance)) {
            Ok(Ok(offered)) => offered,
            Ok(Err(why)) => return Err(refused(why).into()),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => return Ok(None),
                ErrorKind::PermissionDenied => {
                    let why = "not permitted: run it as root".to_owned();
                    return Err(Fault::NotPermitted(why).into());
                }
                _ => return Err(refused(format!("it does not answer ({error})")).into()),
            },
        };
        if offer.abi != ABI_VERSION {
            return Err(refused(format!(
                "its maps are of ABI version {}, and those of this version of {ABI_VERSION}: \
                 restart it (`weir down`, then `weir run`)",
                offer.abi
            ))
            .into());
        }
        if offer.journal.netns != netns::current_id()? {
            let why = "it runs in another network namespace: start this one in the same".to_owned();
            return Err(refused(why).into());
        }
        Self::sort(stream, offer, descriptors).map(Some)
    }

    fn sort(stream: UnixStream, offer: Offer, descriptors: Vec<OwnedFd>) -> Result<Self> {
        if descriptors.len() != offer.parts.len() {
            bail!(
                "the running daemon offers {} descriptors, and {} have come: is the limit of open \
                 files reached?",
                offer.parts.len(),
                descriptors.len()
            );
        }
        let (mut instance, mut netns, mut output, mut errors) = (None, None, None, None);
        let mut takeover = Self {
            stream,
            maps: None,
            locks: None,
            listeners: Vec::new(),
            defragmentation: Vec::new(),
            generations: Vec::new(),
            output: None,
            errors: None,
            offer,
        };
        for (part, descriptor) in takeover.offer.parts.iter().zip(descriptors) {
            match *part {
                Part::Maps => takeover.maps = Some(Bpffs::from(descriptor)),
                Part::InstanceLock => instance = Some(descriptor),
                Part::NamespaceLock => netns = Some(descriptor),
                Part::Listener { worker, family } => {
                    takeover.listeners.push((worker, family, descriptor));
                }
                Part::Defragmentation { family } => {
                    takeover.defragmentation.push((family, descriptor));
                }
                Part::Generation { pid } => takeover.generations.push((pid, descriptor)),
                Part::Output => output = Some(descriptor),
                Part::Errors => errors = Some(descriptor),
            }
        }
        takeover.locks = instance
            .zip(netns)
            .map(|(instance, netns)| [instance, netns]);
        takeover.output = output.zip(errors).map(|(output, errors)| [output, errors]);
        Ok(takeover)
    }

    /// Refuses a configuration that what is handed over does not fit.
    pub(super) fn check(&self, config: &Config, families: &[u8]) -> Result<(), Fault> {
        let held = held(config);
        let differs = |(path, value): (&String, &String)| {
            let now = self.offer.held.get(path).filter(|now| *now != value)?;
            Some(format!("{path} ({now} now, {value} in the configuration)"))
        };
        let mut different: Vec<_> = held.iter().filter_map(differs).collect();
        if self.offer.families != families {
            different.push("the families that this host has switched on".to_owned());
        }
        let workers = config.workers.count;
        if workers != 0 && settings::workers(config) != self.offer.workers {
            let now = self.offer.workers;
            different.push(format!(
                "workers.count ({now} now, {workers} in the configuration)"
            ));
        }
        if different.is_empty() {
            return Ok(());
        }
        Err(Fault::Usage(format!(
            "cannot change with a takeover, restart for it: {}",
            different.join(", ")
        )))
    }

    /// The claim of the instance, which the other daemon has still.
    pub(super) fn claim(&mut self, instance: &str) -> Result<Claim> {
        let locks = self.locks.take().context("no locks were handed over")?;
        Claim::inherited(instance, locks)
    }

    pub(super) fn maps(&mut self) -> Result<Bpffs> {
        self.maps.take().context("no maps were handed over")
    }

    /// The listeners of each worker, by family.
    pub(super) fn listeners(&mut self) -> Vec<Vec<(u8, std::net::TcpListener)>> {
        let mut all: Vec<Vec<_>> = (0..self.offer.workers).map(|_| Vec::new()).collect();
        for (worker, family, listener) in self.listeners.drain(..) {
            if let Some(listeners) = all.get_mut(worker as usize) {
                listeners.push((family, listener.into()));
            }
        }
        all
    }

    pub(super) fn defragmentation(&mut self) -> Vec<Defragmentation> {
        let held = self.defragmentation.drain(..);
        held.map(|(family, link)| Defragmentation::held(family == 6, link))
            .collect()
    }

    /// What the other daemon has put on the host is to be undone by this one in the end.
    pub(super) fn carry_on(&self, journal: &mut Journal) {
        let theirs = self.offer.journal.programs.iter();
        // Its own come first, those of who was before it are gone by now.
        journal.programs.extend(theirs.take(journal.programs.len()));
        journal.sysctls.clone_from(&self.offer.journal.sysctls);
    }

    /// Writes to the standard output of the other daemon from now on, and to its standard error
    /// when it has given up what it has: until then, whoever started this one is to see why it
    /// fails.
    pub(super) fn adopt_output(&mut self) -> Result<()> {
        let [output, errors] = self.output.take().context("no output was handed over")?;
        dup2_stdout(output).context("cannot write to the running daemon's standard output")?;
        self.errors = Some(errors);
        Ok(())
    }

    /// Says that this process has taken over: from the answer on, the host is its own. The other
    /// daemon is one of the `generations` then.
    ///
    /// # Errors
    ///
    /// If the other daemon keeps it.
    pub(super) fn finish(self, generations: &mut Generations) -> Result<()> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = String::new();
        let said = (&self.stream).write_all(format!("{TAKEN}\n").as_bytes());
        // One octet at a time: what comes behind this line is for somebody else to read.
        let mut octets = BufReader::with_capacity(1, &self.stream);
        let heard = said.and_then(|()| octets.read_line(&mut answer));
        match (heard, answer.trim_end()) {
            (_, KEPT) => bail!("the running daemon goes on: it was told to stop, or waited long"),
            // One that has died has given up everything as well.
            (Ok(_), _) => {}
            (Err(error), _)
                if matches!(
                    error.kind(),
                    ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
                ) => {}
            (Err(error), _) => return Err(error).context("the running daemon does not answer"),
        }
        tracing::info!(
            pid = self.offer.pid,
            version = self.offer.version,
            "taken over"
        );
        // Whoever started this process need not wait any longer.
        let silence = File::open("/dev/null").map_err(|_| Errno::EIO);
        if self.errors.is_some()
            && let Err(error) = silence.and_then(dup2_stdin)
        {
            tracing::debug!(%error, "standard input stays open");
        }
        if let Some(errors) = self.errors
            && let Err(error) = dup2_stderr(errors)
        {
            tracing::warn!(%error, "cannot write to where the other daemon did");
        }
        let predecessor = (self.offer.pid, self.stream.into());
        for (pid, stream) in self.generations.into_iter().chain([predecessor]) {
            if let Err(error) = generations.add(pid, stream.into()) {
                tracing::warn!(pid, %error, "an earlier daemon is left alone");
            }
        }
        Ok(())
    }
}

impl Keeper {
    /// Takes the programs of the daemon before this one from where this one has none, and forgets
    /// interfaces that are its alone.
    pub(super) fn replace_predecessor(&mut self, links: &[Link]) -> Result<()> {
        for link in links {
            self.dataplane.detach_predecessors(&link.name, link.index)?;
        }
        let places = self.interfaces.iter().filter_map(|it| it.place);
        let known: Vec<_> = places
            .map(|place| place.index)
            .chain(self.plan.output_mark.map(|_| LOOPBACK))
            .collect();
        Ok(self.dataplane.forget_others(&known)?)
    }
}
