//! What the service manager is told, if one has started this process: `sd_notify(3)`.
//!
//! It believes the main process alone (`NotifyAccess=main`). So a daemon that is taken over from
//! names its successor, and says nothing from then on.

use std::{fs, time::Duration};

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{keeper::Keeper, status};

/// Beyond the deadline of a drain: for cutting, undoing and ending.
const AFTERWARDS: Duration = Duration::from_secs(15);

/// The watchdog of the service manager.
pub(super) struct Watchdog(Option<Pulse>);

struct Pulse {
    ticks: Interval,
    /// How old a worker's heartbeat may be: it has to have come since it was looked at last.
    patience: Duration,
}

impl Watchdog {
    /// As the environment has it.
    pub(super) fn new(heartbeat_stale: Duration) -> Self {
        Self(watchdog_enabled().map(|limit| {
            // As `sd_watchdog_enabled(3)` has it. One of a microsecond is no reason to end.
            let every = (limit / 2).max(Duration::from_millis(1));
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            Pulse {
                ticks,
                patience: every.max(heartbeat_stale),
            }
        }))
    }

    /// Waits until it is to be told that the daemon is alive; for ever, if there is none.
    /// Cancel-safe.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(pulse) => {
                pulse.ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }

    /// Says that the daemon is alive, if it is: whoever calls is the keeper, so that one gets on;
    /// and the workers do if their heartbeats are fresh.
    pub(super) fn feed(&self, keeper: &Keeper) {
        let patience = self.0.as_ref().map_or(Duration::MAX, |it| it.patience);
        // While the daemon stops they end one by one.
        if keeper.stopping.is_none()
            && let Some(worker) = keeper.hanging(patience)
        {
            return tracing::error!(
                worker,
                "a worker hangs: the service manager is not told that all is well"
            );
        }
        tell(&[NotifyState::Watchdog]);
    }
}

impl Keeper {
    /// A worker that has written no heartbeat for so long.
    fn hanging(&self, patience: Duration) -> Option<u32> {
        let heartbeats = self.dataplane.heartbeats();
        (0..self.workers).find(|worker| heartbeats.age(*worker).is_none_or(|age| age > patience))
    }
}

/// The daemon intercepts, or does again after [`reloading`].
pub(super) fn ready(keeper: &Keeper) {
    ready_but(keeper, "");
}

/// As [`ready`], with a word on what has not come about.
pub(super) fn ready_but(keeper: &Keeper, but: &str) {
    let status = one_line(&format!("{}{but}", status::summary(keeper)));
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The configuration is read again; [`ready`] follows, whatever comes of it.
pub(super) fn reloading() {
    let mut words = vec![NotifyState::Reloading];
    // Those since 253 must have it.
    words.extend(NotifyState::monotonic_usec_now().ok());
    words.push(NotifyState::Status("reading the configuration again"));
    tell(&words);
}

/// New flows go direct, and those under way have so long.
pub(super) fn stopping(active: u64, left: Duration) {
    let status = format!("stopping: {active} connections under way, {left:.0?} left");
    let patience = u32::try_from((left + AFTERWARDS).as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status(&status),
        // `limits.drain` may be longer than the unit's TimeoutStopSec.
        NotifyState::ExtendTimeoutUsec(patience),
    ]);
}

/// The process `successor` is the main one from now on, if it is of the same service. One that
/// somebody started elsewhere has neither the unit's limits nor its watchdog: the service ends with
/// this process then.
pub(super) fn handing_over(successor: Option<i32>) {
    let Some(pid) = successor.and_then(|pid| u32::try_from(pid).ok()) else {
        return tracing::warn!("it is not known which process has taken over");
    };
    let (theirs, ours) = (control_group(&pid.to_string()), control_group("self"));
    // One that cannot be seen is of this service most likely: `weir upgrade` has looked.
    if theirs == ours || theirs.is_none() || ours.is_none() {
        tell(&[NotifyState::MainPid(pid)]);
    } else if std::env::var_os("NOTIFY_SOCKET").is_some() {
        tracing::warn!(pid, "the new process is not of this service, which ends");
    }
}

/// Why the daemon did not come to intercepting.
pub fn failed(error: &anyhow::Error) {
    let status = one_line(&format!("{error:#}"));
    tell(&[NotifyState::Status(&status)]);
}

/// The control group that the service manager has put a process into, if that can be seen.
#[must_use]
pub fn control_group(pid: &str) -> Option<String> {
    let all = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    Some(managers(&all).to_owned())
}

/// Of `cgroups(7)`, version 2 is the service manager's, or a hierarchy with its name; where there
/// are both, it leaves one of them alone.
fn managers(groups: &str) -> &str {
    let paths = groups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        matches!(controllers, "" | "name=systemd").then_some(path)
    });
    paths.max_by_key(|path| path.len()).unwrap_or_default()
}

/// A state each line, so none may have more.
fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_managers_group_is_found() {
        let unit = "/system.slice/weir.service";
        assert_eq!(managers(&format!("0::{unit}\n")), unit);
        let both = format!("9:name=systemd:{unit}\n4:memory:/a/longer/one/than/that/of/it\n0::/\n");
        assert_eq!(managers(&both), unit);
        assert_eq!(managers(""), "");
    }

    #[test]
    fn a_state_is_one_line() {
        assert_eq!(one_line("a: b\nREADY=1"), "a: b READY=1");
    }
}
