//! `--watch`: shows again what has changed, until it is stopped. What is shown is asked for again every
//! few seconds; the server sends it only if it is no longer the same, where it can tell that.

use std::time::Duration;

use clap::Args;

use crate::cli::Session;
use crate::cli::failure::Failure;
use crate::cli::screen::Format;
use crate::fault::{Fault as _, Kind};

/// How often is asked, in seconds.
const SECONDS_MIN: f64 = 0.1;
const SECONDS_MAX: f64 = 86_400.0;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Watch {
    /// Show it again whenever it has changed, asking every so many seconds [2 if none are named]
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = seconds
    )]
    watch: Option<Duration>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (SECONDS_MIN..=SECONDS_MAX).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("write a number of seconds from {SECONDS_MIN} to {SECONDS_MAX}, as `--watch=10`")),
    }
}

impl Watch {
    /// Shows something once, or again and again.
    pub(crate) async fn show(
        self,
        session: &mut Session,
        show: impl AsyncFn(&mut Session) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Some(pause) = self.watch else { return show(session).await };
        session.client = session.client.clone().remembering();
        let mut shown: Option<String> = None;
        let mut quiet = false;
        loop {
            session.screen.begin_block();
            let outcome = show(session).await;
            let block = session.screen.end_block();
            match outcome {
                Ok(()) => {
                    quiet = false;
                    if shown.as_ref() != Some(&block) {
                        put(session, &block, shown.is_none())?;
                        shown = Some(block);
                    }
                }
                // Whoever watches wants to see it come back.
                Err(Failure::Client(error)) if error.kind() == Kind::Unavailable && shown.is_some() => {
                    if !quiet {
                        session.screen.talk().say(&format!("{error}; still trying"));
                    }
                    quiet = true;
                }
                Err(failure) => return Err(failure),
            }
            session.screen.clock().clone().sleep(pause).await;
        }
    }
}

/// Draws a block in place of the last, or below it.
fn put(session: &mut Session, block: &str, first: bool) -> Result<(), Failure> {
    if let Some(rows) = session.screen.rows_of_terminal() {
        let text = drawn(block, rows, first);
        return session.screen.print(&text);
    }
    let gap = if first || session.screen.format != Format::Table { "" } else { "\n" };
    session.screen.print(&format!("{gap}{block}"))
}

/// A block as it is drawn from the top of a terminal, no higher than that is: what is beyond could not be
/// drawn over.
fn drawn(block: &str, rows: usize, first: bool) -> String {
    let mut text = if first { "\x1b[2J\x1b[H".to_owned() } else { "\x1b[H".to_owned() };
    let lines: Vec<&str> = block.lines().collect();
    let most = rows.saturating_sub(1).max(1);
    let shown = if lines.len() > most { most.saturating_sub(1) } else { lines.len() };
    for line in &lines[..shown] {
        text += &format!("{line}\x1b[K\n");
    }
    if shown < lines.len() {
        text += &format!("and {} more lines\x1b[K\n", lines.len() - shown);
    }
    text + "\x1b[J"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_drawn_over_the_last_and_no_higher_than_the_terminal() {
        assert_eq!(drawn("a\nb\n", 10, true), "\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(drawn("a\nb\nc\nd\n", 4, false), "\x1b[Ha\x1b[K\nb\x1b[K\nand 2 more lines\x1b[K\n\x1b[J");
    }

    #[test]
    fn seconds_are_read_within_their_bounds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "nan", "inf", "2s", "1e9", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
