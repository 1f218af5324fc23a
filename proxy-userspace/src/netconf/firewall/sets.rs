//! Sets and maps of nftables: what a test means that names one.

use std::{collections::BTreeMap, io};

use super::{
    Field, Step, Values, Verdict,
    attribute::{self, be32, find, number},
    expression::{self, NFTA_DATA_VALUE, values_of, width},
    nftables::{TableKey, body, header, message},
};
use crate::sys::netlink::Raw;

const GETSETELEM: u16 = 13;

const NFT_SET_INTERVAL: u32 = 4;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
const NFT_SET_ELEM_CATCHALL: u32 = 2;

/// What a set is.
pub(super) struct SetKind {
    pub(super) flags: u32,
    /// Octets of a key.
    pub(super) width: u32,
}

/// Puts what is in a set in its name's place, if its keys are the field alone.
pub(super) fn resolve(
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
}
