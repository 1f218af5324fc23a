//! What rules do to a packet: the chains of a hook in their order, rule by rule.

use super::{
    Base, Chain, Field, Hook, NewMark, Rule, Ruleset, Step, Taking, Test, Values, Verdict,
};

/// More rules than this for one packet, and it is left undecided: chains may jump to each other
/// so that there is no end in sight.
const MAX_RULES: u32 = 100_000;

/// As the kernel has it (`NFT_JUMP_STACK_SIZE`).
const MAX_DEPTH: u32 = 16;

/// A number of which not every bit is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// The bits; unknown ones are 0.
    pub value: u32,
    /// Which are known.
    pub known: u32,
}

/// A packet, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// 4 or 6.
    pub version: u8,
    /// Name and index of the interface that it came in by.
    pub input: Option<(&'a str, u32)>,
    /// Those of the one by which it leaves.
    pub output: Option<(&'a str, u32)>,
    /// Host order, both ends included, if it is known.
    pub source_port: Option<(u16, u16)>,
    /// Host order, both ends included, if it is known.
    pub destination_port: Option<(u16, u16)>,
    /// `skb->mark`.
    pub mark: Bits,
    /// Whether it begins a connection (new), or belongs to one (established).
    pub is_new: bool,
    /// Whether connection tracking cannot place it.
    pub is_invalid: bool,
}

/// Something that happens to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect<'a> {
    /// What.
    pub what: What,
    /// Whether it surely does: nothing that cannot be told has to hold for it.
    pub surely: bool,
    /// Where.
    pub chain: &'a Chain,
    /// By which of its rules; `None` for its policy.
    pub rule: Option<&'a Rule>,
}

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// It is dropped.
    Dropped,
    /// It is refused, and its sender told.
    Rejected,
    /// It goes elsewhere.
    Taken(Taking),
    /// It loses the bit that was asked about.
    Unmarked,
    /// A program decides (`queue`).
    Queued,
}

/// What the chains at `hook` do to a packet, in that order; `bit` is the one of its mark that
/// should stay. Ends where it is surely gone.
#[must_use]
pub fn walk<'a>(
    ruleset: &'a Ruleset,
    hook: Hook,
    packet: &Packet<'_>,
    bit: u32,
) -> Vec<Effect<'a>> {
    let mut bases: Vec<(&Chain, &Base)> = ruleset
        .chains
        .iter()
        .filter(|chain| chain.family.sees(packet.version))
        .filter_map(|chain| Some((chain, chain.base.as_ref()?)))
        .filter(|(_, base)| base.hook == hook)
        .collect();
    bases.sort_by_key(|(_, base)| base.priority);
    let mut walker = Walker {
        ruleset,
        packet: packet.clone(),
        bit,
        doubt: false,
        maybe: false,
        effects: Vec::new(),
        rules: 0,
    };
    for (chain, base) in bases {
        if base.translates && !packet.is_new {
            continue;
        }
        walker.doubt = false;
        let outcome = walker.through(chain, 0);
        if outcome.goes_on && base.drops {
            walker.doubt = outcome.accepts;
            walker.maybe = false;
            walker.effect(What::Dropped, chain, None);
        }
        let drops = !outcome.goes_on || base.drops;
        if drops && !outcome.accepts {
            break;
        }
    }
    walker.effects
}

struct Walker<'a, 'p> {
    ruleset: &'a Ruleset,
    packet: Packet<'p>,
    bit: u32,
    /// Whether something that cannot be told has to hold for the packet to come to this rule.
    doubt: bool,
    /// Whether something that cannot be told has to hold for this rule to be about it.
    maybe: bool,
    effects: Vec<Effect<'a>>,
    rules: u32,
}

/// What becomes of packets that go through a chain. Neither: all are dropped.
struct Outcome {
    /// Some may come to its end.
    goes_on: bool,
    /// Some may be accepted.
    accepts: bool,
}

/// Three values: holds, does not, cannot be told (`None`).
type Holds = Option<bool>;

impl<'a> Walker<'a, '_> {
    fn effect(&mut self, what: What, chain: &'a Chain, rule: Option<&'a Rule>) {
        self.effects.push(Effect {
            what,
            surely: !self.doubt && !self.maybe,
            chain,
            rule,
        });
    }

    fn through(&mut self, chain: &'a Chain, depth: u32) -> Outcome {
        let mut accepts = false;
        for rule in &chain.rules {
            self.rules += 1;
            if self.rules > MAX_RULES || depth > MAX_DEPTH {
                accepts = true;
                break;
            }
            self.maybe = false;
            let decided = self.rule(chain, rule, depth);
            let surely = !self.maybe;
            let (out, goes_on, leaves) = match decided {
                None => continue,
                Some(Decided::Accepted) => (true, false, false),
                Some(Decided::Gone) => (false, false, false),
                Some(Decided::Returned) => (false, true, true),
                Some(Decided::Jumped(outcome, leaves)) => {
                    (outcome.accepts, outcome.goes_on, leaves)
                }
            };
            accepts |= out;
            if surely && !goes_on {
                return Outcome { goes_on, accepts };
            }
            if surely && leaves {
                break;
            }
            // Some may be through, or back, and not come to the rules behind. What is perhaps
            // dropped comes there only if it is not.
            self.doubt |= out || leaves;
        }
        Outcome {
            goes_on: true,
            accepts,
        }
    }

    /// What a rule decides; `self.maybe` tells whether it perhaps does not.
    fn rule(&mut self, chain: &'a Chain, rule: &'a Rule, depth: u32) -> Option<Decided> {
        for step in &rule.steps {
            match step {
                Step::Test(test) => match self.holds(test) {
                    Some(true) => {}
                    Some(false) => return None,
                    None => self.maybe = true,
                },
                Step::Choose(field, choices) => {
                    for (values, verdict) in choices {
                        match self.is_in(*field, u32::MAX, values) {
                            Some(false) => continue,
                            Some(true) => {}
                            None => self.maybe = true,
                        }
                        return self.verdict(verdict, chain, rule, depth);
                    }
                }
                Step::Verdict(verdict) => return self.verdict(verdict, chain, rule, depth),
                Step::Mark(mark) => self.set_mark(*mark, chain, rule),
                Step::Broute => {}
                // The packet is accepted with it; what comes behind does not matter to it. Later ones
                // of a connection are for its socket (`nf_tproxy_get_sock_v4`), or as the first was.
                Step::Take(taking) => {
                    if self.packet.is_new {
                        self.effect(What::Taken(*taking), chain, Some(rule));
                    }
                    return Some(Decided::Accepted);
                }
            }
        }
        None
    }

    fn verdict(
        &mut self,
        verdict: &Verdict,
        chain: &'a Chain,
        rule: &'a Rule,
        depth: u32,
    ) -> Option<Decided> {
        match verdict {
            Verdict::Accept => Some(Decided::Accepted),
            Verdict::Return => Some(Decided::Returned),
            Verdict::Drop | Verdict::Reject => {
                let what = if *verdict == Verdict::Drop {
                    What::Dropped
                } else {
                    What::Rejected
                };
                self.effect(what, chain, Some(rule));
                Some(Decided::Gone)
            }
            Verdict::Queue => {
                self.effect(What::Queued, chain, Some(rule));
                self.maybe = true;
                Some(Decided::Accepted)
            }
            Verdict::Unknown => {
                self.maybe = true;
                Some(Decided::Accepted)
            }
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let to = self.ruleset.chains.iter().find(|it| {
                    (it.tool, it.family) == (chain.tool, chain.family)
                        && it.table == chain.table
                        && it.name == *name
                })?;
                let before = (self.doubt, self.maybe);
                self.doubt |= self.maybe;
                let outcome = self.through(to, depth + 1);
                (self.doubt, self.maybe) = before;
                let leaves = matches!(verdict, Verdict::Goto(_));
                Some(Decided::Jumped(outcome, leaves))
            }
        }
    }

    fn set_mark(&mut self, new: NewMark, chain: &'a Chain, rule: &'a Rule) {
        let old = self.packet.mark;
        let had = old.value & self.bit != 0;
        let value = (old.value & new.keep) ^ (new.value & !new.unknown);
        let known = !new.unknown & (old.known | !new.keep);
        if had && value & self.bit == 0 {
            self.effect(What::Unmarked, chain, Some(rule));
        } else if !self.doubt && !self.maybe {
            // Goes on as the one that most packets have: with the bit, if it is asked about.
            self.packet.mark = Bits {
                value: value & known,
                known,
            };
        }
    }

    fn holds(&self, test: &Test) -> Holds {
        let holds = self.is_in(test.field, test.mask, &test.values)?;
        Some(holds != test.not)
    }

    fn is_in(&self, field: Field, mask: u32, values: &Values) -> Holds {
        let packet = &self.packet;
        let number = match field {
            Field::InName => return named(packet.input, values),
            Field::OutName => return named(packet.output, values),
            Field::InIndex => known(packet.input.map_or(0, |(_, index)| index)),
            Field::OutIndex => known(packet.output.map_or(0, |(_, index)| index)),
            Field::Version => known(u32::from(packet.version)),
            Field::Protocol => known(libc::IPPROTO_TCP.cast_unsigned()),
            Field::SourcePort => return within(packet.source_port?, mask, values),
            Field::DestinationPort => return within(packet.destination_port?, mask, values),
            Field::Mark => packet.mark,
            Field::State => known(match (packet.is_invalid, packet.is_new) {
                (true, _) => 1,
                (_, true) => 8,
                _ => 2,
            }),
            Field::Unknown => return None,
        };
        match values {
            Values::Numbers(ranges) if number.known & mask == mask => {
                let value = number.value & mask;
                Some(
                    ranges
                        .iter()
                        .any(|(from, to)| (*from..=*to).contains(&value)),
                )
            }
            Values::Numbers(_) | Values::Names(_) | Values::Set(_) => None,
            Values::Any => Some(true),
        }
    }
}

enum Decided {
    Gone,
    Accepted,
    Returned,
    /// Through another chain, and whether it is not back from there (`goto`).
    Jumped(Outcome, bool),
}

const fn known(value: u32) -> Bits {
    let known = u32::MAX;
    Bits { value, known }
}

/// Whether all ports of a range are among the values, or none is.
fn within((from, to): (u16, u16), mask: u32, values: &Values) -> Holds {
    let Values::Numbers(ranges) = values else {
        return (*values == Values::Any).then_some(true);
    };
    let (from, to) = (u32::from(from), u32::from(to));
    if mask & 0xffff != 0xffff {
        return None;
    }
    if ranges
        .iter()
        .any(|(first, last)| *first <= from && to <= *last)
    {
        return Some(true);
    }
    let apart = ranges
        .iter()
        .all(|(first, last)| *last < from || to < *first);
    apart.then_some(false)
}

fn named(interface: Option<(&str, u32)>, values: &Values) -> Holds {
    // Nothing has the name of no interface.
    let name = interface.map_or("", |(name, _)| name);
    match values {
        Values::Names(names) => Some(names.iter().any(|(it, prefix)| {
            if *prefix {
                name.starts_with(it.as_str())
            } else {
                name == it
            }
        })),
        Values::Any => Some(true),
        Values::Numbers(_) | Values::Set(_) => None,
    }
}
