//! What somebody may have meant who mistyped a name.

/// The name that is nearest to what was typed, if one is near enough to have been meant.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.into_iter().map(|name| (distance(typed, name), name)).min()?;
    let bound = (typed.chars().count() / 3).clamp(1, 3);
    (near.0 <= bound).then_some(near.1)
}

/// How many letters have to be put in, left out, changed or swapped with their neighbour.
pub fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<_>>()];
    for (i, left) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, right) in to.iter().enumerate() {
            let change = rows[i][j] + usize::from(left != right);
            let mut least = change.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *left == to[j - 1] && from[i - 1] == *right {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_far() {
        let names = ["listen", "dir", "public_url"];
        let table =
            [("lsiten", Some("listen")), ("listn", Some("listen")), ("publicurl", Some("public_url")), ("port", None)];
        for (typed, meant) in table {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
