//! What keeps rules from being compiled.

/// Why there is no policy. What is wrong with a single rule has been refused with its place in
/// the file; these are limits of what all of them make together.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// More rules, or more conditions, than there are numbers for.
    #[error(
        "{what} of all rules are more than {} together; there must be fewer",
        u32::MAX
    )]
    TooMany {
        /// What there is too much of.
        what: &'static str,
    },
    /// The strings that are looked for on behalf of regular expressions.
    #[error("cannot compile the regexes of all rules together: {0}; there must be fewer")]
    Search(String),
    /// One expression.
    #[error("cannot compile the regex \"{regex}\": {cause}; write it in a simpler way")]
    Regex {
        /// The expression.
        regex: String,
        /// What the compiler said.
        cause: String,
    },
}
