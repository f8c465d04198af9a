//! `dapple doctor`: is the lake well?

use crate::cli::Session;
use crate::cli::failure::Failure;
use crate::cli::screen::Style;
use crate::service::check::SECRETS_OPEN;
use crate::service::view::CheckView;

pub(crate) async fn run(session: &mut Session) -> Result<(), Failure> {
    let check = session.client.check().await?;
    session.screen.page(&check, |style| page(&check, style))?;
    match check.findings.len() {
        0 => Ok(()),
        count => {
            // Of other findings nobody but a developer can make anything.
            let secrets_only = check.findings.iter().all(|finding| finding.invariant == SECRETS_OPEN);
            Err(Failure::Unwell { count, secrets_only })
        }
    }
}

/// A line for each invariant, with what was found against it.
fn page(check: &CheckView, style: Style) -> String {
    let mut text = String::new();
    for invariant in &check.checked {
        let found: Vec<_> = check.findings.iter().filter(|finding| finding.invariant == *invariant).collect();
        text += &format!("{}  {invariant}\n", if found.is_empty() { "ok  " } else { "FAIL" });
        for finding in found {
            text += &format!("        {}: {}\n", finding.what, finding.detail);
        }
    }
    for locked in &check.removal_locked {
        let (name, since) = (&locked.endpoint, style.time(locked.since));
        text += &format!(
            "note  nothing is removed at {name}: the lake was restored {since}; once you have looked at what is \
             there, `dapple endpoint accept-audit {name}`\n"
        );
    }
    text
}
