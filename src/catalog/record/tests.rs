//! Golden records: what was written once is read for ever.

use super::*;
use crate::catalog::record::accounts::{AccountRecord, ApiKeyRecord};
use crate::model::account::AccountKind;
use crate::model::api_key::{KeyReach, KeyScope};
use crate::model::endpoint::Addressing;
use crate::model::probe::{Feature, Finding};

fn text(value: &str) -> Vec<u8> {
    let length = u8::try_from(value.len()).expect("short");
    [&[length], value.as_bytes()].concat()
}

/// Version 1 as it was written: name, kind, location, attributes, time.
fn version_1() -> Vec<u8> {
    let attributes = [vec![1], text("tier"), text("1")].concat();
    // 1,000 milliseconds as a varint.
    [vec![1], text("lisbon"), vec![0], text("/data/lisbon"), attributes, vec![0xe8, 0x07]].concat()
}

#[test]
fn an_endpoint_of_version_1_is_still_read() {
    let record = EndpointRecord::decode(&version_1()).expect("it was written once");
    let expected = EndpointRecord {
        name: EndpointName::parse("lisbon").expect("a name"),
        kind: EndpointKind::Posix,
        location: "/data/lisbon".to_owned(),
        attributes: BTreeMap::from([("tier".to_owned(), "1".to_owned())]),
        created_at: Timestamp::from_millis(1_000),
        settings: Settings::default(),
        secret: None,
        probe: None,
    };
    assert_eq!(record, expected);
    assert_eq!(EndpointRecord::decode(&record.encode()).expect("written anew"), expected);
}

#[test]
fn an_endpoint_of_version_2_is_written_as_it_was() {
    let mut record = EndpointRecord::decode(&version_1()).expect("it was written once");
    record.kind = EndpointKind::S3;
    record.settings =
        Settings { region: Some("eu".to_owned()), addressing: Addressing::VirtualHost, ca: None, redirect: true };
    record.secret = Some(SealedSecret::new(vec![9, 200]));
    let finding = Finding { feature: Feature::Room, holds: true, seen: "x".to_owned() };
    record.probe = Some(Probe { at: Timestamp::from_millis(2), findings: vec![finding] });
    // After the bytes of version 1: region, addressing, no certificates, redirect; the sealed
    // secret; the time of the probe and its one finding.
    let mut golden = version_1();
    golden[0] = 2;
    golden[8] = 2;
    golden.extend([1, 2, b'e', b'u', 1, 0, 1]);
    golden.extend([1, 2, 9, 200]);
    golden.extend([1, 2, 1, 13, 1, 1, b'x']);
    assert_eq!(record.encode(), golden);
    assert_eq!(EndpointRecord::decode(&golden).expect("a golden record"), record);
    let newer = EndpointRecord::decode(&[3]).expect_err("a version to come");
    assert!(matches!(newer, DecodeError::NewerVersion { version: 3, known: 2 }), "{newer}");
}

#[test]
fn causes_and_passes_of_version_1_are_written_as_they_were() {
    let before = BTreeMap::from([("tier".to_owned(), "1".to_owned())]);
    let causes = [
        (CauseRecord::Endpoint { id: EndpointId(7), before }, [vec![1, 0, 7, 1], text("tier"), text("1")].concat()),
        (CauseRecord::Account(AccountName::root()), [vec![1, 1], text("root")].concat()),
        (CauseRecord::Scope(Scope::parse("s").expect("a scope")), [vec![1, 2], text("s")].concat()),
        (CauseRecord::Files(DidId(9)), vec![1, 3, 9]),
    ];
    for (record, golden) in causes {
        assert_eq!(record.encode(), golden);
        assert_eq!(CauseRecord::decode(&golden).expect("a golden record"), record);
    }
    let pass = PassRecord { policies: 3, labels: 4, every: true, causes: vec![5], after: Some(RuleId(6)) };
    let golden = [&[1, 3, 4, 1, 1, 5, 1][..], &6_u128.to_be_bytes()].concat();
    assert_eq!(pass.encode(), golden);
    assert_eq!(PassRecord::decode(&golden).expect("a golden record"), pass);
}

#[test]
fn answers_of_version_1_are_for_whole_keys_and_version_2_is_written_as_it_was() {
    let old = [vec![1], vec![5; 32], vec![0xc9, 0x01, 1], text("ab"), text("{}"), vec![3]].concat();
    let mut record = AnswerRecord::decode(&old).expect("it was written once");
    assert_eq!((record.request, record.status, record.at), ([5; 32], 201, Timestamp::from_millis(3)));
    assert_eq!(record.reach, KeyReach::whole());
    record.reach = KeyReach { scopes: [KeyScope::Write].into(), ..KeyReach::whole() };
    // After the bytes of version 1: one key scope; all data, no ranges, no end.
    let golden = [&[2], &old[1..], &[1, 1, 0, 0, 0]].concat();
    assert_eq!(record.encode(), golden);
    assert_eq!(AnswerRecord::decode(&golden).expect("a golden record"), record);
}

#[test]
fn accounts_of_version_1_are_users_and_version_2_is_written_as_it_was() {
    // Admin, 1,000 milliseconds as a varint.
    let mut record = AccountRecord::decode(&[1, 1, 0xe8, 0x07]).expect("it was written once");
    assert!(record.admin && record.kind == AccountKind::User && record.suspended_at.is_none());
    assert_eq!(record.created_at, Timestamp::from_millis(1_000));
    (record.kind, record.admin) = (AccountKind::Service, false);
    (record.suspended_at, record.email) = (Some(Timestamp::from_millis(2)), Some("a@b".to_owned()));
    let golden = [&[2, 0, 0xe8, 0x07, 2, 1, 2, 1][..], &text("a@b"), &[0]].concat();
    assert_eq!(record.encode(), golden);
    assert_eq!(AccountRecord::decode(&golden).expect("a golden record"), record);
}

#[test]
fn keys_of_version_1_are_whole_and_version_2_is_written_as_it_was() {
    let old = [&[1][..], &text("root"), &[0xe8, 0x07]].concat();
    let mut record = ApiKeyRecord::decode(&old).expect("it was written once");
    assert_eq!((record.account.as_str(), &record.reach), ("root", &KeyReach::whole()));
    let only = Some(std::collections::BTreeSet::from([Scope::parse("s").expect("a scope")]));
    let ranges = vec!["10.0.0.0/8".parse().expect("a range")];
    let ends_at = Some(Timestamp::from_millis(3));
    record.reach = KeyReach { scopes: [KeyScope::Read, KeyScope::Rules].into(), only, ranges, ends_at };
    record.name = "n".to_owned();
    let reach = [&[2, 0, 2, 1, 1][..], &text("s"), &[1], &text("10.0.0.0/8"), &[1, 3]].concat();
    let golden = [&[2][..], &text("root"), &[0xe8, 0x07], &text("n"), &reach, &text("root")].concat();
    assert_eq!(record.encode(), golden);
    assert_eq!(ApiKeyRecord::decode(&golden).expect("a golden record"), record);
}

#[test]
fn metadata_of_version_1_is_written_as_it_was() {
    let json = r#"{"title":"t"}"#.to_owned();
    let (at, by) = (Timestamp::from_millis(1_000), AccountName::root());
    let record = MetadataRecord { revision: 3, at, by, json };
    let golden = [&[1, 3, 0xe8, 0x07][..], &text("root"), &text(r#"{"title":"t"}"#)].concat();
    assert_eq!(record.encode(), golden);
    assert_eq!(MetadataRecord::decode(&golden).expect("a golden record"), record);
}
