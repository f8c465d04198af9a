//! `--dry-run`: every check is made and what would be is printed, and nothing is changed.

use clap::Args;

use crate::cli::Session;
use crate::service::view::RulePlan;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DryRun {
    /// Make every check, print what would be, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl DryRun {
    /// Whether it is wished.
    pub(crate) fn is_wished(self) -> bool {
        self.dry_run
    }

    /// From here on the session only rehearses, if that is wished, and says so.
    pub(crate) fn begin(self, session: &mut Session) {
        if self.dry_run {
            session.client = session.client.clone().rehearsing();
            session.screen.talk().say("would:");
        }
    }
}

/// Says what a rule would move.
pub(crate) fn tell(session: &Session, plan: &RulePlan) {
    let (talk, style) = (session.screen.talk(), session.screen.style());
    for planned in &plan.endpoints {
        let endpoint = &planned.endpoint;
        talk.say(&match planned.files.zip(planned.bytes) {
            Some((files, bytes)) => format!("{endpoint}: {files} files would move there, {}", style.bytes(bytes)),
            None => format!("{endpoint}: how much would move there is not for you to know"),
        });
    }
    if !plan.complete {
        talk.say("this is only the beginning of a large plan");
    }
}
