//! `dapple doctor`: is the lake well?

use crate::cli::Session;
use crate::cli::failure::Failure;
use crate::service::view::CheckView;

pub(crate) async fn run(session: &mut Session) -> Result<(), Failure> {
    let check = session.client.check().await?;
    session.screen.page(&check, |_| page(&check))?;
    match check.findings.len() {
        0 => Ok(()),
        count => Err(Failure::Unwell { count }),
    }
}

/// A line for each invariant, with what was found against it.
fn page(check: &CheckView) -> String {
    let mut text = String::new();
    for invariant in &check.checked {
        let found: Vec<_> = check.findings.iter().filter(|finding| finding.invariant == *invariant).collect();
        text += &format!("{}  {invariant}\n", if found.is_empty() { "ok  " } else { "FAIL" });
        for finding in found {
            text += &format!("        {}: {}\n", finding.what, finding.detail);
        }
    }
    text
}
