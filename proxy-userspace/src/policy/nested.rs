//! A sorted list of sets that are nested or apart, as prefixes are: those around a point are found
//! with one binary search and by going outwards from there.

/// Sets in an order in which each comes behind those that it is within.
#[derive(Debug)]
pub(super) struct Nested<S> {
    sets: Box<[S]>,
    /// The set that one is directly within, and its number.
    links: Box<[Link]>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    /// [`NONE`] if it is within none.
    outer: u32,
    number: u32,
}

const NONE: u32 = u32::MAX;

impl<S: PartialEq> Nested<S> {
    /// `sorted` as said above; `holds` tells whether the first of two that were in this order has
    /// the second in it. Of equal ones, the first is kept.
    pub(super) fn new(sorted: Vec<(S, u32)>, holds: impl Fn(&S, &S) -> bool) -> Self {
        let mut sets: Vec<S> = Vec::with_capacity(sorted.len());
        let mut links: Vec<Link> = Vec::with_capacity(sorted.len());
        for (set, number) in sorted {
            if sets.last() == Some(&set) {
                continue;
            }
            // What this one is within is the one before it, or around that.
            let mut outer = u32::try_from(sets.len()).map_or(NONE, |len| len.wrapping_sub(1));
            while let Some(candidate) = sets.get(outer as usize)
                && !holds(candidate, &set)
            {
                outer = links[outer as usize].outer;
            }
            sets.push(set);
            links.push(Link { outer, number });
        }
        Self {
            sets: sets.into_boxed_slice(),
            links: links.into_boxed_slice(),
        }
    }

    /// The numbers of the sets around a point, the innermost first. `before` tells of a set
    /// whether it begins before the point, or there; `holds` whether the point, if so, is in it.
    pub(super) fn around<'s>(
        &'s self,
        before: impl Fn(&S) -> bool,
        holds: impl Fn(&S) -> bool + 's,
    ) -> impl Iterator<Item = u32> + 's {
        let begun = self.sets.partition_point(before);
        let mut at = u32::try_from(begun).map_or(NONE, |begun| begun.wrapping_sub(1));
        let mut inside = false;
        std::iter::from_fn(move || {
            while let Some(set) = self.sets.get(at as usize) {
                let link = self.links[at as usize];
                at = link.outer;
                // What is around a set that holds the point holds it too.
                inside = inside || holds(set);
                if inside {
                    return Some(link.number);
                }
            }
            None
        })
    }
}
