//! The expressions of a rule of nftables, as steps.
//!
//! A rule is a program: expressions load something into a register, change it there, compare it,
//! or use it. Each register is followed as what it stands for, not as a value.
//! `include/uapi/linux/netfilter/nf_tables.h`.

use std::collections::BTreeMap;

use super::{
    Field, NewMark, Step, Taking, Test, Values, Verdict,
    attribute::{self, be16, be32, find, ne32, number, text},
    xtables,
};

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
pub(super) const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;

/// What a register stands for: `(source & mask) ^ xor`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    source: Source,
    mask: u32,
    xor: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Field(Field),
    Constant(u32),
    /// Something that no packet of ours is told by.
    Elsewhere,
}

/// The steps of the expressions in a `NFTA_RULE_EXPRESSIONS`.
pub(super) fn steps(list: &[u8]) -> Vec<Step> {
    let mut registers = Registers::default();
    let mut steps = Vec::new();
    for (kind, expression) in attribute::all(list) {
        if kind != NFTA_LIST_ELEM {
            continue;
        }
        let name = text(expression, NFTA_EXPR_NAME).unwrap_or_default();
        let data = find(expression, NFTA_EXPR_DATA).unwrap_or_default();
        steps.extend(registers.follow(&name, data));
    }
    steps
}

/// A verdict of a `NFTA_DATA_VERDICT`.
pub(super) fn verdict(data: &[u8]) -> Option<Verdict> {
    let verdict = find(data, NFTA_DATA_VERDICT)?;
    let chain = || text(verdict, 2).unwrap_or_default();
    Some(match number(verdict, 1)?.cast_signed() {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        -3 => Verdict::Jump(chain()),
        -4 => Verdict::Goto(chain()),
        -5 => Verdict::Return,
        _ => Verdict::Unknown,
    })
}

/// By number of its first four octets.
#[derive(Default)]
struct Registers(BTreeMap<u32, Word>);

impl Registers {
    /// The names of `NFT_REG_1` to `4`, of 16 octets, and of `NFT_REG32_00` on, of four.
    fn number(data: &[u8], kind: u16) -> Option<u32> {
        Some(match number(data, kind)? {
            register @ 1..=4 => (register - 1) * 4,
            register => register.checked_sub(8)?,
        })
    }

    fn load(&mut self, register: Option<u32>, source: Source) -> Vec<Step> {
        if let Some(register) = register {
            let (mask, xor) = (u32::MAX, 0);
            self.0.insert(register, Word { source, mask, xor });
        }
        Vec::new()
    }

    fn get(&self, register: Option<u32>) -> Word {
        let known = register.and_then(|register| self.0.get(&register));
        known.cloned().unwrap_or(Word {
            source: Source::Elsewhere,
            mask: u32::MAX,
            xor: 0,
        })
    }

    fn follow(&mut self, name: &str, data: &[u8]) -> Vec<Step> {
        let register = |kind| Self::number(data, kind);
        match name {
            "meta" => match register(3) {
                Some(source) => self.set_meta(number(data, 2), Some(source)),
                None => self.load(register(1), meta(number(data, 2))),
            },
            "ct" if register(1).is_some() => self.load(register(1), ct(number(data, 2))),
            "payload" if register(1).is_some() => self.load(register(1), payload(data)),
            "immediate" => self.immediate(data),
            "bitwise" => self.bitwise(data),
            // Ports are compared as they are in the packet.
            "byteorder" => {
                let word = self.get(register(1));
                self.load(register(2), word.source)
            }
            "cmp" => vec![Step::Test(self.compare(data))],
            "range" => vec![Step::Test(self.range(data))],
            "lookup" => self.lookup(data),
            "reject" => vec![Step::Verdict(Verdict::Reject)],
            "queue" | "synproxy" => vec![Step::Verdict(Verdict::Queue)],
            "tproxy" => vec![Step::Take(Taking::Tproxy)],
            "redir" => vec![Step::Take(Taking::Redirect)],
            "nat" if number(data, 1) == Some(1) => vec![Step::Take(Taking::Dnat)],
            "match" => xtables::matches(data),
            "target" => xtables::target(data),
            // What only counts, tells or keeps, and translation of sources.
            "counter" | "log" | "last" | "notrack" | "nat" | "masq" | "ct" | "payload" | "dup"
            | "flow_offload" | "objref" | "dynset" => Vec::new(),
            // What else loads something.
            "rt" | "socket" | "fib" | "numgen" | "hash" | "osf" | "xfrm" | "tunnel" | "exthdr"
            | "inner" => Vec::new(),
            _ => vec![Step::Test(Test::unknown())],
        }
    }

    fn set_meta(&self, key: Option<u32>, register: Option<u32>) -> Vec<Step> {
        const NFT_META_MARK: u32 = 3;
        const NFT_META_BRI_BROUTE: u32 = 35;
        match key {
            Some(NFT_META_MARK) => {}
            Some(NFT_META_BRI_BROUTE) => return vec![Step::Broute],
            _ => return Vec::new(),
        }
        let Word { source, mask, xor } = self.get(register);
        vec![Step::Mark(match source {
            Source::Field(Field::Mark) => NewMark {
                keep: mask,
                value: xor,
                unknown: 0,
            },
            Source::Constant(value) => NewMark {
                keep: 0,
                value: value & mask ^ xor,
                unknown: 0,
            },
            _ => NewMark {
                keep: 0,
                value: xor,
                unknown: mask,
            },
        })]
    }

    fn immediate(&mut self, data: &[u8]) -> Vec<Step> {
        let value = find(data, 2).unwrap_or_default();
        if let Some(verdict) = verdict(value) {
            return vec![Step::Verdict(verdict)];
        }
        let constant = find(value, NFTA_DATA_VALUE).and_then(ne32);
        let source = constant.map_or(Source::Elsewhere, Source::Constant);
        self.load(Self::number(data, 1), source)
    }

    fn bitwise(&mut self, data: &[u8]) -> Vec<Step> {
        let mut word = self.get(Self::number(data, 1));
        let value = |kind| find(data, kind).and_then(|data| find(data, NFTA_DATA_VALUE));
        let plain = number(data, 6).unwrap_or(0) == 0 && number(data, 3) == Some(4);
        match (value(4).and_then(ne32), value(5).and_then(ne32)) {
            (Some(mask), Some(xor)) if plain => {
                word.xor = word.xor & mask ^ xor;
                word.mask &= mask;
            }
            _ => {
                word = Word {
                    source: Source::Elsewhere,
                    mask: u32::MAX,
                    xor: 0,
                }
            }
        }
        if let Some(register) = Self::number(data, 2) {
            self.0.insert(register, word);
        }
        Vec::new()
    }

    fn compare(&self, data: &[u8]) -> Test {
        let word = self.get(Self::number(data, 1));
        let value = find(data, 3).and_then(|data| find(data, NFTA_DATA_VALUE));
        let (Source::Field(field), Some(value), Some(operator)) =
            (&word.source, value, number(data, 2))
        else {
            return Test::unknown();
        };
        let values = match (operator, values_of(*field, value)) {
            (0 | 1, Some(Values::Numbers(numbers))) => Values::Numbers(
                numbers
                    .iter()
                    .map(|(a, b)| (a ^ word.xor, b ^ word.xor))
                    .collect(),
            ),
            (0 | 1, Some(names)) => names,
            (2..=5, Some(Values::Numbers(numbers))) if word.xor == 0 => {
                match between(operator, numbers[0].0) {
                    Some(range) => Values::Numbers(vec![range]),
                    None => return Test::unknown(),
                }
            }
            _ => return Test::unknown(),
        };
        Test {
            field: *field,
            mask: word.mask,
            values,
            not: operator == 1,
        }
    }

    fn range(&self, data: &[u8]) -> Test {
        let word = self.get(Self::number(data, 1));
        let value = |kind| find(data, kind).and_then(|data| find(data, NFTA_DATA_VALUE));
        let (Source::Field(field), Some(from), Some(to)) = (&word.source, value(3), value(4))
        else {
            return Test::unknown();
        };
        match (values_of(*field, from), values_of(*field, to)) {
            (Some(Values::Numbers(from)), Some(Values::Numbers(to))) if word.xor == 0 => Test {
                field: *field,
                mask: word.mask,
                values: Values::Numbers(vec![(from[0].0, to[0].1)]),
                not: number(data, 2) == Some(1),
            },
            _ => Test::unknown(),
        }
    }

    fn lookup(&mut self, data: &[u8]) -> Vec<Step> {
        let word = self.get(Self::number(data, 2));
        let set = text(data, 1).unwrap_or_default();
        let field = match word.source {
            Source::Field(field) if word.xor == 0 => field,
            _ => Field::Unknown,
        };
        match number(data, 3) {
            // A verdict is what is looked up: a set of its own, resolved later.
            Some(0) => vec![Step::Choose(
                field,
                vec![(Values::Set(set), Verdict::Unknown)],
            )],
            Some(_) => {
                let mapped = self.load(Self::number(data, 3), Source::Elsewhere);
                let mut found = vec![Step::Test(Test::unknown())];
                found.extend(mapped);
                found
            }
            None => vec![Step::Test(Test {
                field,
                mask: word.mask,
                values: Values::Set(set),
                not: number(data, 5) == Some(1),
            })],
        }
    }
}

/// What a comparison other than for equality admits.
fn between(operator: u32, value: u32) -> Option<(u32, u32)> {
    Some(match operator {
        2 => (0, value.checked_sub(1)?),
        3 => (0, value),
        4 => (value.checked_add(1)?, u32::MAX),
        _ => (value, u32::MAX),
    })
}

/// A value as it is in a register, as one of the field.
pub(super) fn values_of(field: Field, value: &[u8]) -> Option<Values> {
    let number = match field {
        // Of the packet, so in network order.
        Field::SourcePort | Field::DestinationPort => u32::from(be16(value)?),
        Field::Protocol => u32::from(*value.first()?),
        // `NFPROTO_IPV4`, `NFPROTO_IPV6`, or what the EtherType says.
        Field::Version => match *value {
            [2] | [8, 0] => 4,
            [10] | [0x86, 0xdd] => 6,
            _ => 0,
        },
        Field::Mark | Field::State | Field::InIndex | Field::OutIndex => ne32(value)?,
        Field::InName | Field::OutName => {
            // Compared as far as it goes: without the NUL behind it, a beginning.
            let prefix = !value.contains(&0) && value.len() < 16;
            return Some(Values::Names(vec![(attribute::string(value), prefix)]));
        }
        Field::Unknown => return None,
    };
    Some(Values::Numbers(vec![(number, number)]))
}

/// How many octets a field has in a set's keys.
pub(super) const fn width(field: Field) -> u32 {
    match field {
        Field::SourcePort | Field::DestinationPort => 2,
        Field::Protocol => 1,
        Field::Mark | Field::State | Field::InIndex | Field::OutIndex => 4,
        Field::InName | Field::OutName => 16,
        Field::Version | Field::Unknown => 0,
    }
}

fn meta(key: Option<u32>) -> Source {
    Source::Field(match key {
        Some(1 | 15) => Field::Version,
        Some(3) => Field::Mark,
        Some(4) => Field::InIndex,
        Some(5) => Field::OutIndex,
        Some(6) => Field::InName,
        Some(7) => Field::OutName,
        Some(16) => Field::Protocol,
        _ => return Source::Elsewhere,
    })
}

fn ct(key: Option<u32>) -> Source {
    match key {
        Some(0) => Source::Field(Field::State),
        _ => Source::Elsewhere,
    }
}

fn payload(data: &[u8]) -> Source {
    let at = |kind| find(data, kind).and_then(be32);
    Source::Field(match (at(2), at(3), at(4)) {
        (Some(2), Some(0), Some(2)) => Field::SourcePort,
        (Some(2), Some(2), Some(2)) => Field::DestinationPort,
        // The protocol of an IPv4 header; of an IPv6 one it is the first next header.
        (Some(1), Some(9), Some(1)) | (Some(1), Some(6), Some(1)) => Field::Protocol,
        _ => return Source::Elsewhere,
    })
}
