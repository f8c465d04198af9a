//! All that is known of one endpoint, on one screen.

use crate::cli::screen::{Row as _, Style, clean};
use crate::model::endpoint::Addressing;
use crate::service::view::{EndpointView, ProbeView};

/// A line for each fact; then what the last probe found, a line for each feature.
pub(super) fn sheet(view: &EndpointView, style: Style) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text += &format!("{name:<12}{}\n", clean(value));
    for (header, cell) in EndpointView::HEADERS.iter().zip(view.cells(style)) {
        line(&header.to_lowercase(), &cell);
    }
    let settings = &view.settings;
    if let Some(region) = &settings.region {
        line("region", region);
    }
    if let Some(addressing) = settings.addressing {
        line("addressing", if addressing == Addressing::Path { "path" } else { "virtual-host" });
        line("redirect", if settings.redirect { "yes: readers may be sent to the store" } else { "no" });
    }
    if settings.ca {
        line("ca", "certificates of its own besides the system's");
    }
    line("secret", if view.has_secret { "set; it is not shown" } else { "none" });
    line("created", &style.time(view.created_at));
    match &view.probe {
        Some(probe) => line("probed", &style.time(probe.at)),
        None => line("probed", &format!("never; `dapple endpoint probe {}` does", view.name)),
    }
    for audit in &view.audits {
        let restored = style.time(audit.restored_at);
        line(
            "restored",
            &match (&audit.accepted_by, audit.accepted_at) {
                (Some(by), Some(at)) => format!("{restored}; what is here was accepted by {by} {}", style.time(at)),
                _ => format!("{restored}; nothing is removed here until `dapple endpoint accept-audit {}`", view.name),
            },
        );
    }
    for note in &view.notes {
        line("note", note);
    }
    text + &view.probe.as_ref().map(findings).unwrap_or_default()
}

fn findings(probe: &ProbeView) -> String {
    let width = probe.findings.iter().map(|finding| finding.feature.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in &probe.findings {
        let mark = if finding.holds { "yes" } else { "no " };
        let told: Vec<&str> = [finding.seen.as_str(), finding.consequence.as_deref().unwrap_or_default()]
            .into_iter()
            .filter(|words| !words.is_empty())
            .collect();
        let line = format!("  {mark}  {:<width$}  {}", clean(&finding.feature), clean(&told.join("; ")));
        text += &format!("{}\n", line.trim_end());
    }
    text
}
