//! Patterns of interface names, as a shell has them: `*` for any characters, `?` for one.
//!
//! The kernel allows both in names. Nobody has such a link, and if somebody does, its name as a
//! pattern stands for itself as well.

/// Whether an entry of `intercept.lan` or `intercept.wan` is a pattern, and no name.
#[must_use]
pub fn is_link_pattern(entry: &str) -> bool {
    entry.contains(['*', '?'])
}

/// Whether `pattern` stands for `name`.
#[must_use]
pub fn matches_link(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    let Some(first) = rest.next() else {
        return name.is_empty();
    };
    let (rest, mut tail) = (rest.as_str(), name.chars());
    if first == '*' {
        // Names have 15 bytes at most, so this is no exercise in backtracking.
        let rest = rest.trim_start_matches('*');
        return matches_link(rest, name)
            || (tail.next().is_some() && matches_link(pattern, tail.as_str()));
    }
    tail.next().is_some_and(|c| first == '?' || first == c) && matches_link(rest, tail.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names() {
        for (pattern, name, stands) in [
            ("ppp*", "ppp0", true),
            ("ppp*", "ppp", true),
            ("ppp*", "pp0", false),
            ("ppp?", "ppp0", true),
            ("ppp?", "ppp", false),
            ("ppp?", "ppp10", false),
            ("*", "eth0.100", true),
            ("*.100", "eth0.100", true),
            ("*.100", "eth0.1000", false),
            ("e*0*0", "eth0.100", true),
            ("**", "a", true),
            ("?", "ü", true),
            ("a?*", "a", false),
            ("a?*", "ab", true),
            // As the kernel does, capitals are letters of their own.
            ("PPP*", "ppp0", false),
            ("a*", "a*", true),
        ] {
            assert!(is_link_pattern(pattern));
            assert_eq!(matches_link(pattern, name), stands, "{pattern} {name}");
        }
        assert!(!is_link_pattern("eth0"));
        assert!(matches_link("eth0", "eth0") && !matches_link("eth0", "eth1"));
    }

    #[test]
    fn many_stars_are_no_trouble() {
        assert!(!matches_link("*a*a*a*a*a*a*a*", "bbbbbbbbbbbbbbb"));
        assert!(!matches_link("*a*a*a*a*a*a*ab", "aaaaaaaaaaaaaaa"));
        assert!(!matches_link(&("*".repeat(9000) + "b"), "aaaaaaaaaaaaaaa"));
    }
}
