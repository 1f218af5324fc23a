//! Reading nftables' rules from the kernel (nfnetlink, subsystem `NFNL_SUBSYS_NFTABLES`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use nix::sys::socket::SockProtocol;

use super::{
    Base, Chain, Family, Field, Flowtable, Hook, Rule, Ruleset, Step, Tool, Values, Verdict,
    attribute::{self, be32, find, number, text},
    expression::{self, NFTA_DATA_VALUE, values_of, width},
};
use crate::netconf::raw::Raw;

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const GETTABLE: u16 = 1;
const GETCHAIN: u16 = 4;
const GETRULE: u16 = 7;
const GETSET: u16 = 10;
const GETSETELEM: u16 = 13;
const GETGEN: u16 = 16;
const GETFLOWTABLE: u16 = 23;

const NFT_TABLE_F_DORMANT: u32 = 1;
const NFT_CHAIN_HW_OFFLOAD: u32 = 2;
const NFT_SET_INTERVAL: u32 = 4;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
const NFT_SET_ELEM_CATCHALL: u32 = 2;

/// How often it is begun anew if the rules change while they are read.
const ATTEMPTS: u32 = 5;

/// Reads the rules of the calling thread's network namespace. None in a kernel without nftables.
///
/// # Errors
///
/// If the kernel refuses: `PermissionDenied` without `CAP_NET_ADMIN`; `Interrupted` if the rules
/// kept changing.
pub fn read() -> io::Result<Ruleset> {
    let mut attempts = 1;
    loop {
        match read_once() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && attempts < ATTEMPTS => {
                attempts += 1;
            }
            Err(error) if is_missing(&error) => return Ok(Ruleset::default()),
            other => return other,
        }
    }
}

/// A number that changes with every change of the rules; 0 in a kernel without nftables.
///
/// # Errors
///
/// If the kernel refuses.
pub fn generation() -> io::Result<u32> {
    const NFTA_GEN_ID: u16 = 1;
    let answer =
        open().and_then(|mut socket| socket.ask(message(GETGEN), 0, &header(NFPROTO_UNSPEC)));
    match answer {
        Ok(answer) => Ok(number(body(&answer), NFTA_GEN_ID).unwrap_or(0)),
        Err(error) if is_missing(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

/// What a kernel without nfnetlink, or without nftables, says.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EPROTONOSUPPORT | libc::EINVAL | libc::EOPNOTSUPP)
    )
}

const NFPROTO_UNSPEC: u8 = 0;

fn open() -> io::Result<Raw> {
    Raw::open(SockProtocol::NetlinkNetFilter)
}

const fn message(kind: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | kind
}

/// `struct nfgenmsg`: family, version, resource.
const fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

fn body(message: &[u8]) -> &[u8] {
    message.get(4..).unwrap_or_default()
}

/// Family number and name of a table.
type TableKey = (u8, String);

fn read_once() -> io::Result<Ruleset> {
    let mut socket = open()?;
    let mut dump = |kind: u16, take: &mut dyn FnMut(u8, &[u8])| {
        socket.dump(message(kind), &header(NFPROTO_UNSPEC), |message| {
            take(message.first().copied().unwrap_or(0), body(message));
        })
    };
    let mut dormant = BTreeSet::new();
    dump(GETTABLE, &mut |family, table| {
        if number(table, 2).unwrap_or(0) & NFT_TABLE_F_DORMANT != 0 {
            dormant.extend(text(table, 1).map(|name| (family, name)));
        }
    })?;
    let mut chains: Vec<(TableKey, Chain)> = Vec::new();
    dump(GETCHAIN, &mut |family, chain| {
        chains.extend(chain_of(family, chain));
    })?;
    dump(GETRULE, &mut |family, rule| {
        let (table, chain) = (text(rule, 1), text(rule, 2));
        let of = chains.iter_mut().find(|((of_family, of_table), it)| {
            *of_family == family
                && Some(of_table) == table.as_ref()
                && Some(&it.name) == chain.as_ref()
        });
        if let Some((_, chain)) = of {
            chain.rules.push(rule_of(rule));
        }
    })?;
    let mut flowtables = Vec::new();
    dump(GETFLOWTABLE, &mut |family, flowtable| {
        flowtables.extend(Flowtable::from_attributes(family_of(family), flowtable));
    })?;
    let mut sets = BTreeMap::new();
    dump(GETSET, &mut |family, set| {
        if let (Some(table), Some(name)) = (text(set, 1), text(set, 2)) {
            let flags = number(set, 3).unwrap_or(0);
            let width = number(set, 5).unwrap_or(0);
            sets.insert(((family, table), name), SetKind { flags, width });
        }
    })?;
    chains.retain(|(table, _)| !dormant.contains(table));
    for (table, chain) in &mut chains {
        for step in chain.rules.iter_mut().flat_map(|rule| &mut rule.steps) {
            resolve(step, table, &sets, &mut socket)?;
        }
    }
    name_tools(&mut chains);
    Ok(Ruleset {
        chains: chains.into_iter().map(|(_, chain)| chain).collect(),
        flowtables,
    })
}

fn family_of(number: u8) -> Family {
    match number {
        1 => Family::Inet,
        2 => Family::Ip,
        5 => Family::Netdev,
        10 => Family::Ip6,
        _ => Family::Other,
    }
}

fn chain_of(family: u8, attributes: &[u8]) -> Option<(TableKey, Chain)> {
    let table = text(attributes, 1)?;
    let base = find(attributes, 4).and_then(|hook| base_of(family, hook, attributes));
    let chain = Chain {
        tool: Tool::Nft,
        family: family_of(family),
        table: table.clone(),
        name: text(attributes, 3)?,
        base,
        rules: Vec::new(),
    };
    Some(((family, table), chain))
}

fn base_of(family: u8, hook: &[u8], chain: &[u8]) -> Option<Base> {
    let place = match (family_of(family), number(hook, 1)?) {
        (Family::Netdev, 0) | (Family::Inet, 5) => Hook::Ingress,
        (Family::Netdev, 1) => Hook::Egress,
        (Family::Netdev, _) => return None,
        (_, 0) => Hook::Prerouting,
        (_, 1) => Hook::Input,
        (_, 2) => Hook::Forward,
        (_, 3) => Hook::Output,
        (_, 4) => Hook::Postrouting,
        _ => return None,
    };
    let several = find(hook, 4).unwrap_or_default();
    let mut devices: Vec<_> = attribute::all(several)
        .map(|(_, name)| attribute::string(name))
        .collect();
    devices.extend(text(hook, 3).filter(|name| !devices.contains(name)));
    Some(Base {
        hook: place,
        priority: number(hook, 2)?.cast_signed(),
        drops: number(chain, 5) == Some(0),
        translates: text(chain, 7).is_some_and(|kind| kind == "nat"),
        offloaded: number(chain, 10).unwrap_or(0) & NFT_CHAIN_HW_OFFLOAD != 0,
        devices,
    })
}

fn rule_of(attributes: &[u8]) -> Rule {
    let handle = find(attributes, 3).and_then(|octets| octets.try_into().ok());
    let handle = handle.map_or(0, u64::from_be_bytes);
    let expressions = find(attributes, 4).unwrap_or_default();
    Rule {
        label: format!("handle {handle}"),
        steps: expression::steps(expressions),
    }
}

/// iptables makes its tables and chains under its own names.
fn name_tools(chains: &mut [(TableKey, Chain)]) {
    const TABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];
    const CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    let of_iptables: BTreeSet<TableKey> = chains
        .iter()
        .filter(|(_, chain)| {
            matches!(chain.family, Family::Ip | Family::Ip6)
                && TABLES.contains(&&chain.table[..])
                && CHAINS.contains(&&chain.name[..])
        })
        .map(|(table, _)| table.clone())
        .collect();
    for (table, chain) in chains {
        if of_iptables.contains(table) {
            chain.tool = Tool::Iptables;
        }
    }
}

struct SetKind {
    flags: u32,
    /// Octets of a key.
    width: u32,
}

/// Puts what is in a set in its name's place, if its keys are the field alone.
fn resolve(
    step: &mut Step,
    table: &TableKey,
    sets: &BTreeMap<(TableKey, String), SetKind>,
    socket: &mut Raw,
) -> io::Result<()> {
    let mut read = |field: Field, name: &str| -> io::Result<Option<Vec<(Values, Verdict)>>> {
        match sets.get(&(table.clone(), name.to_owned())) {
            Some(kind) if kind.width == width(field) && kind.width != 0 => elements(
                socket,
                table,
                name,
                field,
                kind.flags & NFT_SET_INTERVAL != 0,
            )
            .map(Some),
            _ => Ok(None),
        }
    };
    match step {
        Step::Test(test) => {
            let Values::Set(name) = &test.values else {
                return Ok(());
            };
            test.values = match read(test.field, name)? {
                Some(elements) => union(elements),
                None => Values::Any,
            };
            if test.values == Values::Any {
                test.field = Field::Unknown;
            }
        }
        Step::Choose(field, choices) => {
            let Some((Values::Set(name), _)) = choices.first() else {
                return Ok(());
            };
            *choices = match read(*field, name)? {
                Some(elements) => elements,
                None => vec![(Values::Any, Verdict::Unknown)],
            };
        }
        _ => {}
    }
    Ok(())
}

fn union(elements: Vec<(Values, Verdict)>) -> Values {
    let (mut numbers, mut names) = (Vec::new(), Vec::new());
    for (values, _) in elements {
        match values {
            Values::Numbers(some) => numbers.extend(some),
            Values::Names(some) => names.extend(some),
            Values::Set(_) | Values::Any => return Values::Any,
        }
    }
    if names.is_empty() {
        Values::Numbers(numbers)
    } else {
        Values::Names(names)
    }
}

/// The elements of a set, and the verdicts if it is a map of those.
fn elements(
    socket: &mut Raw,
    (family, table): &TableKey,
    set: &str,
    field: Field,
    intervals: bool,
) -> io::Result<Vec<(Values, Verdict)>> {
    let mut request = header(*family).to_vec();
    for (kind, name) in [(1, table.as_str()), (2, set)] {
        attribute::put(&mut request, kind, format!("{name}\0").as_bytes());
    }
    let mut found = Vec::new();
    socket.dump(message(GETSETELEM), &request, |message| {
        let list = find(body(message), 3).unwrap_or_default();
        found.extend(attribute::all(list).filter_map(|(_, element)| Element::of(element)));
    })?;
    Ok(if intervals {
        ranges(found, field)
    } else {
        let one = |it: Element| {
            let values = if it.flags & NFT_SET_ELEM_CATCHALL != 0 {
                Some(Values::Any)
            } else {
                values_of(field, &it.key)
            };
            values.map(|values| (values, it.verdict))
        };
        found.into_iter().filter_map(one).collect()
    })
}

struct Element {
    key: Vec<u8>,
    flags: u32,
    verdict: Verdict,
}

impl Element {
    fn of(attributes: &[u8]) -> Option<Self> {
        let key = find(attributes, 1).and_then(|key| find(key, NFTA_DATA_VALUE));
        let flags = number(attributes, 3).unwrap_or(0);
        if key.is_none() && flags & NFT_SET_ELEM_CATCHALL == 0 {
            return None;
        }
        let verdict = find(attributes, 2).and_then(expression::verdict);
        Some(Self {
            key: key.unwrap_or_default().to_vec(),
            flags,
            verdict: verdict.unwrap_or(Verdict::Unknown),
        })
    }

    /// Keys of sets with intervals are in network order, whatever they are.
    fn number(&self) -> Option<u32> {
        match self.key.len() {
            1 => Some(u32::from(self.key[0])),
            2 => attribute::be16(&self.key).map(u32::from),
            _ => be32(&self.key),
        }
    }
}

/// A set with intervals has an element where each begins, and one behind its end.
fn ranges(elements: Vec<Element>, field: Field) -> Vec<(Values, Verdict)> {
    if matches!(field, Field::InName | Field::OutName) {
        return vec![(Values::Any, Verdict::Unknown)];
    }
    let mut ends: Vec<_> = elements
        .into_iter()
        .filter(|it| it.flags & NFT_SET_ELEM_CATCHALL == 0)
        .filter_map(|it| {
            let begins = it.flags & NFT_SET_ELEM_INTERVAL_END == 0;
            Some((it.number()?, begins, it.verdict))
        })
        .collect();
    ends.sort_by_key(|(number, begins, _)| (*number, *begins));
    let mut found = Vec::new();
    let mut open: Option<(u32, Verdict)> = None;
    for (number, begins, verdict) in ends {
        if let Some((from, verdict)) = open.take() {
            let to = number.saturating_sub(1);
            found.push((Values::Numbers(vec![(from, to)]), verdict));
        }
        if begins {
            open = Some((number, verdict));
        }
    }
    if let Some((from, verdict)) = open {
        found.push((Values::Numbers(vec![(from, u32::MAX)]), verdict));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_a_set() {
        let element = |number: u16, end: bool, verdict| Element {
            key: number.to_be_bytes().to_vec(),
            flags: u32::from(end),
            verdict,
        };
        // { 0-79: other, 80-81: accept, 8000-8080: drop, 60000-: other }, as it is dumped.
        let elements = vec![
            element(60000, false, Verdict::Return),
            element(8081, true, Verdict::Unknown),
            element(8000, false, Verdict::Drop),
            element(82, true, Verdict::Unknown),
            element(80, false, Verdict::Accept),
            element(0, true, Verdict::Unknown),
        ];
        let one = |from, to, verdict| (Values::Numbers(vec![(from, to)]), verdict);
        assert_eq!(
            ranges(elements, Field::DestinationPort),
            [
                one(80, 81, Verdict::Accept),
                one(8000, 8080, Verdict::Drop),
                one(60000, u32::MAX, Verdict::Return),
            ]
        );
    }

    #[test]
    fn a_chain_that_an_interface_applies_itself() {
        let mut hook = Vec::new();
        attribute::put(&mut hook, 1, &0u32.to_be_bytes());
        attribute::put(&mut hook, 2, &(-500i32).to_be_bytes());
        attribute::put(&mut hook, 3, b"lan0\0");
        let mut chain = Vec::new();
        attribute::put(&mut chain, 1, b"hw\0");
        attribute::put(&mut chain, 3, b"in\0");
        attribute::put(&mut chain, 4, &hook);
        attribute::put(&mut chain, 5, &1u32.to_be_bytes());
        attribute::put(&mut chain, 10, &3u32.to_be_bytes());
        let (_, chain) = chain_of(5, &chain).unwrap();
        let base = chain.base.unwrap();
        assert_eq!(
            base,
            Base {
                hook: Hook::Ingress,
                priority: -500,
                drops: false,
                translates: false,
                offloaded: true,
                devices: vec!["lan0".to_owned()],
            }
        );
    }
}
