//! Handing over to a successor, or keeping everything: the old daemon's half.

use std::{os::fd::AsFd as _, time::Duration};

use anyhow::{Context as _, Result, ensure};
use proxy_ebpf::abi::ABI_VERSION;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::{
    flows::first_of_successor,
    keeper::{Keeper, Running},
    service, takeover,
};
use crate::control::handover::{KEPT, Offer, Part, TAKEN, YOURS, offer};

/// How long a successor may take to start. Edits wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// What has come of it.
pub(super) enum Outcome {
    /// The successor has everything; this is the connection to it.
    Taken(UnixStream),
    /// Nothing has changed; true if the daemon has been told to stop meanwhile.
    Kept(bool),
}

/// What the one who waits is woken by.
enum Woken {
    /// The successor has said so.
    Taken,
    /// It has gone, or takes too long.
    Gone(&'static str),
    /// This daemon is to stop.
    Stop,
}

/// Offers everything to `successor`, and holds still until it has started or failed.
pub(super) async fn hand_over(running: &mut Running, successor: UnixStream) -> Outcome {
    tracing::info!("another process wants to take over");
    let mut successor = match send(running, successor) {
        Ok(successor) => BufReader::new(successor),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "not handed over");
            return Outcome::Kept(false);
        }
    };
    let mut word = String::new();
    let woken = timeout(PATIENCE, async {
        let mut said = std::pin::pin!(successor.read_line(&mut word));
        loop {
            tokio::select! {
                read = &mut said => return match read {
                    Ok(1..) => Woken::Taken,
                    _ => Woken::Gone("it has gone"),
                },
                stop = running.inputs.while_handing_over(&running.keeper) => if stop {
                    return Woken::Stop;
                },
            }
        }
    });
    let woken = woken.await.unwrap_or(Woken::Gone("it takes too long"));
    let why = match woken {
        Woken::Taken if word.trim_end() == TAKEN => {
            // If it has gone since, it had everything, and what happens is what happens when a
            // daemon dies.
            // Before it says that it is ready, or nobody would believe it.
            let who = successor.get_ref().peer_cred().ok();
            service::handing_over(who.and_then(|it| it.pid()));
            let answer = format!("{YOURS}\n");
            let _ = successor.get_mut().write_all(answer.as_bytes()).await;
            return Outcome::Taken(successor.into_inner());
        }
        Woken::Taken => "it says something else",
        Woken::Gone(why) => why,
        Woken::Stop => "told to stop",
    };
    let answer = format!("{KEPT}\n");
    let _ = successor.get_mut().write_all(answer.as_bytes()).await;
    drop(successor);
    tracing::warn!("not handed over: {why}");
    running.reassert().await;
    Outcome::Kept(matches!(woken, Woken::Stop))
}

/// Sends the offer, or why there is none.
fn send(running: &Running, successor: UnixStream) -> Result<UnixStream> {
    let successor = successor.into_std()?;
    successor.set_nonblocking(false)?;
    let sent = match running.offer() {
        Ok((offered, descriptors)) => {
            let descriptors: Vec<_> = descriptors.iter().map(|it| it.as_fd()).collect();
            offer(&successor, &Ok(offered), &descriptors).context("cannot send what there is")
        }
        Err(error) => {
            let _ = offer(&successor, &Err(format!("{error:#}")), &[]);
            Err(error)
        }
    };
    sent?;
    successor.set_nonblocking(true)?;
    Ok(UnixStream::from_std(successor)?)
}

impl Running {
    fn offer(&self) -> Result<(Offer, Vec<std::os::fd::OwnedFd>)> {
        let keeper = &self.keeper;
        let mut parts = Vec::new();
        let mut descriptors = Vec::new();
        let mut add = |part, descriptor: std::os::fd::BorrowedFd<'_>| -> Result<()> {
            parts.push(part);
            descriptors.push(descriptor.try_clone_to_owned()?);
            Ok(())
        };
        let maps = keeper.dataplane.maps().context(
            "this daemon was started without CAP_SYS_ADMIN, and its maps cannot be handed over: \
             restart it",
        )?;
        add(Part::Maps, maps.as_fd())?;
        let [instance, netns] = self.claim.locks().context("this process has no locks")?;
        add(Part::InstanceLock, instance)?;
        add(Part::NamespaceLock, netns)?;
        for (worker, listeners) in (0..).zip(&keeper.listeners) {
            for &(family, ref listener) in listeners {
                add(Part::Listener { worker, family }, listener.as_fd())?;
            }
        }
        for held in &keeper.defragmentation {
            let family = if held.is_ipv6() { 6 } else { 4 };
            add(Part::Defragmentation { family }, held.as_fd())?;
        }
        for (pid, stream) in keeper.generations.streams() {
            add(Part::Generation { pid }, stream)?;
        }
        add(Part::Output, std::io::stdout().as_fd())?;
        add(Part::Errors, std::io::stderr().as_fd())?;
        ensure!(
            descriptors.len() <= crate::sys::passing::MAX_DESCRIPTORS,
            "too many listeners for one message: restart it"
        );
        let offer = Offer {
            abi: ABI_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            workers: keeper.workers,
            families: keeper.crossing.families().to_vec(),
            first_flow: first_of_successor(keeper.lasting.flows.next_number()),
            room: keeper.translations.capacity(),
            held: takeover::held(&keeper.options.config),
            own: keeper.interfaces.own.iter().copied().collect(),
            stations: keeper.crossing.stations().iter().copied().collect(),
            journal: keeper.journal.clone(),
            parts,
        };
        Ok((offer, descriptors))
    }

    /// Puts everything back that a successor which did not come to an end may have put in its
    /// place.
    async fn reassert(&mut self) {
        let result = async {
            self.keeper.warden.reinstate()?;
            self.inputs.serve_again(self.claim.run_dir())?;
            self.keeper.reassert().await
        };
        if let Err(error) = result.await {
            tracing::error!(
                error = format!("{error:#}"),
                "what another process has put in place may still be there: restart this daemon"
            );
        }
    }
}

impl Keeper {
    async fn reassert(&mut self) -> Result<()> {
        let settings = *self.dataplane.settings();
        self.dataplane.show_bypass()?;
        let places: Vec<_> = self
            .interfaces
            .iter()
            .filter_map(|it| Some((it.name.clone(), it.slot, it.place?)))
            .collect();
        for (name, slot, place) in places {
            self.dataplane.attach(&name, &place)?;
            self.dataplane
                .set_role(&place, self.valves.of_interface(slot))?;
        }
        self.dataplane.set_settings(settings)?;
        self.links_changed().await;
        Ok(())
    }
}
