//! Tables of what expressions select and refuse, and properties against plain set algebra.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::endpoint::{EndpointKind, Settings};
use crate::model::id::EndpointId;
use crate::model::time::Timestamp;

fn endpoint(number: u32, name: &str, attributes: &[(&str, &str)]) -> Endpoint {
    Endpoint {
        id: EndpointId(number),
        name: EndpointName::parse(name).expect("valid"),
        kind: if number == 0 { EndpointKind::Memory } else { EndpointKind::Posix },
        location: String::new(),
        settings: Settings::default(),
        secret: None,
        probe: None,
        attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        created_at: Timestamp::default(),
    }
}

fn lake() -> Vec<Endpoint> {
    vec![
        endpoint(0, "a", &[("tier", "1"), ("country", "DE"), ("fast", "True")]),
        endpoint(1, "b", &[("tier", "2"), ("country", "DE"), ("fast", "true"), ("q.x", "5")]),
        endpoint(2, "c", &[("tier", "1"), ("country", "FR"), ("fast", "False")]),
        endpoint(3, "d-1", &[("tier", "none"), ("country", "CH"), ("age", "-3")]),
        endpoint(4, "fast", &[("tier", "10"), ("age", "1e2")]),
    ]
}

fn names(selected: &[&Endpoint]) -> String {
    let names: Vec<&str> = selected.iter().map(|e| e.name.as_str()).collect();
    names.join(" ")
}

#[test]
fn expressions_select_what_rucio_selects() {
    let table = [
        ("*", "a b c d-1 fast"),
        ("a", "a"),
        ("A", ""),
        ("d-1", "d-1"),
        ("fast", "a b fast"),
        ("tier=1", "a c"),
        ("tier=01", ""),
        ("fast=True", "a"),
        ("name=b", "b"),
        ("kind=posix", "b c d-1 fast"),
        ("q.x=5", "b"),
        ("tier<2", "a c"),
        ("tier>1", "b fast"),
        ("tier>-1", "a b c fast"),
        ("age<0", "d-1"),
        ("age>99", "fast"),
        ("absent=1", ""),
        ("absent<1", ""),
        ("country=DE|country=FR", "a b c"),
        ("tier=1&country=DE", "a"),
        ("*\\tier=1", "b d-1 fast"),
        // No precedence: (a|b)&country=FR, then ((*\a)\b)|a.
        ("a|b&country=FR", ""),
        ("a|(b&country=DE)", "a b"),
        ("*\\a\\b|a", "a c d-1 fast"),
        ("*\\(a\\b)", "b c d-1 fast"),
        ("((tier=1))&((country=DE|country=FR)\\fast)", "c"),
        ("tier=1&(country=DE|country=FR)\\fast=False", "a"),
    ];
    let lake = lake();
    for (text, expected) in table {
        let expression = Expression::parse(text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(names(&expression.select(&lake)), expected, "{text}");
        assert_eq!(expression.as_str(), text);
    }
}

#[test]
fn errors_point_at_the_character_and_say_what_was_expected() {
    let table = [
        ("", 1, "empty"),
        (" a", 1, "no spaces"),
        ("a | b", 2, "no spaces"),
        ("tier=1& b", 8, "no spaces"),
        ("tier =1", 5, "no spaces"),
        ("a\t", 2, "no spaces"),
        ("a|", 3, "ends early"),
        ("|a", 1, "an endpoint name"),
        ("a||b", 3, "an endpoint name"),
        ("()", 2, "before this `)`"),
        (")", 1, "an endpoint name"),
        ("a)", 2, "no `(`"),
        ("(a|b", 5, "`(` at character 1"),
        ("(a", 3, "`(` at character 1"),
        ("a(b)", 2, "`|`, `&`, `\\` or the end"),
        ("ab*", 3, "`|`, `&`, `\\` or the end"),
        ("*a", 2, "or the end"),
        ("(a,b)", 3, "`)`"),
        ("tier=", 6, "a value"),
        ("tier=(1)", 6, "a value"),
        ("tier==1", 6, "a value"),
        ("tier=1.5", 7, "letters, digits"),
        ("tier=1=2", 7, "or the end"),
        ("tier<x", 6, "a number"),
        ("tier<nan", 6, "a number"),
        ("tier>inf", 6, "a number"),
        ("tier>1e999", 6, "a number"),
        ("a.b", 2, "no `.`"),
        ("a-", 3, "ends with a letter"),
        ("-a", 1, "a letter or digit"),
        ("a__b", 3, "a letter or digit"),
        ("a!b", 2, "or the end"),
        ("tür", 2, "or the end"),
        ("é", 1, "an endpoint name"),
    ];
    for (text, column, words) in table {
        let error = Expression::parse(text).expect_err(text);
        assert_eq!(error.column(), column, "{text}: {error}");
        assert!(error.message().contains(words), "{text}: {error}");
    }
}

#[test]
fn an_error_shows_the_expression_with_a_caret_below() {
    let error = Expression::parse("tier=1 &a").expect_err("a space");
    assert_eq!(
        error.to_string(),
        "an endpoint expression has no spaces: remove the one at the caret\ntier=1 &a\n      ^"
    );
    let error = Expression::parse("a\n|b").expect_err("a line break");
    assert_eq!(error.to_string().lines().count(), 3, "the text stays on its line");
}

#[test]
fn length_and_nesting_are_bounded() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Expression::parse(&nested(EXPRESSION_NESTING_MAX)).is_ok());
    let error = Expression::parse(&nested(EXPRESSION_NESTING_MAX + 1)).expect_err("too deep");
    assert_eq!(error.column(), EXPRESSION_NESTING_MAX + 1);

    assert!(Expression::parse(&"a".repeat(EXPRESSION_CHARS_MAX)).is_ok());
    let error = Expression::parse(&"(".repeat(1_000_000)).expect_err("too long");
    assert_eq!(error.column(), EXPRESSION_CHARS_MAX + 1);
    assert!(error.to_string().len() < 3 * EXPRESSION_CHARS_MAX, "a long text is not shown whole");

    let siblings = vec!["(a)"; 200].join("|");
    assert!(Expression::parse(&siblings).is_ok(), "groups side by side do not nest");
}

#[test]
fn explain_names_each_primitive_in_order_with_what_it_matches() {
    let expression = Expression::parse("tier=1&(fast|*)\\tier>01").expect("valid");
    let told: Vec<String> = expression
        .explain(&lake())
        .into_iter()
        .map(|(primitive, matching)| {
            let names: Vec<&str> = matching.iter().map(EndpointName::as_str).collect();
            format!("{primitive}: {}", names.join(" "))
        })
        .collect();
    assert_eq!(told, ["tier=1: a c", "fast: a b fast", "*: a b c d-1 fast", "tier>01: b fast"]);
}

#[test]
fn json_carries_the_text_and_refuses_what_does_not_parse() {
    let expression: Expression = serde_json::from_str(r#""tier=1\\a""#).expect("valid");
    assert_eq!(expression.as_str(), "tier=1\\a");
    assert_eq!(serde_json::to_string(&expression).expect("text"), r#""tier=1\\a""#);
    assert!(serde_json::from_str::<Expression>(r#""tier =1""#).is_err());
}

/// Set algebra as a textbook has it, over names.
#[derive(Debug, Clone)]
enum Naive {
    Leaf(&'static str),
    Chain(Vec<(char, Naive)>),
}

impl Naive {
    fn text(&self, outermost: bool) -> String {
        match self {
            Naive::Leaf(text) => (*text).to_owned(),
            Naive::Chain(links) => {
                let mut text = String::new();
                for (index, (operator, link)) in links.iter().enumerate() {
                    if index > 0 {
                        text.push(*operator);
                    }
                    text += &link.text(false);
                }
                if outermost { text } else { format!("({text})") }
            }
        }
    }

    fn names(&self, lake: &[Endpoint]) -> BTreeSet<String> {
        match self {
            Naive::Leaf(text) => {
                let holds = |e: &&Endpoint| match text.split_once(['=', '<', '>']) {
                    None => *text == "*" || e.name.as_str() == *text || e.attributes.get(*text) == Some(&"True".into()),
                    Some((key, value)) => e.attributes.get(key).is_some_and(|found| {
                        let order = || Some((found.parse::<f64>().ok()?, value.parse::<f64>().ok()?));
                        match text.as_bytes()[key.len()] {
                            b'<' => order().is_some_and(|(a, b)| a < b),
                            b'>' => order().is_some_and(|(a, b)| a > b),
                            _ => found == value,
                        }
                    }),
                };
                lake.iter().filter(holds).map(|e| e.name.to_string()).collect()
            }
            Naive::Chain(links) => links.iter().fold(BTreeSet::new(), |set, (operator, link)| {
                let other = link.names(lake);
                match operator {
                    '&' => &set & &other,
                    '\\' => &set - &other,
                    _ => &set | &other,
                }
            }),
        }
    }
}

fn naive() -> impl Strategy<Value = Naive> {
    let leaves = ["*", "a", "b", "zz", "fast", "t=1", "t=2", "t<2", "t>1", "t<1e1", "u=x", "u>0"];
    let leaf = proptest::sample::select(leaves.to_vec()).prop_map(Naive::Leaf);
    leaf.prop_recursive(4, 24, 5, |inner| {
        let link = (proptest::sample::select(vec!['|', '&', '\\']), inner);
        proptest::collection::vec(link, 1..5).prop_map(|mut links| {
            // The first link joins the empty set.
            links[0].0 = '|';
            Naive::Chain(links)
        })
    })
}

fn random_lake() -> impl Strategy<Value = Vec<Endpoint>> {
    let attributes = (
        proptest::option::of(proptest::sample::select(vec!["1", "2", "03", "x", "-1"])),
        proptest::option::of(proptest::sample::select(vec!["x", "True", "7"])),
        any::<bool>(),
    );
    proptest::collection::vec(attributes, 0..6).prop_map(|all| {
        let names = ["a", "b", "c", "d", "e", "f"];
        let build = |(number, (t, u, fast)): (usize, (Option<&str>, Option<&str>, bool))| {
            let mut pairs = Vec::new();
            pairs.extend(t.map(|value| ("t", value)));
            pairs.extend(u.map(|value| ("u", value)));
            pairs.extend(fast.then_some(("fast", "True")));
            endpoint(u32::try_from(number).expect("few"), names[number], &pairs)
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    #[test]
    fn selecting_agrees_with_set_algebra(naive in naive(), lake in random_lake()) {
        let expression = Expression::parse(&naive.text(true)).expect("made from the grammar");
        let selected: Vec<String> = expression.select(&lake).iter().map(|e| e.name.to_string()).collect();
        let expected: Vec<String> = naive.names(&lake).into_iter().collect();
        prop_assert_eq!(selected, expected);
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_caret_below_it(text in "([a-c=<>|&()*\\\\. _-]{0,40}|\\PC{0,40}|.{0,40})") {
        match Expression::parse(&text) {
            Ok(expression) => {
                prop_assert_eq!(expression.as_str(), &text);
                prop_assert_eq!(expression.select(&lake()).len() <= 5, true);
            }
            Err(error) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&error.column()));
                prop_assert!(error.to_string().ends_with('^'));
            }
        }
    }
}
