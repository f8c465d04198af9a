//! Pages: what a `console` block says, and whether what was printed is what it shows.

/// A command of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Where it stands.
    pub(super) line: usize,
    /// The command, in one line.
    pub(super) command: String,
    /// What the page shows of its output.
    pub(super) shown: Vec<String>,
}

/// The commands of all `console` blocks of a page.
pub(super) fn console_blocks(text: &str) -> Vec<Step> {
    let (mut steps, mut inside, mut goes_on) = (Vec::<Step>::new(), false, false);
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            (inside, goes_on) = (!inside && line == "```console", false);
            continue;
        }
        if !inside {
            continue;
        }
        let begins = line.strip_prefix("$ ").filter(|_| !goes_on);
        match (begins, steps.last_mut()) {
            (Some(command), _) => steps.push(Step { line: index + 1, command: command.to_owned(), shown: Vec::new() }),
            (None, Some(step)) if goes_on => step.command = format!("{} {}", step.command, line.trim()),
            (None, Some(step)) => step.shown.push(line.to_owned()),
            (None, None) => panic!("line {}: a block begins with a command", index + 1),
        }
        let last = steps.last_mut().expect("there is one");
        goes_on = last.shown.is_empty() && last.command.ends_with('\\');
        if goes_on {
            last.command.pop();
        }
    }
    for step in &mut steps {
        while step.shown.last().is_some_and(|line| line.trim().is_empty()) {
            step.shown.pop();
        }
    }
    steps
}

/// What differs between what a page shows and what was printed.
pub(super) fn mismatch(shown: &[String], printed: &[String]) -> Option<String> {
    let Some((first, rest)) = shown.split_first() else {
        return printed.first().map(|more| format!("the page does not show `{more}`"));
    };
    if first.trim() == "..." {
        let some = (0..=printed.len()).any(|at| mismatch(rest, &printed[at..]).is_none());
        return (!some).then(|| format!("behind `...` there is nothing like `{}`", rest.join("\n")));
    }
    let Some((line, others)) = printed.split_first() else {
        return Some(format!("`{first}` was not printed"));
    };
    if alike(first, line) { mismatch(rest, others) } else { Some(format!("`{line}` is not `{first}`")) }
}

/// Tells whether a line is what a page shows.
fn alike(shown: &str, printed: &str) -> bool {
    let shown: Vec<&str> = shown.split_whitespace().collect();
    let printed: Vec<&str> = printed.split_whitespace().collect();
    words_alike(&shown, &printed)
}

fn words_alike(shown: &[&str], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&"...", rest)), _) => (0..=printed.len()).any(|at| words_alike(rest, &printed[at..])),
        (Some((one, rest)), Some((other, others))) => word_alike(one, other) && words_alike(rest, others),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn word_alike(shown: &str, printed: &str) -> bool {
    if let Some((begin, end)) = shown.split_once("...") {
        let fits = printed.len() >= begin.len() + end.len();
        return fits && printed.starts_with(begin) && printed.ends_with(end);
    }
    let kinds: [fn(&str) -> bool; 3] = [is_id, is_span, is_time];
    shown == printed || kinds.iter().any(|kind| kind(shown) && kind(printed))
}

/// An id as dapple gives them: 26 letters and digits, or a run of hexadecimal ones.
pub(super) fn is_id(word: &str) -> bool {
    let long = word.len() == 26 && word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let hex = word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    long || hex
}

/// `3ms`, `12s`, `5m`.
fn is_span(word: &str) -> bool {
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < word.len() && matches!(unit, "ms" | "s" | "m" | "h" | "d")
}

/// `2026-11-21T08:30:00.000Z`.
fn is_time(word: &str) -> bool {
    let form: String = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    form.starts_with("0000-00-00T00:00:00") && form.ends_with('Z')
}

#[test]
fn blocks_are_read_and_what_is_shown_is_compared() {
    let text = "```sh\n$ no\n```\n```console\n$ a \\\n    b   # why\n\n$ c\nID  5s\n...\nend\n\n```\n";
    let steps = console_blocks(text);
    let shown = vec!["ID  5s".to_owned(), "...".to_owned(), "end".to_owned()];
    let first = Step { line: 5, command: "a  b   # why".to_owned(), shown: Vec::new() };
    assert_eq!(steps, [first, Step { line: 8, command: "c".to_owned(), shown: shown.clone() }]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(mismatch(&shown, &lines("ID 17s\nx\ny\nend")), None);
    assert!(mismatch(&shown, &lines("ID 17s\nx\ny\nends")).is_some());
    assert!(mismatch(&shown, &lines("ID x\nend")).is_some());
    assert!(mismatch(&lines("a"), &lines("a\nb")).is_some_and(|what| what.contains("does not show `b`")));
    for (one, other, same) in [
        ("http://h/...", "http://h/s/x?y", true),
        ("a ... z", "a b c z", true),
        ("a ... z", "a b c", false),
        ("01JD6Y3W8M5T2C9X4R7K0ZQVBN", "01KD6Y3W8M5T2C9X4R7K0ZQVBN", true),
        ("01JD6Y3W8M5T2C9X4R7K0ZQVBN", "nothing", false),
        ("2026-11-21T08:30:00.000Z", "2030-01-02T00:00:00.123Z", true),
        ("1.0 KiB", "2.0 KiB", false),
    ] {
        assert_eq!(alike(one, other), same, "{one} / {other}");
    }
}
