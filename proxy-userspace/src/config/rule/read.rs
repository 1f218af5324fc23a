//! The table of a rule's keys, and what they make of an entry.

use std::{collections::HashMap, ops::Range};

use toml::de::DeTable;

use super::{
    Action, Conditions, Faults, FieldEdits, Rule, Source, Template, condition,
    words::{self, ActionWord},
};
use crate::config::{
    document::{Document, Fault, RULES, Value, unknown_key},
    format::{boolean, fault, within},
    settings::Host,
};

/// The rules of the file.
///
/// # Errors
///
/// Everything that is wrong with any of them.
pub(in crate::config) fn read(document: &Document<'_>, host: &Host) -> Result<Vec<Rule>, Faults> {
    let (mut rules, mut faults) = (Vec::new(), Faults::new());
    // Where the rules before have their names from.
    let mut names: HashMap<String, Range<usize>> = HashMap::new();
    for (number, (at, table)) in (1..).zip(document.entries(RULES)) {
        let given = table.get("name").map(|value| value.span());
        let name = given.unwrap_or(at.clone());
        match read_one(table, number, at, host) {
            Ok(rule) => {
                if let Some(other) = names.insert(rule.name.clone(), name.clone()) {
                    // It may be the earlier one that was given a name of the kind `rule-7`.
                    let at = if table.contains_key("name") {
                        name
                    } else {
                        other
                    };
                    let message =
                        format!("two rules are called \"{}\"; rename this one", rule.name);
                    faults.push(Fault::new(at, message));
                }
                rules.push(rule);
            }
            Err(wrong) => faults.extend(wrong),
        }
    }
    if faults.is_empty() {
        Ok(rules)
    } else {
        Err(faults)
    }
}

/// A key of a rule: how it is read, and with which actions it makes sense.
struct Key {
    name: &'static str,
    fits: &'static [ActionWord],
    set: fn(&mut Draft, &Value<'_>) -> Result<(), Faults>,
}

/// What was read of a rule so far.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    action: ActionWord,
    conditions: Conditions,
    status: Option<u16>,
    page: Option<Template>,
    location: Option<Template>,
    spoof: Option<bool>,
    source: Option<Source>,
    unlogged: bool,
    request: FieldEdits,
    response: FieldEdits,
    mark: Option<u32>,
    tos: Option<u8>,
}

const ANY: &[ActionWord] = &[
    ActionWord::Allow,
    ActionWord::Deny,
    ActionWord::Redirect,
    ActionWord::Tunnel,
];
/// The origin is talked to.
const FORWARDED: &[ActionWord] = &[ActionWord::Allow, ActionWord::Tunnel];
/// We answer.
const ANSWERED: &[ActionWord] = &[ActionWord::Deny, ActionWord::Redirect];

/// `key!(name, fits, field.of.draft = how it is read)`
macro_rules! key {
    ($name:literal, $fits:expr, $($field:ident).+ = $read:expr) => {
        Key {
            name: $name,
            fits: $fits,
            set: |draft, value| {
                draft.$($field).+ = ($read)(value)?.into();
                Ok(())
            },
        }
    };
}

/// Every key, in the order of the documentation.
#[rustfmt::skip]
static KEYS: [Key; 20] = [
    key!("name", ANY, name = one(words::name)),
    key!("client", ANY, conditions.clients = one(condition::prefixes)),
    key!("destination", ANY, conditions.destinations = one(condition::prefixes)),
    key!("port", ANY, conditions.ports = one(condition::ports)),
    key!("host", ANY, conditions.hosts = one(condition::hosts)),
    key!("method", ANY, conditions.methods = one(condition::methods)),
    key!("path", ANY, conditions.paths = one(condition::paths)),
    key!("time", ANY, conditions.periods = one(condition::periods)),
    key!("days", ANY, conditions.days = one(condition::days)),
    key!("action", ANY, action = one(ActionWord::read)),
    key!("status", ANSWERED, status = one(|value| within(value, &(0..=999_u16)))),
    key!("page", &[ActionWord::Deny], page = one(words::page)),
    key!("location", &[ActionWord::Redirect], location = one(words::location)),
    key!("spoof", FORWARDED, spoof = one(boolean::read)),
    key!("source", FORWARDED, source = one(words::source)),
    key!("log", ANY, unlogged = one(|value| boolean::read(value).map(|log| !log))),
    key!("request", &[ActionWord::Allow], request = |value: &Value<'_>| FieldEdits::read(value, "request")),
    key!("response", &[ActionWord::Allow], response = |value: &Value<'_>| FieldEdits::read(value, "response")),
    key!("mark", FORWARDED, mark = one(|value| within(value, &(1..=u32::MAX)))),
    key!("tos", FORWARDED, tos = one(|value| within(value, &(0..=u8::MAX)))),
];

/// For values with at most one fault.
fn one<T>(
    read: impl Fn(&Value<'_>) -> Result<T, Fault>,
) -> impl Fn(&Value<'_>) -> Result<T, Faults> {
    move |value| read(value).map_err(|fault| vec![fault])
}

fn read_one(
    table: &DeTable<'_>,
    number: usize,
    at: Range<usize>,
    host: &Host,
) -> Result<Rule, Faults> {
    let (mut draft, mut faults) = (Draft::default(), Faults::new());
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        match KEYS.iter().find(|known| known.name == name) {
            Some(known) => faults.extend((known.set)(&mut draft, value).err().unwrap_or_default()),
            None => {
                let known = KEYS.iter().map(|key| key.name);
                let message = unknown_key(name, &format!("[[{RULES}]]"), known);
                faults.push(Fault::new(key.span(), message));
            }
        }
    }
    // Where the action is not known, nothing can be said about what it goes with.
    if faults.is_empty() {
        faults.extend(misfits(&draft, table));
        faults.extend(contradictions(&draft, table, host));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let at = table.get("action").map_or(at, |action| action.span());
    draft
        .finish(number)
        .map_err(|message| vec![Fault::new(at, message)])
}

/// Keys that make no sense with the action.
fn misfits(draft: &Draft, table: &DeTable<'_>) -> Faults {
    let mut faults = Faults::new();
    for key in table.keys() {
        let name = key.get_ref().as_ref();
        let Some(known) = KEYS.iter().find(|known| known.name == name) else {
            continue;
        };
        if !known.fits.contains(&draft.action) {
            let fits: Vec<_> = known
                .fits
                .iter()
                .map(|action| format!("\"{}\"", action.as_str()))
                .collect();
            faults.push(Fault::new(
                key.span(),
                format!(
                    "\"{name}\" makes no sense with action = \"{}\"; it goes with {}",
                    draft.action.as_str(),
                    fits.join(" and ")
                ),
            ));
        }
    }
    faults
}

/// What no key can see on its own.
fn contradictions(draft: &Draft, table: &DeTable<'_>, host: &Host) -> Faults {
    let mut faults = Faults::new();
    if let Some(value) = table.get("status")
        && let Some(Err(message)) = draft
            .status
            .map(|status| words::check_status(draft.action, status))
    {
        faults.push(fault(value, message));
    }
    if let Some(value) = table.get("spoof")
        && draft.spoof == Some(true)
        && draft.source.is_some()
    {
        let message = "spoof = true and an own source contradict each other; leave one of them out";
        faults.push(fault(value, message));
    }
    if let Some(value) = table.get("mark") {
        for (name, bit) in [("steer", host.steer_mark), ("socket", host.socket_mark)] {
            if draft.mark.is_some_and(|mark| mark & bit != 0) {
                let message = format!(
                    "the mark has the bit of host.{name}_mark ({bit:#x}) in it; \
                                       use another bit"
                );
                faults.push(fault(value, message));
            }
        }
    }
    faults
}

impl Draft {
    /// The rule; what is wrong with its action otherwise.
    fn finish(self, number: usize) -> Result<Rule, String> {
        let source = match (self.source, self.spoof) {
            (Some(source), _) => source,
            (None, Some(false)) => Source::Own,
            (None, _) => Source::Client,
        };
        let action = match self.action {
            ActionWord::Allow => Action::Allow,
            ActionWord::Tunnel => Action::Tunnel,
            ActionWord::Deny => Action::Deny {
                status: self.status.unwrap_or(403),
                page: self.page,
            },
            ActionWord::Redirect => Action::Redirect {
                status: self.status.unwrap_or(302),
                location: self.location.ok_or(
                    "a redirect leads somewhere; add e.g. \
                     location = \"http://portal.example/?from={{url}}\"",
                )?,
            },
        };
        Ok(Rule {
            name: self.name.unwrap_or_else(|| format!("rule-{number}")),
            conditions: self.conditions,
            action,
            source,
            log: !self.unlogged,
            request: self.request,
            response: self.response,
            mark: self.mark,
            tos: self.tos,
        })
    }
}
