//! Reading nftables' rules from the kernel (nfnetlink, subsystem `NFNL_SUBSYS_NFTABLES`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use nix::sys::socket::SockProtocol;

use super::{
    Base, Chain, Family, Flowtable, Hook, Rule, Ruleset, Tool,
    attribute::{self, find, number, text},
    broute, expression,
    sets::{SetKind, resolve},
};
use crate::sys::netlink::Raw;

const NFNL_SUBSYS_NFTABLES: u16 = 10;
const GETTABLE: u16 = 1;
const GETCHAIN: u16 = 4;
const GETRULE: u16 = 7;
const GETSET: u16 = 10;
const GETGEN: u16 = 16;
const GETFLOWTABLE: u16 = 23;

const NFT_TABLE_F_DORMANT: u32 = 1;
const NFT_CHAIN_HW_OFFLOAD: u32 = 2;

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

pub(super) const fn message(kind: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | kind
}

/// `struct nfgenmsg`: family, version, resource.
pub(super) const fn header(family: u8) -> [u8; 4] {
    [family, 0, 0, 0]
}

pub(super) fn body(message: &[u8]) -> &[u8] {
    message.get(4..).unwrap_or_default()
}

/// Family number and name of a table.
pub(super) type TableKey = (u8, String);

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
        7 => Family::Bridge,
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
        .filter(|(_, chain)| match chain.family {
            Family::Ip | Family::Ip6 => {
                TABLES.contains(&&chain.table[..]) && CHAINS.contains(&&chain.name[..])
            }
            Family::Bridge => chain.table == broute::TABLE && chain.name == broute::CHAIN,
            _ => false,
        })
        .map(|(table, _)| table.clone())
        .collect();
    for (table, chain) in chains {
        if of_iptables.contains(table) {
            chain.tool = Tool::Iptables;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
