//! Words of texts: runs of letters and digits, in lower case.

/// A longer word is cut here: nobody types it in full.
const WORD_BYTES_MAX: usize = 100;

/// The words of a text, in its order, as often as they occur.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| {
        let mut word = word.to_lowercase();
        if word.len() > WORD_BYTES_MAX {
            let end = (0..=WORD_BYTES_MAX).rev().find(|&end| word.is_char_boundary(end)).unwrap_or(0);
            word.truncate(end);
        }
        word
    })
}
