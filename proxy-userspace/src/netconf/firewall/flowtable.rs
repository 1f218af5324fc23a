//! Flowtables of nftables.
//!
//! A flow that a rule in a forward chain has put into one (`flow add`) is forwarded from
//! netfilter's ingress hook on, without routing and rules. That hook comes behind TC
//! (`__netif_receive_skb_core`: XDP, taps, TCX, clsact, then `nf_ingress`), so our program has
//! seen the packet before, and only forwarded flows ever get in: ours end on this host. With
//! `flags offload` an interface forwards the flow by itself, and TC does not see its packets.

use super::{
    Family, attribute,
    attribute::{number, text},
};

const NFTA_FLOWTABLE_TABLE: u16 = 1;
const NFTA_FLOWTABLE_NAME: u16 = 2;
const NFTA_FLOWTABLE_HOOK: u16 = 3;
const NFTA_FLOWTABLE_FLAGS: u16 = 7;
const NFTA_FLOWTABLE_HOOK_DEVS: u16 = 3;
const NFT_FLOWTABLE_HW_OFFLOAD: u32 = 1;

/// A flowtable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flowtable {
    /// Of its table.
    pub family: Family,
    /// Its table.
    pub table: String,
    /// Its own name.
    pub name: String,
    /// The interfaces whose packets look into it.
    pub devices: Vec<String>,
    /// Whether interfaces may forward its flows by themselves.
    pub offloaded: bool,
}

impl Flowtable {
    /// From the attributes of a `NFT_MSG_NEWFLOWTABLE`.
    pub(super) fn from_attributes(family: Family, attributes: &[u8]) -> Option<Self> {
        let devices = attribute::find(attributes, NFTA_FLOWTABLE_HOOK)
            .and_then(|hook| attribute::find(hook, NFTA_FLOWTABLE_HOOK_DEVS))
            .unwrap_or_default();
        let flags = number(attributes, NFTA_FLOWTABLE_FLAGS).unwrap_or(0);
        Some(Self {
            family,
            table: text(attributes, NFTA_FLOWTABLE_TABLE)?,
            name: text(attributes, NFTA_FLOWTABLE_NAME)?,
            devices: attribute::all(devices)
                .map(|(_, name)| attribute::string(name))
                .collect(),
            offloaded: flags & NFT_FLOWTABLE_HW_OFFLOAD != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::attribute::put, *};

    /// As `nf_tables_fill_flowtable_info` writes it.
    fn message(flags: u32) -> Vec<u8> {
        let (mut devices, mut hook, mut all) = (Vec::new(), Vec::new(), Vec::new());
        put(&mut devices, 1, b"lan0\0");
        put(&mut devices, 1, b"wan0\0");
        put(&mut hook, 1, &0u32.to_be_bytes());
        put(&mut hook, 2, &0u32.to_be_bytes());
        put(&mut hook, NFTA_FLOWTABLE_HOOK_DEVS | 0x8000, &devices);
        put(&mut all, NFTA_FLOWTABLE_TABLE, b"fw4\0");
        put(&mut all, NFTA_FLOWTABLE_NAME, b"ft\0");
        put(&mut all, 4, &1u32.to_be_bytes());
        put(&mut all, 5, &7u64.to_be_bytes());
        put(&mut all, NFTA_FLOWTABLE_FLAGS, &flags.to_be_bytes());
        put(&mut all, NFTA_FLOWTABLE_HOOK | 0x8000, &hook);
        all
    }

    #[test]
    fn devices_and_whether_they_do_it_themselves() {
        for (flags, offloaded) in [(0, false), (1, true), (2, false), (3, true)] {
            let flowtable = Flowtable::from_attributes(Family::Inet, &message(flags)).unwrap();
            assert_eq!(
                flowtable,
                Flowtable {
                    family: Family::Inet,
                    table: "fw4".to_owned(),
                    name: "ft".to_owned(),
                    devices: vec!["lan0".to_owned(), "wan0".to_owned()],
                    offloaded,
                }
            );
        }
    }

    #[test]
    fn what_is_cut_off_is_no_panic() {
        let whole = message(1);
        for length in 0..whole.len() {
            let _ = Flowtable::from_attributes(Family::Inet, &whole[..length]);
        }
    }
}
