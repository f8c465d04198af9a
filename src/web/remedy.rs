//! What would help against a problem, as something to press.
//!
//! The service says what would help as commands. One that is a single act is read back here, so that a
//! button does exactly what the command beside it does, and the two can never differ.

use crate::model::shell::{without_remark, words};

/// Something that would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remedy {
    /// The command, to copy.
    pub(super) command: String,
    /// What is to be known of it.
    pub(super) remark: Option<String>,
    /// What a button does.
    pub(super) act: Act,
}

/// What a button does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    /// Tries what is stuck at once.
    Retry,
    /// Gives an endpoint an attribute; which one may be left to say.
    Attribute(Option<String>),
    /// Changes how many copies the rule asks for.
    Copies(u16),
    /// Changes where the rule's copies may be; where may be left to say.
    Expression(Option<String>),
    /// Tries what an endpoint can do.
    Probe(String),
    /// Declares a replica bad.
    DeclareBad {
        /// The file.
        did: String,
        /// Where.
        endpoint: String,
    },
    /// Nothing that one request does.
    Nothing,
}

/// Reads a command that would help.
pub(super) fn read(help: &str) -> Remedy {
    let (command, remark) = without_remark(help);
    let remark = remark.map(str::to_owned);
    let words = words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let act = match words[..] {
        ["dapple", "rule", "retry", _] => Act::Retry,
        ["dapple", "endpoint", "set", "NAME", "--attr", attribute] => {
            Act::Attribute(Some(attribute).filter(|text| *text != "KEY=VALUE").map(str::to_owned))
        }
        ["dapple", "rule", "update", _, "--copies", copies] => copies.parse().map_or(Act::Nothing, Act::Copies),
        ["dapple", "rule", "update", _, "--on", on] => {
            Act::Expression(Some(on).filter(|text| *text != "EXPRESSION").map(str::to_owned))
        }
        ["dapple", "endpoint", "probe", endpoint] => Act::Probe(endpoint.to_owned()),
        ["dapple", "replica", "declare-bad", did, "--at", endpoint] => {
            Act::DeclareBad { did: did.to_owned(), endpoint: endpoint.to_owned() }
        }
        _ => Act::Nothing,
    };
    Remedy { command: command.to_owned(), remark, act }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_are_one_act_become_buttons() {
        let table = [
            ("dapple rule retry 01ABC", Act::Retry),
            ("dapple endpoint set NAME --attr country=FR    # or", Act::Attribute(Some("country=FR".to_owned()))),
            ("dapple endpoint set NAME --attr KEY=VALUE    # or `endpoint add`", Act::Attribute(None)),
            ("dapple rule update 01ABC --copies 2", Act::Copies(2)),
            ("dapple rule update 01ABC --copies many", Act::Nothing),
            ("dapple rule update 01ABC --on 'EXPRESSION'    # where", Act::Expression(None)),
            (r"dapple rule update 01ABC --on '(a=b|c)\x'", Act::Expression(Some(r"(a=b|c)\x".to_owned()))),
            ("dapple endpoint probe x    # is it mounted?", Act::Probe("x".to_owned())),
            (
                "dapple replica declare-bad 's:a b' --at x",
                Act::DeclareBad { did: "s:a b".to_owned(), endpoint: "x".to_owned() },
            ),
            (
                r"dapple replica declare-bad 's:a'\''b'\''c    # x' --at x",
                Act::DeclareBad { did: "s:a'b'c    # x".to_owned(), endpoint: "x".to_owned() },
            ),
            ("dapple endpoint list", Act::Nothing),
            ("dapple account usage ada    # what", Act::Nothing),
        ];
        for (help, act) in table {
            assert_eq!(read(help).act, act, "{help}");
        }
        let remedy = read("dapple endpoint probe x    # is it mounted?");
        assert_eq!(
            (remedy.command.as_str(), remedy.remark.as_deref()),
            ("dapple endpoint probe x", Some("is it mounted?"))
        );
    }
}
