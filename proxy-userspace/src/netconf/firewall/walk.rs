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
    /// Host order, if it is known.
    pub source_port: Option<u16>,
    /// Host order, if it is known.
    pub destination_port: Option<u16>,
    /// `skb->mark`.
    pub mark: Bits,
    /// Whether it begins a connection (new), or belongs to one (established).
    pub is_new: bool,
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
        effects: Vec::new(),
        rules: 0,
    };
    for (chain, base) in bases {
        if base.translates && !packet.is_new {
            continue;
        }
        walker.doubt = false;
        match walker.through(chain, 0) {
            Outcome::Gone => break,
            Outcome::End { perhaps_accepted } if base.drops => {
                walker.doubt = perhaps_accepted;
                walker.effect(What::Dropped, chain, None);
                if !perhaps_accepted {
                    break;
                }
            }
            Outcome::Accepted | Outcome::End { .. } => {}
        }
    }
    walker.effects
}

struct Walker<'a, 'p> {
    ruleset: &'a Ruleset,
    packet: Packet<'p>,
    bit: u32,
    /// Whether something that cannot be told has to hold for the packet to come here.
    doubt: bool,
    effects: Vec<Effect<'a>>,
    rules: u32,
}

enum Outcome {
    /// Dropped, surely.
    Gone,
    /// Accepted by this hook's chain, surely.
    Accepted,
    /// It came to the end, as far as it can be told.
    End { perhaps_accepted: bool },
}

/// Three values: holds, does not, cannot be told (`None`).
type Holds = Option<bool>;

impl<'a> Walker<'a, '_> {
    /// Whether it surely happens.
    fn effect(&mut self, what: What, chain: &'a Chain, rule: Option<&'a Rule>) -> bool {
        let surely = !self.doubt;
        self.effects.push(Effect {
            what,
            surely,
            chain,
            rule,
        });
        surely
    }

    fn through(&mut self, chain: &'a Chain, depth: u32) -> Outcome {
        let mut perhaps_accepted = false;
        for rule in &chain.rules {
            self.rules += 1;
            if self.rules > MAX_RULES || depth > MAX_DEPTH {
                perhaps_accepted = true;
                break;
            }
            let before = self.doubt;
            match self.rule(chain, rule, depth) {
                Some(Decided::Gone) if !self.doubt => return Outcome::Gone,
                Some(Decided::Accepted) if !self.doubt => return Outcome::Accepted,
                Some(Decided::Returned) if !self.doubt => break,
                // Perhaps it is through, and perhaps it comes to the rules behind.
                Some(Decided::Accepted) => perhaps_accepted = true,
                Some(Decided::Returned) => {}
                // What is perhaps dropped comes to the rules behind only if it is not.
                Some(Decided::Gone) | None => self.doubt = before,
            }
        }
        Outcome::End { perhaps_accepted }
    }

    /// What a rule decides; `self.doubt` tells whether it surely does.
    fn rule(&mut self, chain: &'a Chain, rule: &'a Rule, depth: u32) -> Option<Decided> {
        for step in &rule.steps {
            match step {
                Step::Test(test) => match self.holds(test) {
                    Some(true) => {}
                    Some(false) => return None,
                    None => self.doubt = true,
                },
                Step::Choose(field, choices) => {
                    for (values, verdict) in choices {
                        match self.is_in(*field, u32::MAX, values) {
                            Some(false) => continue,
                            Some(true) => {}
                            None => self.doubt = true,
                        }
                        let doubt = self.doubt;
                        let decided = self.verdict(verdict, chain, rule, depth);
                        if !doubt || decided.is_some() {
                            return decided;
                        }
                    }
                }
                Step::Verdict(verdict) => return self.verdict(verdict, chain, rule, depth),
                Step::Mark(mark) => self.set_mark(*mark, chain, rule),
                // The packet is accepted with it; what comes behind does not matter to it.
                Step::Take(taking) => {
                    self.effect(What::Taken(*taking), chain, Some(rule));
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
                self.doubt = true;
                Some(Decided::Accepted)
            }
            Verdict::Unknown => {
                self.doubt = true;
                Some(Decided::Accepted)
            }
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let to = self.ruleset.chains.iter().find(|it| {
                    (it.tool, it.family) == (chain.tool, chain.family)
                        && it.table == chain.table
                        && it.name == *name
                })?;
                let doubt = self.doubt;
                let outcome = self.through(to, depth + 1);
                self.doubt = doubt;
                match outcome {
                    Outcome::Gone => Some(Decided::Gone),
                    Outcome::Accepted => Some(Decided::Accepted),
                    Outcome::End { perhaps_accepted } if perhaps_accepted => {
                        self.doubt = true;
                        Some(Decided::Accepted)
                    }
                    Outcome::End { .. } if matches!(verdict, Verdict::Goto(_)) => {
                        Some(Decided::Returned)
                    }
                    Outcome::End { .. } => None,
                }
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
        } else if !self.doubt {
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
            Field::SourcePort => known(u32::from(packet.source_port?)),
            Field::DestinationPort => known(u32::from(packet.destination_port?)),
            Field::Mark => packet.mark,
            Field::State => known(if packet.is_new { 8 } else { 2 }),
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
}

const fn known(value: u32) -> Bits {
    let known = u32::MAX;
    Bits { value, known }
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
