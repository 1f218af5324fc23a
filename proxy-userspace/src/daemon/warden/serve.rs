//! The warden's own end.

use std::{
    io::{self, ErrorKind},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::{prctl, signal::SigSet},
    unistd::dup2_stderr,
};

use super::Order;
use crate::{
    daemon::{instance, moved, undo},
    dataplane::attach,
    netconf::{
        self,
        journal::{self, Journal},
        links,
    },
    sys::passing,
};

/// Obeys the daemon at the other end of standard input, until that ends.
///
/// # Errors
///
/// If standard input is no such thing.
pub fn serve() -> Result<()> {
    let stream = UnixStream::from(
        io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .context("no standard input")?,
    );
    // What ends the daemon, when a terminal or a service manager tells all of its processes, is
    // what there is to do something for here.
    SigSet::all().thread_block()?;
    let _ = prctl::set_name(c"weir-warden");
    let mut ward = None;
    loop {
        let (text, descriptors) = match passing::receive(&stream) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error).context("standard input is no daemon"),
        };
        let done = serde_json::from_slice(&text)
            .context("no order")
            .and_then(|order| obey(order, descriptors, &mut ward));
        let answer = done.map_err(|error| format!("{error:#}"));
        passing::send(&stream, &serde_json::to_vec(&answer)?, &[])?;
    }
}

fn obey(order: Order, descriptors: Vec<OwnedFd>, ward: &mut Option<Journal>) -> Result<()> {
    let known = match (order, &*ward) {
        (Order::Keep(_), Some(_)) => bail!("it has been told what to undo"),
        (Order::Keep(journal), None) => {
            *ward = Some(journal);
            return Ok(());
        }
        (_, None) => bail!("it has not been told what to undo"),
        (order, Some(journal)) => (order, journal),
    };
    match known {
        (Order::Keep(_), _) => Ok(()),
        (Order::Speak, _) => {
            let stderr = descriptors.into_iter().next().context("no descriptor")?;
            dup2_stderr(stderr).context("cannot write to the daemon's standard error")
        }
        (Order::Elsewhere, journal) => {
            moved::detach_elsewhere(&journal.programs);
            Ok(())
        }
        (Order::Reinstate, journal) => reinstate(journal),
        (Order::Undo(patience), journal) => {
            in_runtime(undo::undo(journal, Duration::from_millis(patience)))?;
            Journal::remove(&journal::run_dir(&journal.instance))?;
            Ok(())
        }
        (Order::Release, journal) => {
            instance::remove_files(&journal.instance, journal.netns);
            Ok(())
        }
    }
}

/// The programs of this namespace's links are those of another daemon, which gave up; and so is
/// the journal.
fn reinstate(journal: &Journal) -> Result<()> {
    journal.write(&journal::run_dir(&journal.instance))?;
    in_runtime(async {
        for link in links::list(&netconf::connect()?).await? {
            attach::reinstate(&link.name, link.index, &journal.programs)?;
        }
        Ok(())
    })
}

fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
