//! Matches and targets of iptables within rules of nftables (`iptables-nft`): structs as bytes.
//!
//! `include/uapi/linux/netfilter/xt_*.h`, on every architecture in host order but for ports.

use super::{
    Field, NewMark, Step, Taking, Test, Values, Verdict,
    attribute::{find, ne16, ne32, number, text},
};

const NAME: u16 = 1;
const REVISION: u16 = 2;
const INFO: u16 = 3;

pub(super) fn matches(data: &[u8]) -> Vec<Step> {
    let info = find(data, INFO).unwrap_or_default();
    let name = text(data, NAME).unwrap_or_default();
    let tests = match (&name[..], number(data, REVISION).unwrap_or(0)) {
        ("comment", _) => Some(Vec::new()),
        ("tcp", 0) => tcp(info),
        ("multiport", 1) => multiport(info),
        ("conntrack", 2 | 3) => conntrack(info),
        ("mark", 1) => mark_match(info),
        _ => None,
    };
    let tests = tests.unwrap_or_else(|| vec![Test::unknown()]);
    tests.into_iter().map(Step::Test).collect()
}

pub(super) fn target(data: &[u8]) -> Vec<Step> {
    let info = find(data, INFO).unwrap_or_default();
    let name = text(data, NAME).unwrap_or_default();
    match &name[..] {
        "REJECT" => vec![Step::Verdict(Verdict::Reject)],
        "NFQUEUE" | "SYNPROXY" => vec![Step::Verdict(Verdict::Queue)],
        "TPROXY" => vec![Step::Take(Taking::Tproxy)],
        "REDIRECT" => vec![Step::Take(Taking::Redirect)],
        "DNAT" => vec![Step::Take(Taking::Dnat)],
        "MARK" => {
            let (value, mask) = (ne32(info), info.get(4..).and_then(ne32));
            let (value, mask) = (value.unwrap_or(0), mask.unwrap_or(u32::MAX));
            vec![Step::Mark(NewMark {
                keep: !mask,
                value,
                unknown: 0,
            })]
        }
        "CONNMARK" => {
            let new = connmark(info, number(data, REVISION).unwrap_or(1));
            new.map(Step::Mark).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// `struct xt_tcp`: source and destination ports in host order, options, flags, what is inverted.
fn tcp(info: &[u8]) -> Option<Vec<Test>> {
    let port = |at: usize| info.get(at..).and_then(ne16).map(u32::from);
    let (source, destination) = ((port(0)?, port(2)?), (port(4)?, port(6)?));
    let (option, flag_mask, inverted) = (*info.get(8)?, *info.get(9)?, *info.get(11)?);
    let of = |field, range, bit: u8| Test {
        field,
        mask: u32::MAX,
        values: Values::Numbers(vec![range]),
        not: inverted & bit != 0,
    };
    let mut tests = vec![
        of(Field::SourcePort, source, 1),
        of(Field::DestinationPort, destination, 2),
    ];
    if option != 0 || flag_mask != 0 {
        tests.push(Test::unknown());
    }
    Some(tests)
}

/// `struct xt_multiport_v1`: which, how many, 15 ports in host order, which begin a range, not.
fn multiport(info: &[u8]) -> Option<Vec<Test>> {
    let field = match *info.first()? {
        0 => Field::SourcePort,
        1 => Field::DestinationPort,
        _ => return None,
    };
    let count = usize::from(*info.get(1)?).min(15);
    let mut ranges = Vec::new();
    let mut from = None;
    for place in 0..count {
        let port = u32::from(info.get(2 + 2 * place..).and_then(ne16)?);
        if *info.get(32 + place)? != 0 {
            from = Some(port);
        } else {
            ranges.push((from.take().unwrap_or(port), port));
        }
    }
    Some(vec![Test {
        field,
        mask: u32::MAX,
        values: Values::Numbers(ranges),
        not: *info.get(47)? != 0,
    }])
}

/// `struct xt_conntrack_mtinfo3`, if it is about the state alone.
fn conntrack(info: &[u8]) -> Option<Vec<Test>> {
    const XT_CONNTRACK_STATE: u16 = 1;
    /// Written as `-m state`.
    const XT_CONNTRACK_STATE_ALIAS: u16 = 1 << 13;
    let word = |at: usize| info.get(at..).and_then(ne16);
    if word(146)? & !XT_CONNTRACK_STATE_ALIAS != XT_CONNTRACK_STATE {
        return None;
    }
    Some(vec![state(
        word(150)?,
        word(148)? & XT_CONNTRACK_STATE != 0,
    )])
}

/// One of the states in `bits`, of which iptables has untracked in another place.
pub(super) fn state(bits: u16, not: bool) -> Test {
    let untracked = if bits & 1 << 8 == 0 { 0 } else { 64 };
    Test {
        field: Field::State,
        mask: u32::from(bits & 0xf) | untracked,
        values: Values::Numbers(vec![(0, 0)]),
        not: !not,
    }
}

/// `struct xt_mark_mtinfo1`.
fn mark_match(info: &[u8]) -> Option<Vec<Test>> {
    let (value, mask) = (ne32(info)?, ne32(info.get(4..)?)?);
    Some(vec![Test {
        field: Field::Mark,
        mask,
        values: Values::Numbers(vec![(value, value)]),
        not: *info.get(8)? != 0,
    }])
}

/// `struct xt_connmark_tginfo1` and `2`, if it is for the packet's mark (`--restore-mark`).
fn connmark(info: &[u8], revision: u32) -> Option<NewMark> {
    const XT_CONNMARK_RESTORE: u8 = 2;
    let word = |at: usize| info.get(at..).and_then(ne32);
    // The second has how far to shift in front of it.
    let mode = *info.get(if revision < 2 { 12 } else { 14 })?;
    (mode == XT_CONNMARK_RESTORE).then_some(NewMark {
        keep: !word(8)?,
        value: 0,
        unknown: word(4)?,
    })
}
