//! `dapple rule explain`: one screen that says why, and what would help.

use crate::cli::screen::{Style, clean};
use crate::cli::table::state_word;
use crate::cli::wait::progress;
use crate::model::endpoint::EndpointName;
use crate::service::view::{LockExplanation, Problem, RuleExplanation};

/// Endpoints that are named before the rest is only counted.
const ENDPOINTS_NAMED_MAX: usize = 8;
/// Locks that are shown before the rest is only counted.
const LOCKS_SHOWN_MAX: usize = 20;

/// The screen.
pub(crate) fn explanation(of: &RuleExplanation, style: Style) -> String {
    let rule = &of.rule;
    let copies = if rule.copies == 1 { "copy" } else { "copies" };
    let mut text = format!(
        "rule {} on {}: {} {copies} on `{}`\n  {}  {}",
        rule.id,
        rule.did,
        rule.copies,
        rule.expression,
        state_word(rule.state).to_uppercase(),
        progress(rule)
    );
    if rule.units_unplaced > 0 {
        text += &format!(", {} not placed", rule.units_unplaced);
    }
    if let Some(expires) = rule.expires_at {
        text += &format!(", ends {}", style.time(expires));
    }
    text += &format!("\n  {}\n", of.summary);
    for part in &of.matched {
        text += &format!("  matched by `{}`: {}\n", part.part, names(&part.endpoints));
    }
    if !of.locks.is_empty() {
        text += "\nlocks\n";
    }
    text += &locks(&of.locks);
    if !of.problems.is_empty() {
        text += "\nproblems\n";
    }
    for problem in &of.problems {
        text += &one_problem(problem, style);
    }
    text.lines().map(|line| clean(line) + "\n").collect()
}

fn names(endpoints: &[EndpointName]) -> String {
    let named: Vec<&str> = endpoints.iter().take(ENDPOINTS_NAMED_MAX).map(EndpointName::as_str).collect();
    match endpoints.len().saturating_sub(ENDPOINTS_NAMED_MAX) {
        _ if named.is_empty() => "none".to_owned(),
        0 => named.join(", "),
        rest => format!("{} and {rest} more", named.join(", ")),
    }
}

fn locks(locks: &[LockExplanation]) -> String {
    let shown = &locks[..locks.len().min(LOCKS_SHOWN_MAX)];
    let widest = |text: fn(&LockExplanation) -> String| {
        let widths = shown.iter().map(|lock| text(lock).chars().count());
        widths.max().unwrap_or_default()
    };
    let files = |lock: &LockExplanation| format!("{} of {} files", lock.files_done, lock.files_wanted);
    let (did_width, endpoint_width) = (widest(|l| l.did.to_string()), widest(|l| l.endpoint.to_string()));
    let files_width = widest(files);
    let mut text = String::new();
    for lock in shown {
        text += &format!(
            "  {:<11}  {:<did_width$}  at {:<endpoint_width$}  {:<files_width$}  {}\n",
            lock.state,
            lock.did.to_string(),
            lock.endpoint.to_string(),
            files(lock),
            why(&lock.chosen)
        );
    }
    if locks.len() > shown.len() {
        text += &format!("  and {} more\n", locks.len() - shown.len());
    }
    text
}

/// Why an endpoint was chosen, unless the words say so themselves.
fn why(chosen: &str) -> String {
    if chosen.contains("chosen") { chosen.to_owned() } else { format!("chosen because: {chosen}") }
}

fn one_problem(problem: &Problem, style: Style) -> String {
    let mut text = format!("  {}  {} ×{}\n", problem.reason, problem.code, problem.count);
    if let Some(said) = &problem.said {
        text += &format!("    it said        {said}\n");
    }
    if let Some(example) = &problem.example {
        text += &format!("    for example    {example}\n");
    }
    for (index, command) in problem.help.iter().enumerate() {
        let label = if index == 0 { "would help:" } else { "" };
        text += &format!("    {label:<13}  {command}\n");
    }
    if let Some(at) = problem.next_attempt_at {
        text += &format!("    next attempt   {}\n", style.time(at));
    }
    text
}
