//! Conditions on the path that a request names.

use super::{Pattern, normal_path};

/// Paths that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// Those whose [normal form](super::normal_path) begins so, whole segments or not.
    Prefix(String),
    /// Those whose normal form matches.
    Regex(Pattern),
}

impl PathPattern {
    /// Reads `/prefix` or `~regex`.
    ///
    /// # Errors
    ///
    /// What is wrong, and the remedy.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(regex) = text.strip_prefix('~') {
            return Pattern::parse(regex, false).map(Self::Regex);
        }
        if !text.starts_with('/') {
            return Err(format!(
                "expected a path, such as \"/admin\", or a regex, such as \"~\\\\.exe$\", \
                 found \"{text}\""
            ));
        }
        if text.contains(['?', '#']) {
            let path = text.split(['?', '#']).next().unwrap_or_default();
            return Err(format!(
                "the query is not part of the path; write \"{path}\""
            ));
        }
        let normal = normal_prefix(text);
        if normal != text {
            return Err(format!(
                "paths are compared in their normal form, and none begins with \"{text}\"; \
                 write \"{normal}\""
            ));
        }
        Ok(Self::Prefix(normal))
    }
}

/// The normal form of what begins a path: the last segment may go on.
fn normal_prefix(text: &str) -> String {
    let mut normal = Vec::with_capacity(text.len() + 1);
    normal_path(text.as_bytes(), &mut normal);
    // With any letter behind it, what looks like a dot segment at its end is none.
    let mut longer = Vec::with_capacity(text.len() + 1);
    normal_path(format!("{text}x").as_bytes(), &mut longer);
    if longer.pop() == Some(b'x') && longer == text.as_bytes() {
        normal = longer;
    }
    String::from_utf8_lossy(&normal).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_regexes() {
        for text in [
            "/", "/admin", "/admin/", "/.", "/a/.git", "/a/..", "/a b", "/a%3Fb",
        ] {
            let parsed = PathPattern::parse(text).unwrap();
            assert_eq!(parsed, PathPattern::Prefix(text.to_owned()));
        }
        assert!(matches!(
            PathPattern::parse("~x").unwrap(),
            PathPattern::Regex(_)
        ));
    }

    #[test]
    fn what_no_path_begins_with() {
        for (text, hint) in [
            ("", "expected a path"),
            ("admin", "expected a path"),
            ("~[", "is no regex"),
            ("/a?b=c", "write \"/a\""),
            ("//a", "write \"/a\""),
            ("/a//", "write \"/a/\""),
            ("/a/../b", "write \"/b\""),
            ("/%61", "write \"/a\""),
            ("/straße", "write \"/stra%C3%9Fe\""),
            ("/100%", "write \"/100%25\""),
            ("/a\\b", "write \"/a/b\""),
        ] {
            let said = PathPattern::parse(text).unwrap_err();
            assert!(said.contains(hint), "{text}: {said}");
        }
    }
}
