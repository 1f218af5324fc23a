//! "Did you mean": the valid word that a mistyped one most likely stands for.

/// The candidate nearest to `word`, if one is close enough to be meant.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the word may be wrong; a word of one or two letters is too short to guess from.
    let tolerance = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance && word.chars().count() > 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let substitution = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = substitution.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("ports", "prots"), 1);
        assert_eq!(distance("port", "ports"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn close_words_are_offered_and_far_ones_are_not() {
        let keys = ["lan", "wan", "ports", "families", "head_timeout"];
        assert_eq!(nearest("prots", keys), Some("ports"));
        assert_eq!(nearest("familys", keys), Some("families"));
        assert_eq!(nearest("head-timeout", keys), Some("head_timeout"));
        assert_eq!(nearest("bogus", keys), None);
        assert_eq!(nearest("", keys), None);
        assert_eq!(nearest("x", keys), None);
    }
}
