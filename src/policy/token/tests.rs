//! What a token carries, and every way of tampering with one.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::did::Did;
use crate::model::id::{DidId, EndpointId, IntentId};
use crate::policy::grant::Methods;

const ISSUED_AT: u64 = 1_795_000_000;
const EXPIRES_AT: u64 = ISSUED_AT + 3_600;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn did(text: &str) -> Did {
    text.parse().expect("valid")
}

fn key() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

fn verifier() -> Verifier {
    Verifier::new([key().public_key()])
}

fn grant(methods: Methods, target: Target) -> Grant {
    Grant {
        id: GrantId(u128::MAX),
        subject: AccountName::root(),
        issued_at: at(ISSUED_AT),
        not_before: at(ISSUED_AT),
        expires_at: at(EXPIRES_AT),
        methods,
        target,
        from: None,
        mode: Mode::Stream,
        decision: DecisionId(42),
    }
}

fn object() -> Grant {
    let target = Target::Object { did: did("climate:t2m/2026.nc"), id: DidId(u64::MAX) };
    grant(Methods::READ, target)
}

fn upload(did: Did) -> Grant {
    let target = Target::Upload {
        did,
        id: DidId(1 << 60),
        endpoint: EndpointId(3),
        intent: IntentId(9),
        bytes: u64::MAX,
        checksum: "md5:d41d8cd98f00b204e9800998ecf8427e".parse().expect("valid"),
    };
    grant(Methods::WRITE, target)
}

fn dataset(up_to_seq: Option<u64>) -> Grant {
    let target = Target::Dataset { did: did("climate:t2m"), id: DidId(5), up_to: None, up_to_seq };
    grant(Methods::READ, target)
}

/// Signs any header and claims with the trusted key.
fn forge(header: &Header, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &key().private).expect("signs")
}

fn claims_of(grant: &Grant) -> Value {
    serde_json::to_value(Claims::from(grant)).expect("plain JSON")
}

fn malformed(result: &Result<Grant, GrantError>) -> bool {
    matches!(result, Err(GrantError::Malformed { .. }))
}

#[test]
fn a_grant_survives_its_journey() {
    let narrowed = Grant { from: Some(EndpointId(u32::MAX)), mode: Mode::Redirect, ..object() };
    let mut sealed = dataset(None);
    if let Target::Dataset { id, up_to, .. } = &mut sealed.target {
        *up_to = Some(key().places().seal(*id, 17));
    }
    for grant in [object(), narrowed, dataset(None), dataset(Some(17)), sealed, upload(did("s:ü \"quoted\""))] {
        let token = key().mint(&grant).expect("mints");
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)));
        assert_eq!(verifier().verify(&token, at(ISSUED_AT)), Ok(grant));
    }
}

#[test]
fn what_is_on_the_wire_is_pinned() {
    let token = key().mint(&upload(did("s:n"))).expect("mints");
    let header = jsonwebtoken::decode_header(&token).expect("readable");
    assert_eq!(header.kid, Some(key().key_id()));
    insta::assert_json_snapshot!(claims_of(&upload(did("s:n"))));
}

#[test]
fn what_narrows_a_read_is_a_claim_and_else_none() {
    let narrowed = Grant { from: Some(EndpointId(3)), mode: Mode::Redirect, ..dataset(None) };
    let claims = claims_of(&narrowed);
    assert_eq!((&claims["grant"]["from"], &claims["grant"]["mode"]), (&json!(3), &json!("redirect")));
    // What dapple minted before there were these claims looks like this, and is still good.
    let mut before = claims;
    for claim in ["from", "mode"] {
        before["grant"].as_object_mut().expect("object").remove(claim);
    }
    assert_eq!(before, claims_of(&dataset(None)));
    assert_eq!(verifier().verify(&forge(&key().header, &before), at(ISSUED_AT)), Ok(dataset(None)));
}

#[test]
fn a_seed_gives_the_key_that_rfc_8032_says() {
    // Section 7.1, test 1.
    let seed = blake3::Hash::from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = SigningKey::from_seed(*seed.expect("hexadecimal").as_bytes());
    let public = blake3::Hash::from_bytes(key.public_key()).to_hex();
    assert_eq!(public.as_str(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_eq!(key.key_id(), key_id(&key.public_key()));
    assert_eq!(key.key_id().len(), 16);
}

#[test]
fn debug_output_hides_the_private_key() {
    let shown = format!("{:?}", key());
    assert!(shown.contains(&key().key_id()) && !shown.contains("7, 7"), "{shown}");
}

#[test]
fn time_is_exact_at_the_end_and_lenient_at_the_beginning() {
    let token = key().mint(&object()).expect("mints");
    let verify = |millis| verifier().verify(&token, Timestamp::from_millis(millis)).map(|_| ());
    assert_eq!(verify(EXPIRES_AT * 1_000 - 1), Ok(()));
    assert_eq!(verify(EXPIRES_AT * 1_000), Err(GrantError::Expired { at: at(EXPIRES_AT) }));
    assert_eq!(verify((ISSUED_AT - 30) * 1_000), Ok(()));
    assert_eq!(verify((ISSUED_AT - 30) * 1_000 - 1), Err(GrantError::NotYetValid { from: at(ISSUED_AT) }));
    assert!(verify(u64::MAX).is_err());
    assert!(verify(0).is_err());
}

#[test]
fn only_trusted_keys_open() {
    let token = SigningKey::from_seed([8; 32]).mint(&object()).expect("mints");
    assert_eq!(verifier().verify(&token, at(ISSUED_AT)), Err(GrantError::UnknownKey));

    // A stranger signs under the name of the trusted key.
    let stranger = SigningKey { header: key().header, ..SigningKey::from_seed([8; 32]) };
    let token = stranger.mint(&object()).expect("mints");
    assert_eq!(verifier().verify(&token, at(ISSUED_AT)), Err(GrantError::BadSignature));

    let both = Verifier::new([key().public_key(), SigningKey::from_seed([8; 32]).public_key()]);
    for seed in [7, 8] {
        let token = SigningKey::from_seed([seed; 32]).mint(&object()).expect("mints");
        assert!(both.verify(&token, at(ISSUED_AT)).is_ok());
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let token = key().mint(&object()).expect("mints");
    for (place, letter) in token.bytes().enumerate() {
        for bit in 0..7 {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = letter ^ (1 << bit);
            let changed = String::from_utf8(bytes).expect("still ASCII");
            let result = verifier().verify(&changed, at(ISSUED_AT));
            assert!(result.is_err(), "bit {bit} of character {place}");
        }
    }
}

#[test]
fn parts_of_two_tokens_do_not_combine() {
    let (one, two) = (key().mint(&object()), key().mint(&dataset(None)));
    let (one, two) = (one.expect("mints"), two.expect("mints"));
    let (head, signature) = one.rsplit_once('.').expect("three parts");
    let (other_head, _) = two.rsplit_once('.').expect("three parts");
    let swapped = format!("{other_head}.{signature}");
    assert_eq!(verifier().verify(&swapped, at(ISSUED_AT)), Err(GrantError::BadSignature));
    for broken in [
        "",
        ".",
        "..",
        "a.b.c",
        head,
        &format!("{head}."),
        &format!("{one}.x"),
        &format!("{one}="),
        &format!(" {one}"),
        &format!("{one}\n"),
    ] {
        assert!(verifier().verify(broken, at(ISSUED_AT)).is_err(), "{broken:?}");
    }
}

#[test]
fn the_algorithm_is_pinned() {
    let claims = claims_of(&object());
    let payload = key().mint(&object()).expect("mints");
    let payload = payload.split('.').nth(1).expect("three parts");
    // {"typ":"JWT","alg":"none","kid":"..."}, without and with something in the signature's place.
    let none = base64url(&json!({"typ": "JWT", "alg": "none", "kid": key().key_id()}));
    assert!(malformed(&verifier().verify(&format!("{none}.{payload}."), at(ISSUED_AT))));
    assert!(malformed(&verifier().verify(&format!("{none}.{payload}.AAAA"), at(ISSUED_AT))));

    // The classic substitution: the public key, known to all, as the secret of an HMAC.
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let mut header = Header::new(algorithm);
        header.kid = Some(key().key_id());
        let secret = EncodingKey::from_secret(&key().public_key());
        let token = jsonwebtoken::encode(&header, &claims, &secret).expect("signs");
        assert!(malformed(&verifier().verify(&token, at(ISSUED_AT))), "{algorithm:?}");
    }
}

#[test]
fn headers_say_nothing_more_than_they_must() {
    type Change = fn(&mut Header);
    let good = key().header;
    let changes: [(&str, Change); 7] = [
        ("no kid", |h| h.kid = None),
        ("no typ", |h| h.typ = None),
        ("another typ", |h| h.typ = Some("at+jwt".to_owned())),
        ("a key of its own", |h| {
            h.jwk = Jwk::from_encoding_key(&key().private, Algorithm::EdDSA).ok();
        }),
        ("a key from elsewhere", |h| {
            h.jku = Some("https://example.org/keys".to_owned());
        }),
        ("critical extensions", |h| h.crit = Some(vec!["b64".to_owned()])),
        ("something unknown", |h| {
            h.extras.insert("x", 1);
        }),
    ];
    for (what, change) in changes {
        let mut header = good.clone();
        change(&mut header);
        let token = forge(&header, &claims_of(&object()));
        assert!(malformed(&verifier().verify(&token, at(ISSUED_AT))), "{what}");
    }
}

#[test]
fn claims_that_are_missing_wrong_or_unknown_are_refused_though_signed() {
    let good = claims_of(&object());
    assert!(verifier().verify(&forge(&key().header, &good), at(ISSUED_AT)).is_ok());

    let refused = |claims: &Value, what: &str| {
        let result = verifier().verify(&forge(&key().header, claims), at(ISSUED_AT));
        assert!(malformed(&result), "{what}");
    };
    for claim in ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "grant"] {
        let mut claims = good.clone();
        claims.as_object_mut().expect("object").remove(claim);
        refused(&claims, claim);
    }
    for claim in ["v", "methods", "target", "decision"] {
        let mut claims = good.clone();
        claims["grant"].as_object_mut().expect("object").remove(claim);
        refused(&claims, claim);
    }
    let object_target = good["grant"]["target"].clone();
    let narrowed = claims_of(&Grant { from: Some(EndpointId(3)), mode: Mode::Redirect, ..object() });
    let changes = [
        ("/iss", json!("other")),
        ("/aud", json!("other")),
        ("/aud", json!(["dapple", "other"])),
        ("/sub", json!("Not An Account")),
        ("/jti", json!("1")),
        ("/exp", json!("1795003600")),
        ("/exp", json!(u64::MAX)),
        ("/exp", json!(1_795_003_600.5)),
        ("/exp", json!(ISSUED_AT)),
        ("/nbf", json!(-1)),
        ("/grant/v", json!(0)),
        ("/grant/v", json!(2)),
        ("/grant/methods", json!([])),
        ("/grant/methods", json!(["write"])),
        ("/grant/methods", json!(["read", "write"])),
        ("/grant/methods", json!(["delete"])),
        ("/grant/from", json!("lisbon")),
        ("/grant/from", json!(-1)),
        ("/grant/mode", json!("proxy")),
        ("/grant/mode", json!(null)),
        ("/grant/target", json!({"prefix": {"path": "/"}})),
        ("/grant/target", json!({})),
        ("/grant/target/object/did", json!("no-scope")),
    ];
    for (pointer, value) in changes {
        let mut claims = narrowed.clone();
        *claims.pointer_mut(pointer).expect("there") = value.clone();
        refused(&claims, &format!("{pointer} = {value}"));
    }
    for pointer in ["", "/grant", "/grant/target", "/grant/target/object"] {
        let mut claims = good.clone();
        claims.pointer_mut(pointer).expect("there")["ip"] = json!("10.0.0.0/8");
        refused(&claims, &format!("an unknown claim in {pointer}"));
    }
    let mut two_targets = good.clone();
    two_targets["grant"]["target"]["dataset"] = object_target["object"].clone();
    refused(&two_targets, "two targets");
}

#[test]
fn grants_without_sense_and_tokens_beyond_the_limit_are_not_minted() {
    let no_method = grant(Methods::from_iter([]), object().target);
    let wrong_method = grant(Methods::WRITE, object().target);
    let mut no_time = object();
    no_time.expires_at = no_time.not_before;
    // Each quote is escaped in JSON, so this name, though allowed, grows beyond the limit.
    let long = upload(did(&format!("s:{}", vec!["\"".repeat(200); 4].join("/"))));
    let read_from = Grant { from: Some(EndpointId(1)), ..upload(did("s:n")) };
    let redirected = Grant { mode: Mode::Redirect, ..upload(did("s:n")) };
    for grant in [no_method, wrong_method, no_time, long, read_from, redirected] {
        assert!(matches!(key().mint(&grant), Err(GrantError::Malformed { .. })), "{grant:?}");
    }
    let longest = vec!["x".repeat(200); 4].join("/");
    let token = key().mint(&upload(did(&format!("s:{longest}")))).expect("ordinary names fit");
    assert!(verifier().verify(&token, at(ISSUED_AT)).is_ok());
    let usual = key().mint(&object()).expect("mints");
    assert!(usual.len() < 560, "{} characters are more than the docs say", usual.len());
    let padded = format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX));
    assert_eq!(verifier().verify(&padded, at(ISSUED_AT)), Err(TOO_LONG));
}

fn base64url(value: &Value) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let text = value.to_string();
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let digit = (bits >> (18 - 6 * place)) & 63;
            out.push(char::from(ALPHABET[digit as usize]));
        }
    }
    out
}

proptest! {
    #[test]
    fn no_text_makes_the_verifier_panic(text in ".{0,200}", place in 0_usize..400, with in any::<char>()) {
        let _ = verifier().verify(&text, at(ISSUED_AT));
        let mut token: Vec<char> = key().mint(&object()).expect("mints").chars().collect();
        let place = place % token.len();
        if token[place] != with {
            token[place] = with;
            let changed: String = token.into_iter().collect();
            prop_assert!(verifier().verify(&changed, at(ISSUED_AT)).is_err());
        }
    }
}
