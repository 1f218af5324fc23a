//! Which prefixes of many does a path begin with?

use super::nested::Nested;

/// Beginnings of paths in normal form, each with a number.
#[derive(Debug)]
pub(super) struct Paths(Nested<Box<[u8]>>);

impl Paths {
    /// Of the numbers of a prefix that is there twice, one is kept.
    pub(super) fn new<'p>(prefixes: impl IntoIterator<Item = (&'p str, u32)>) -> Self {
        let boxed = |(prefix, number): (&str, u32)| (prefix.as_bytes().into(), number);
        let mut sorted: Vec<(Box<[u8]>, u32)> = prefixes.into_iter().map(boxed).collect();
        sorted.sort();
        Self(Nested::new(sorted, |outer, inner| inner.starts_with(outer)))
    }

    /// The numbers of all prefixes of `path`, from the longest to the shortest.
    pub(super) fn of<'s>(&'s self, path: &'s [u8]) -> impl Iterator<Item = u32> + 's {
        self.0.around(
            move |prefix| **prefix <= *path,
            move |prefix| path.starts_with(prefix),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_the_longest_to_the_shortest() {
        let texts = ["/", "/a", "/a/b", "/ab", "/a/b/c", "/b", "/a"];
        let paths = Paths::new(texts.into_iter().zip(0..));
        let of = |path: &str| paths.of(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of("/a/b/d"), [2, 1, 0]);
        assert_eq!(of("/a/b/c"), [4, 2, 1, 0]);
        assert_eq!(of("/a/b/b/z"), [2, 1, 0]);
        assert_eq!(of("/abc"), [3, 1, 0]);
        assert_eq!(of("/a"), [1, 0]);
        assert_eq!(of("/z"), [0]);
        assert_eq!(of("*"), [0_u32; 0]);
        assert_eq!(of(""), [0_u32; 0]);
        assert_eq!(Paths::new([]).of(b"/").count(), 0);
    }
}
