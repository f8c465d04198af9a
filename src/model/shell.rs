//! Commands that people paste into a shell: one place that quotes words, and reads them back.

/// A word as a shell needs it, whatever is in it.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The words of a command in which words are plain, or quoted by [`quoted`].
pub fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            '\\' if !is_quoted => word.extend(letters.next()),
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words.push(word);
    words
}

/// A line without the remark behind it, and the remark.
pub fn without_remark(line: &str) -> (&str, Option<&str>) {
    const BEGIN: &str = "    # ";
    let outside = |at: &usize| line[..*at].matches('\'').count().is_multiple_of(2);
    match line.match_indices(BEGIN).map(|(at, _)| at).find(outside) {
        Some(at) => (&line[..at], Some(&line[at + BEGIN.len()..])),
        None => (line, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quoted_word_runs_nothing() {
        assert_eq!(quoted("it's $x"), r"'it'\''s $x'");
        assert_eq!(words(r"dapple ls 's:x'\''; rm -r ~; '\'''"), ["dapple", "ls", "s:x'; rm -r ~; '"]);
    }

    proptest! {
        #[test]
        fn quoted_words_read_back(word in "[ -~é'\\\\]{0,20}") {
            prop_assert_eq!(words(&format!("a {} b", quoted(&word))), ["a", &word, "b"]);
        }
    }
}
