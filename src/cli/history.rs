//! `dapple did history` and `dapple did coverage`: what happened to a DID, and where it is.

use serde::Serialize;

use crate::cli::Session;
use crate::cli::failure::Failure;
use crate::cli::screen::{Row, Style};
use crate::cli::table::dash;
use crate::model::did::Did;
use crate::model::endpoint::EndpointName;
use crate::service::view::HistoryView;

impl Row for HistoryView {
    const HEADERS: &'static [&'static str] = &["WHEN", "WHO", "WHAT", "DETAIL"];

    fn cells(&self, style: Style) -> Vec<String> {
        let who = self.account.as_ref().map_or_else(dash, ToString::to_string);
        vec![style.time(self.at), who, self.what.replace('_', " "), detail(self)]
    }
}

fn detail(of: &HistoryView) -> String {
    let mut parts = Vec::new();
    match (&of.did, of.count) {
        (Some(did), Some(count)) if count > 1 => parts.push(format!("{did} and {} more", count - 1)),
        (Some(did), _) => parts.push(did.to_string()),
        (None, Some(count)) => parts.push(format!("{count} of them")),
        (None, None) => {}
    }
    parts.extend(of.endpoint.as_ref().map(|endpoint| format!("at {endpoint}")));
    parts.extend(of.rule.map(|rule| rule.to_string()));
    parts.extend(of.labels.iter().cloned());
    if parts.is_empty() { dash() } else { parts.join(" ") }
}

/// How much of a dataset is at an endpoint, with how much there is.
#[derive(Debug, Serialize)]
pub(crate) struct CoverageRow {
    endpoint: EndpointName,
    files: u64,
    of_files: Option<u64>,
    bytes: u64,
    of_bytes: Option<u64>,
}

impl Row for CoverageRow {
    const HEADERS: &'static [&'static str] = &["ENDPOINT", "FILES", "OF", "BYTES", "OF"];

    fn cells(&self, style: Style) -> Vec<String> {
        vec![
            self.endpoint.to_string(),
            self.files.to_string(),
            self.of_files.map_or_else(dash, |files| files.to_string()),
            style.bytes(self.bytes),
            self.of_bytes.map_or_else(dash, |bytes| style.bytes(bytes)),
        ]
    }
}

pub(crate) async fn history(session: &mut Session, did: &Did) -> Result<(), Failure> {
    let list = session.client.history(did)?;
    session.screen.list(list.stream()).await
}

pub(crate) async fn coverage(session: &mut Session, did: &Did) -> Result<(), Failure> {
    let of = session.client.coverage(did).await?;
    let Some(endpoints) = &of.endpoints else {
        let words = "this dataset is large, and only who may write it is told how much of it is where";
        session.screen.talk().say(words);
        return session.screen.rows::<CoverageRow>(&of, &[]);
    };
    let rows: Vec<CoverageRow> = endpoints
        .iter()
        .map(|at| CoverageRow {
            endpoint: at.endpoint.clone(),
            files: at.files,
            of_files: of.files,
            bytes: at.bytes,
            of_bytes: of.bytes,
        })
        .collect();
    session.screen.rows(&of, &rows)
}
