//! What is printed where: data on stdout, in the format that was asked for; talk on stderr.

use std::io::{IsTerminal as _, Write};
use std::pin::pin;

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use futures::stream::TryReadyChunksError;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::table::FailedFile;
use crate::client::ClientError;
use crate::clock::SharedClock;
use crate::model::size::human_bytes;
use crate::model::time::{Timestamp, show_span};

/// Rows that are laid out together; longer lists go out in parts of this many.
const TABLE_ROWS_MAX: usize = 1_000;

/// How many lines a terminal is taken to have that does not tell.
const TERMINAL_ROWS: usize = 24;

/// Failed files that are named on stderr; the report has more of them.
const FAILED_NAMED_MAX: usize = 20;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Ndjson,
}

/// How values are shown in tables: for people, or exactly, for the next program of a pipe.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    pub(crate) human: bool,
    pub(crate) now: Timestamp,
}

/// Something a table can show.
pub(crate) trait Row: Serialize {
    const HEADERS: &'static [&'static str];
    fn cells(&self, style: Style) -> Vec<String>;
}

/// Where a command's data and talk go.
pub(crate) struct Screen {
    pub(crate) format: Format,
    pub(crate) colour: bool,
    terminal: bool,
    progress: bool,
    clock: SharedClock,
    out: Box<dyn Write + Send>,
    /// What is gathered instead of being printed.
    block: Option<String>,
}

impl Screen {
    /// The screen of this process.
    pub(crate) fn of_process(format: Format, progress: bool, clock: SharedClock) -> Self {
        let colour = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stderr().is_terminal();
        Self {
            format,
            colour,
            terminal: std::io::stdout().is_terminal(),
            progress: progress && std::io::stderr().is_terminal(),
            clock,
            out: Box::new(std::io::stdout()),
            block: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_test(format: Format, terminal: bool, clock: SharedClock, out: Box<dyn Write + Send>) -> Self {
        Self { format, colour: false, terminal, progress: false, clock, out, block: None }
    }

    pub(crate) fn talk(&self) -> Talk {
        Talk { json: self.format != Format::Table, colour: self.colour }
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.clock
    }

    pub(crate) fn style(&self) -> Style {
        Style { human: self.terminal, now: self.clock.now() }
    }

    /// Prints one thing.
    pub(crate) fn one<T: Row>(&mut self, item: &T) -> Result<(), Failure> {
        if self.format == Format::Table {
            let table = self.lay_out(&[item], true);
            return self.print(&table);
        }
        self.document(item)
    }

    /// Prints one thing that has a page of its own instead of a row.
    pub(crate) fn page<T: Serialize>(&mut self, item: &T, page: impl Fn(Style) -> String) -> Result<(), Failure> {
        if self.format == Format::Table {
            let text = page(self.style());
            return self.print(&text);
        }
        self.document(item)
    }

    /// Prints one thing by the rows of a part of it.
    pub(crate) fn rows<T: Row>(&mut self, item: &impl Serialize, rows: &[T]) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.document(item);
        }
        if rows.is_empty() && self.terminal {
            self.talk().say("none");
            return Ok(());
        }
        let rows: Vec<&T> = rows.iter().collect();
        let table = self.lay_out(&rows, true);
        self.print(&table)
    }

    /// Prints a list while it comes in. As JSON it is one page with all entries.
    pub(crate) async fn list<T: Row>(
        &mut self,
        items: impl Stream<Item = Result<T, ClientError>>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.list_rows(items).await,
            Format::Json => self.list_page(items).await,
            Format::Ndjson => {
                let mut items = pin!(items);
                while let Some(item) = items.try_next().await? {
                    self.print(&format!("{}\n", compact(&item)))?;
                }
                Ok(())
            }
        }
    }

    async fn list_rows<T: Row>(&mut self, items: impl Stream<Item = Result<T, ClientError>>) -> Result<(), Failure> {
        let mut parts = pin!(items.try_ready_chunks(TABLE_ROWS_MAX));
        let mut first = true;
        while let Some(part) = parts.next().await {
            let (part, broken) = match part {
                Ok(part) => (part, None),
                Err(TryReadyChunksError(part, error)) => (part, Some(error)),
            };
            let rows: Vec<&T> = part.iter().collect();
            if !rows.is_empty() {
                let table = self.lay_out(&rows, first);
                self.print(&table)?;
                first = false;
            }
            if let Some(error) = broken {
                return Err(error.into());
            }
        }
        if first && self.terminal {
            self.talk().say("none");
        }
        Ok(())
    }

    async fn list_page<T: Row>(&mut self, items: impl Stream<Item = Result<T, ClientError>>) -> Result<(), Failure> {
        let mut items = pin!(items);
        // A list that is refused prints no beginning of one.
        let mut next = items.try_next().await?;
        self.print("{\"items\":[")?;
        let mut mark = "\n";
        while let Some(item) = next {
            self.print(&format!("{mark}{}", compact(&item)))?;
            mark = ",\n";
            next = items.try_next().await?;
        }
        self.print("]}\n")
    }

    fn lay_out<T: Row>(&self, rows: &[&T], headed: bool) -> String {
        let style = self.style();
        let cells = rows.iter().map(|row| row.cells(style).into_iter().map(|cell| clean(&cell)));
        if !self.terminal {
            return cells.map(|row| row.collect::<Vec<_>>().join("\t") + "\n").collect();
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if headed {
            table.set_header(T::HEADERS.iter().copied());
        }
        table.add_rows(cells);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.trim_fmt() + "\n"
    }

    fn document(&mut self, item: &impl Serialize) -> Result<(), Failure> {
        let text = if self.format == Format::Json {
            serde_json::to_string_pretty(item).expect("views have text keys only")
        } else {
            compact(item)
        };
        self.print(&format!("{text}\n"))
    }

    /// From here on gathers what is printed.
    pub(crate) fn begin_block(&mut self) {
        self.block = Some(String::new());
    }

    /// What was gathered; from here on, prints.
    pub(crate) fn end_block(&mut self) -> String {
        self.block.take().unwrap_or_default()
    }

    /// How many lines fit the terminal, if data goes to one.
    pub(crate) fn rows_of_terminal(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|_| self.terminal)?;
        Some(if size.ws_row == 0 { TERMINAL_ROWS } else { usize::from(size.ws_row) })
    }

    /// Prints text as it is, and at once: whoever reads a pipe shall not wait.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        if let Some(block) = &mut self.block {
            block.push_str(text);
            return Ok(());
        }
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(Failure::Print)
    }

    /// A bar that counts bytes; hidden unless a person watches.
    pub(crate) fn bytes_bar(&self) -> ProgressBar {
        let style = ProgressStyle::with_template("{bytes} of {total_bytes}  {bytes_per_sec}  {msg}")
            .expect("the template is constant");
        self.bar().with_style(style)
    }

    /// A line that changes; hidden unless a person watches.
    pub(crate) fn status_line(&self) -> ProgressBar {
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is constant");
        self.bar().with_style(style)
    }

    fn bar(&self) -> ProgressBar {
        let target = if self.progress { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        ProgressBar::with_draw_target(Some(0), target)
    }
}

/// What is said of files that failed. What was the same with several of them is said once.
fn failed_lines(failed: &[FailedFile], count: u64) -> Vec<String> {
    let named = &failed[..failed.len().min(FAILED_NAMED_MAX)];
    let mut kinds: Vec<(String, Vec<&FailedFile>)> = Vec::new();
    for file in named {
        let kind = format!("{} ({})", file.detail.replace(&file.path, "…"), file.code);
        match kinds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, files)) => files.push(file),
            None => kinds.push((kind, vec![file])),
        }
    }
    let mut lines = Vec::new();
    for (kind, files) in kinds {
        if let [file] = &files[..] {
            lines.push(format!("{}: {} ({})", file.path, file.detail, file.code));
        } else {
            lines.push(format!("{} files failed alike: {kind}", files.len()));
            lines.extend(files.iter().map(|file| format!("  {}", file.path)));
        }
    }
    let rest = count - named.len() as u64;
    if rest > 0 {
        lines.push(format!("and {rest} more failed; `-o json` names up to 1,000"));
    }
    lines
}

/// What is said beside the data.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Talk {
    json: bool,
    colour: bool,
}

impl Talk {
    /// Says a sentence; programs that read JSON have no use for it.
    pub(crate) fn say(self, text: &str) {
        if !self.json {
            eprintln!("{}", clean(text));
        }
    }

    /// Says which files failed, the first of them by name.
    pub(crate) fn failed_files(self, failed: &[FailedFile], count: u64) {
        for line in failed_lines(failed, count) {
            self.say(&line);
        }
    }

    /// Says why the command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        if !failure.is_silent() {
            eprint!("{}", self.render(failure));
        }
    }

    pub(crate) fn render(self, failure: &Failure) -> String {
        let problem = failure.problem();
        if self.json {
            return compact(&problem) + "\n";
        }
        let label = |name: &str, colour: u8| {
            if self.colour { format!("\x1b[1;{colour}m{name}:\x1b[0m") } else { format!("{name}:") }
        };
        let mut text = format!("{} {}\n", label("error", 31), clean_lines(&problem.detail));
        if let Some(hint) = &problem.hint {
            text += &format!("{} {}\n", label("hint", 36), clean(hint));
        }
        if !problem.request_id.is_empty() {
            text += &format!("request {}\n", clean(&problem.request_id));
        }
        text
    }
}

fn compact(item: &impl Serialize) -> String {
    serde_json::to_string(item).expect("views have text keys only")
}

/// Text from elsewhere may hold what steers a terminal, or lines that look like our own; shown as one
/// line, it is harmless.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// The same for a text that may have several lines, such as one with a caret below another.
fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

impl Style {
    /// A number of bytes: `1.2 GiB`, or exactly.
    pub(crate) fn bytes(self, bytes: u64) -> String {
        if self.human { human_bytes(bytes) } else { bytes.to_string() }
    }

    /// A time: `2h 5m ago` or `in 3s`, or exactly.
    pub(crate) fn time(self, time: Timestamp) -> String {
        if !self.human {
            return time.to_string();
        }
        if time > self.now {
            format!("in {}", show_span(time.since(self.now)))
        } else {
            format!("{} ago", show_span(self.now.since(time)))
        }
    }

    pub(crate) fn time_or_dash(self, time: Option<Timestamp>) -> String {
        time.map_or_else(|| "-".to_owned(), |time| self.time(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_alike_is_said_once() {
        let file = |path: &str, detail: &str| FailedFile {
            path: path.to_owned(),
            code: "no-replica-there".to_owned(),
            detail: detail.to_owned(),
        };
        let failed = [
            file("s:a", "no replica of `s:a` is available at `y`"),
            file("s:b", "something else"),
            file("s:c", "no replica of `s:c` is available at `y`"),
        ];
        let lines = [
            "2 files failed alike: no replica of `…` is available at `y` (no-replica-there)",
            "  s:a",
            "  s:c",
            "s:b: something else (no-replica-there)",
            "and 4 more failed; `-o json` names up to 1,000",
        ];
        assert_eq!(failed_lines(&failed, 7), lines);
    }

    #[test]
    fn times_are_relative_for_people_and_exact_for_pipes() {
        let now = Timestamp::from_millis(10_000_000);
        let style = Style { human: true, now };
        assert_eq!(style.time(Timestamp::from_millis(2_470_000)), "2h 5m ago");
        assert_eq!(style.time(Timestamp::from_millis(10_003_000)), "in 3s");
        let exact = Style { human: false, now };
        assert_eq!(exact.time(now), "1970-01-01T02:46:40.000Z");
        assert_eq!(exact.bytes(2048), "2048");
    }

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\tc\nd"), "a\u{FFFD}[2Jb\u{FFFD}c\u{FFFD}d");
    }
}
