//! `weir why --watch`: decisions as they are made.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::Args;
use crate::{
    cli::{outcome, unreachable},
    control::{self, Answer, Decided, FailureKind, Told, Wanted},
    netconf::journal,
};

/// How long it is tried to watch again, when one daemon has taken over from another.
const PATIENCE: Duration = Duration::from_secs(10);

/// And how often.
const AGAIN: Duration = Duration::from_millis(20);

/// Prints what is decided until `count` decisions are, or the daemon ends.
pub(super) fn run(args: &Args) -> Result<()> {
    let wanted = args.wanted()?;
    let (instance, json) = (&args.instance.instance, args.json);
    let mut left = args.count;
    let mut printer = Printer {
        out: io::stdout().lock(),
        json,
    };
    loop {
        for told in begin(instance, &wanted)? {
            match printer.print(&told) {
                Ok(()) => {}
                // Whoever read it has seen enough.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(error).context("cannot print"),
            }
            if let (Told::Decision(_), Some(left)) = (&told, &mut left) {
                *left -= 1;
                if *left == 0 {
                    return Ok(());
                }
            }
        }
        // The daemon has ended the watch: another has taken over, or it goes.
    }
}

fn begin(instance: &str, wanted: &Wanted) -> Result<control::Watching> {
    let run_dir = journal::run_dir(instance);
    let began = Instant::now();
    loop {
        match control::watch(&run_dir, wanted) {
            Ok(Ok(watching)) => return Ok(watching),
            Ok(Err(Answer::Failed {
                kind: FailureKind::Moved,
                ..
            })) if began.elapsed() < PATIENCE => thread::sleep(AGAIN),
            Ok(Err(answer)) => {
                outcome(answer)?;
                anyhow::bail!("the daemon does not let one watch");
            }
            Err(error) => return Err(unreachable(instance, &run_dir, &error)),
        }
    }
}

struct Printer<W> {
    out: W,
    json: bool,
}

impl<W: Write> Printer<W> {
    /// A line for each.
    fn print(&mut self, told: &Told) -> io::Result<()> {
        let line = if self.json {
            serde_json::to_string(told)?
        } else {
            match told {
                Told::Decision(decided) => line(decided),
                Told::Hidden {
                    sampled,
                    limited,
                    lost,
                } => hidden(*sampled, *limited, *lost),
            }
        };
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }
}

fn line(decided: &Decided) -> String {
    let Decided {
        time_ms,
        interface,
        client,
        origin,
        verdict,
        reason,
        vlan,
    } = decided;
    let vlan = vlan.map_or_else(String::new, |vlan| format!(" vlan {vlan}"));
    let time = clock(*time_ms);
    format!("{time} {interface}{vlan} {client} → {origin} {verdict} ({reason})")
}

/// The time of the day, UTC, as in the log.
fn clock(ms: u64) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (minutes, s) = (seconds / 60, seconds % 60);
    let (hours, m) = (minutes / 60, minutes % 60);
    format!("{:02}:{m:02}:{s:02}.{ms:03}Z", hours % 24)
}

fn hidden(sampled: u64, limited: u64, lost: u64) -> String {
    let parts: Vec<_> = [
        (sampled, "not in the sample"),
        (limited, "beyond the rate"),
        (lost, "lost for want of room"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{} {what}", grouped(number)))
    .collect();
    let all = grouped(sampled + limited + lost);
    format!("… {all} more not shown: {}", parts.join(", "))
}

/// In groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_a_line() {
        let mut decided = Decided {
            time_ms: 1_769_847_300_042,
            interface: "lan0".to_owned(),
            client: "[2001:db8::2]:50000".parse().unwrap(),
            origin: "[2001:db8:1::7]:80".parse().unwrap(),
            verdict: "direct".to_owned(),
            reason: "bypass-destination".to_owned(),
            vlan: None,
        };
        assert_eq!(
            line(&decided),
            "08:15:00.042Z lan0 [2001:db8::2]:50000 → [2001:db8:1::7]:80 direct \
             (bypass-destination)"
        );
        decided.vlan = Some(7);
        assert!(line(&decided).contains(" lan0 vlan 7 ["));
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        assert_eq!(
            hidden(0, 1234, 0),
            "… 1,234 more not shown: 1,234 beyond the rate"
        );
        assert_eq!(
            hidden(999, 0, 1_000_001),
            "… 1,001,000 more not shown: 999 not in the sample, 1,000,001 lost for want of room"
        );
    }

    #[test]
    fn decisions_and_the_rest_come_as_json() {
        let mut printer = Printer {
            out: Vec::new(),
            json: true,
        };
        let told = Told::Hidden {
            sampled: 1,
            limited: 2,
            lost: 3,
        };
        printer.print(&told).unwrap();
        let text = String::from_utf8(printer.out).unwrap();
        assert_eq!(
            text,
            "{\"hidden\":{\"sampled\":1,\"limited\":2,\"lost\":3}}\n"
        );
    }
}
