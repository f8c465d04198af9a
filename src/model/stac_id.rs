//! Names of DIDs and scopes as STAC has them: one segment of a path, of few letters. `scope--name`
//! stands for a DID and `scope` for a scope; all bytes but letters, digits, `.`, `_` and `-` are
//! written `~XX`. A DID has one such name, and a name one DID.

use crate::model::did::{Did, DidName};
use crate::model::scope::Scope;

/// Divides the scope from the name: no written scope has it in it, or half of it at its end.
const DIVIDER: &str = "--";

/// What a STAC id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// A scope.
    Scope(Scope),
    /// A DID.
    Did(Did),
}

/// The id of a DID.
pub fn of_did(did: &Did) -> String {
    let mut id = of_scope(&did.scope);
    id.push_str(DIVIDER);
    for byte in did.name.as_str().bytes() {
        push(&mut id, byte);
    }
    id
}

/// The id of a scope.
pub fn of_scope(scope: &Scope) -> String {
    let bytes = scope.as_str().as_bytes();
    let mut id = String::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        if byte == b'-' && bytes.get(at + 1).is_none_or(|next| *next == b'-') {
            escape(&mut id, byte);
        } else {
            push(&mut id, byte);
        }
    }
    id
}

/// What an id stands for; `None` if nothing can have it.
pub fn parse(id: &str) -> Option<Named> {
    let named = match id.split_once(DIVIDER) {
        None => Named::Scope(Scope::parse(&read(id)?).ok()?),
        Some((scope, name)) => {
            Named::Did(Did { scope: Scope::parse(&read(scope)?).ok()?, name: DidName::parse(&read(name)?).ok()? })
        }
    };
    let written = match &named {
        Named::Scope(scope) => of_scope(scope),
        Named::Did(did) => of_did(did),
    };
    // Escapes that were not needed, or are in small letters, would be second names.
    (written == id).then_some(named)
}

/// A text with the same letters, for what is no DID: a key within an item.
pub fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        push(&mut safe, byte);
    }
    safe
}

fn push(id: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
        id.push(char::from(byte));
    } else {
        escape(id, byte);
    }
}

fn escape(id: &mut String, byte: u8) {
    id.push_str(&format!("~{byte:02X}"));
}

fn read(id: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'~' {
            bytes.push(first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_what_they_are() {
        for (did, id) in [
            ("cms:run1", "cms--run1"),
            ("cms:run/1 ü", "cms--run~2F1~20~C3~BC"),
            ("a-b:c-d--e", "a-b--c-d--e"),
            ("a-:b", "a~2D--b"),
            ("a--b:c", "a~2D-b--c"),
            ("a:-b", "a---b"),
            ("a:~", "a--~7E"),
        ] {
            let did: Did = did.parse().expect("a DID");
            assert_eq!(of_did(&did), id);
            assert_eq!(parse(id), Some(Named::Did(did)));
        }
        let scope = Scope::parse("a--b-").expect("a scope");
        assert_eq!(of_scope(&scope), "a~2D-b~2D");
        assert_eq!(parse("a~2D-b~2D"), Some(Named::Scope(scope)));
        for id in ["", "--a", "a--", "~", "a--~4", "a--~41", "a--~c3~bc", "a--~FF", "a/b", "a--b/c", "a--~00", "~2Da"] {
            assert_eq!(parse(id), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn every_did_has_one_id_and_every_id_one_did(scope in "[a-z0-9][a-z.-]{0,24}", name in "[^\\p{C}]{1,60}") {
            let did: Did = format!("{scope}:{name}").parse().expect("a DID");
            let id = of_did(&did);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte)));
            prop_assert_eq!(parse(&id), Some(Named::Did(did.clone())));
            let of_scope = of_scope(&did.scope);
            prop_assert!(!of_scope.contains("--"));
            prop_assert_eq!(parse(&of_scope), Some(Named::Scope(did.scope)));
        }

        #[test]
        fn what_is_read_is_written_the_same(id in "[a-b~20-9A-F.-]{0,12}") {
            match parse(&id) {
                None => {}
                Some(Named::Scope(scope)) => prop_assert_eq!(of_scope(&scope), id),
                Some(Named::Did(did)) => prop_assert_eq!(of_did(&did), id),
            }
        }
    }
}
