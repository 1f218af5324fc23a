//! `weir doctor --fix`, and `--undo`.

use anyhow::{Context as _, Result, anyhow};
use serde::Serialize;

use super::{doctor, doctor::Patient, instance};
use crate::{
    control::{self, Answer, Request},
    doctor::{Finding, Host, Ledger, Step},
    fault::Fault,
    netconf::{journal, netns},
};

/// What one rule hides is found when the rule is no longer in front of it: so often is it looked at
/// the most.
const ROUNDS: usize = 8;

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Cure {
    /// What was done, or would be.
    pub done: Vec<Cured>,
    /// What is found afterwards, or now if nothing was to be done.
    pub findings: Vec<Finding>,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cured {
    /// What was the matter.
    pub code: Option<crate::doctor::Code>,
    /// With what.
    pub object: String,
    /// The command that does the same.
    pub command: String,
}

/// Mends what can be: all of it, or nothing. With `dry`, tells what would be done first.
///
/// Must be called while the process has one thread only: it enters the network namespace.
///
/// # Errors
///
/// If something cannot be done: then what was done is undone.
pub fn fix(mut patient: Patient, name: &str, dry: bool) -> Result<Cure> {
    instance::check_name(name)?;
    let host = Host::look();
    patient.enter()?;
    let mut findings = doctor::look(&host, &patient)?;
    let mut done = Vec::new();
    if dry {
        let steps = steps(&findings, &[]);
        done.extend(steps.iter().map(|(cured, _)| cured.clone()));
        return Ok(Cure { done, findings });
    }
    if !host.missing.is_empty() {
        let missing = host.missing.join(" and ");
        return Err(Fault::NotPermitted(format!("{missing} missing: run it as root")).into());
    }
    let mut ledger = open(name)?;
    let before = ledger.done().len();
    let mut taken = Vec::new();
    for _ in 0..ROUNDS {
        let todo = steps(&findings, &taken);
        if todo.is_empty() {
            break;
        }
        if let Err(error) = perform(&mut ledger, &todo, &patient, name) {
            return Err(match ledger.undo_to(before) {
                Ok(()) => error.context("nothing is changed: what had been done is undone"),
                Err(undoing) => error.context(format!(
                    "not all that had been done could be undone ({undoing}): weir doctor --undo \
                     --instance {name} tries again"
                )),
            });
        }
        for (cured, step) in todo {
            done.push(cured);
            taken.push(step);
        }
        if let Patient::Running(status) = &mut patient {
            *status = ask(name, &Request::Examine)?;
        }
        findings = doctor::look(&host, &patient)?;
    }
    Ok(Cure { done, findings })
}

/// What can be done about findings and was not yet, each once.
fn steps(findings: &[Finding], taken: &[Step]) -> Vec<(Cured, Step)> {
    let mut steps: Vec<(Cured, Step)> = Vec::new();
    for finding in findings {
        let Some(step) = &finding.step else { continue };
        if taken.contains(step) || steps.iter().any(|(_, it)| it == step) {
            continue;
        }
        let cured = Cured {
            code: finding.code,
            object: finding.object.clone(),
            command: step.command(),
        };
        steps.push((cured, step.clone()));
    }
    steps
}

fn perform(
    ledger: &mut Ledger,
    todo: &[(Cured, Step)],
    patient: &Patient,
    name: &str,
) -> Result<()> {
    for (_, step) in todo {
        if !matches!(step, Step::Daemon { .. }) {
            ledger.perform(step)?;
        }
    }
    // Also where nothing of its own is missing: its valves may close, and its measures begin anew.
    if matches!(patient, Patient::Running(_)) {
        ask(name, &Request::Mend).context("the daemon could not put back what is its own")?;
    }
    Ok(())
}

/// Undoes what `fix` has done for an instance, and returns the commands that do the same. With `dry`,
/// nothing is done.
///
/// Must be called while the process has one thread only: it enters the network namespace.
///
/// # Errors
///
/// If something cannot be undone: what is left stays written down.
pub fn undo(name: &str, dry: bool) -> Result<Vec<String>> {
    instance::check_name(name)?;
    let here = netns::current_id()?;
    let mut ledger = Ledger::open(name, here)?;
    if ledger.netns() != here && !netns::enter_id(ledger.netns())? {
        // Its network namespace has taken everything with it.
        if !dry {
            ledger.forget()?;
        }
        return Ok(Vec::new());
    }
    let mut commands = Vec::new();
    for done in ledger.done().iter().rev() {
        commands.extend(done.step.undoing(&done.before)?);
    }
    if !dry {
        ledger.undo_to(0)?;
    }
    Ok(commands)
}

fn open(name: &str) -> Result<Ledger> {
    let here = netns::current_id()?;
    let ledger = Ledger::open(name, here)?;
    if ledger.netns() == here {
        return Ok(ledger);
    }
    Err(Fault::HostCannot(format!(
        "what was done for instance {name} in another network namespace ({}) is not undone yet: weir \
         doctor --undo --instance {name}",
        ledger.netns()
    ))
    .into())
}

fn ask(name: &str, request: &Request) -> Result<serde_json::Value> {
    match control::call(&journal::run_dir(name), request)? {
        Answer::Done(value) => Ok(value),
        Answer::Failed { message, .. } => Err(anyhow!(message)),
    }
}
