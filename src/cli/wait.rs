//! `dapple rule wait`: asks with growing pauses until the rule is there, stuck, or time is up.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::failure::Failure;
use crate::cli::table::state_word;
use crate::cli::{Session, parse};
use crate::model::id::RuleId;
use crate::model::rule::RuleState;
use crate::model::time::show_span;
use crate::service::view::RuleView;

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A rule may be stuck for a moment and go on, for instance while an endpoint restarts.
const STUCK_MIN: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    id: RuleId,
    /// The state to wait for
    #[arg(long = "for", value_enum, value_name = "STATE", default_value = "ok")]
    wanted: Wanted,
    /// How long to wait at most
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = parse::span)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wanted {
    Ok,
    Stuck,
}

/// How a wait goes on, or ends.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Wait,
    Reached,
    Stuck,
    TimedOut,
}

pub(crate) async fn run(session: &mut Session, args: WaitArgs) -> Result<(), Failure> {
    let clock = session.screen.clock().clone();
    let line = session.screen.status_line();
    let begun = clock.monotonic();
    let mut stuck_since = None;
    let mut pause = PAUSE_FIRST;
    let (rule, verdict) = loop {
        let rule = session.client.rule(args.id).await?;
        let waited = clock.monotonic().saturating_sub(begun);
        if rule.state == RuleState::Stuck {
            stuck_since.get_or_insert(waited);
        } else {
            stuck_since = None;
        }
        let stuck_for = stuck_since.map(|since| waited.saturating_sub(since));
        match judge(args.wanted, rule.state, stuck_for, waited, args.timeout) {
            Verdict::Wait => {}
            verdict => break (rule, verdict),
        }
        line.set_message(format!(
            "rule {} {}: {}, waiting for {}",
            rule.id,
            state_word(rule.state),
            progress(&rule),
            show_span(waited)
        ));
        line.tick();
        clock.sleep(pause.min(args.timeout.saturating_sub(waited))).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    };
    line.finish_and_clear();
    session.screen.one(&rule)?;
    match verdict {
        Verdict::Stuck => Err(Failure::Stuck { hint: format!("dapple rule explain {}", rule.id) }),
        Verdict::TimedOut => Err(Failure::TimedOut {
            wanted: match args.wanted {
                Wanted::Ok => "ok",
                Wanted::Stuck => "stuck",
            },
            waited: show_span(args.timeout),
        }),
        Verdict::Wait | Verdict::Reached => Ok(()),
    }
}

fn judge(
    wanted: Wanted,
    state: RuleState,
    stuck_for: Option<Duration>,
    waited: Duration,
    timeout: Duration,
) -> Verdict {
    match (wanted, state) {
        (Wanted::Ok, RuleState::Ok) | (Wanted::Stuck, RuleState::Stuck) => Verdict::Reached,
        (Wanted::Ok, RuleState::Stuck) if stuck_for >= Some(STUCK_MIN) || waited >= timeout => Verdict::Stuck,
        _ if waited >= timeout => Verdict::TimedOut,
        _ => Verdict::Wait,
    }
}

/// How far a rule is, in words.
pub(crate) fn progress(rule: &RuleView) -> String {
    let locks = match rule.locks_ok + rule.locks_replicating + rule.locks_stuck {
        0 => "no locks".to_owned(),
        locks => format!("{} of {locks} locks ok", rule.locks_ok),
    };
    match rule.files_wanted {
        0 => locks,
        wanted => format!("{locks}, {} of {wanted} files", rule.files_done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_stuck_only_when_it_stays_so() {
        let seconds = Duration::from_secs;
        let limit = seconds(60);
        let table = [
            (Wanted::Ok, RuleState::Ok, None, 0, Verdict::Reached),
            (Wanted::Ok, RuleState::Replicating, None, 59, Verdict::Wait),
            (Wanted::Ok, RuleState::Replicating, None, 60, Verdict::TimedOut),
            (Wanted::Ok, RuleState::Stuck, Some(0), 5, Verdict::Wait),
            (Wanted::Ok, RuleState::Stuck, Some(3), 8, Verdict::Stuck),
            (Wanted::Ok, RuleState::Stuck, Some(0), 60, Verdict::Stuck),
            (Wanted::Ok, RuleState::Releasing, None, 60, Verdict::TimedOut),
            (Wanted::Stuck, RuleState::Stuck, Some(0), 0, Verdict::Reached),
            (Wanted::Stuck, RuleState::Ok, None, 60, Verdict::TimedOut),
        ];
        for (wanted, state, stuck, waited, verdict) in table {
            let given = judge(wanted, state, stuck.map(seconds), seconds(waited), limit);
            assert_eq!(given, verdict, "{wanted:?} {state:?} {stuck:?} {waited}");
        }
    }
}
