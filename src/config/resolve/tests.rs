//! Where values come from, which one wins, and what is told of those that are wrong.

use super::*;

fn sources(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Sources {
    Sources {
        file: (!file.is_empty()).then(|| (PathBuf::from("/etc/lake/dapple.toml"), file.to_owned())),
        variables: variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
        flags: flags.iter().map(|(key, flag, text)| (*key, *flag, (*text).to_owned())).collect(),
        directory: PathBuf::from("/here"),
    }
}

fn slips(of: &Sources) -> Vec<String> {
    let slips = resolve(of).expect_err("something is wrong");
    slips.0.iter().map(|slip| format!("{}: {}", slip.origin, slip.what)).collect()
}

#[test]
fn what_comes_later_wins_and_says_where_it_came_from() {
    let file = "[serve]\ndir = \"lake\"\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n\n[limits]\nconnections = 5\n";
    let flags = [("serve.listen", "--listen", "127.0.0.1:4")];
    let variables = [("DAPPLE_SERVE_LISTEN", "127.0.0.1:3"), ("DAPPLE_TLS_KEY", ""), ("DAPPLE_LOG", "debug")];
    let resolved = resolve(&sources(file, &variables, &flags)).expect("good");
    let at = |key: &str| {
        let shown = resolved.shown.iter().find(|shown| shown.key == key).expect("there is such a setting");
        format!("{} ({})", shown.value, shown.origin)
    };
    assert_eq!(at("serve.dir"), "/etc/lake/lake (/etc/lake/dapple.toml:2)");
    assert_eq!(at("serve.listen"), "127.0.0.1:4 (--listen)");
    assert_eq!(at("limits.connections"), "5 (/etc/lake/dapple.toml:6)");
    assert_eq!(at("limits.json_bytes"), "4MiB (default)");
    assert_eq!(at("log.level"), "debug (DAPPLE_LOG)");
    assert_eq!(at("tls.key"), " (default)");
    let without = resolve(&sources(file, &variables, &[])).expect("good");
    assert_eq!(without.settings.serve.listen[0].address.port(), 3);
    assert_eq!(resolve(&sources(file, &[], &[])).expect("good").settings.serve.listen.len(), 2);
    let relative = resolve(&sources("", &[], &[("serve.dir", "--dir", "lake")])).expect("good");
    assert_eq!(relative.settings.serve.dir, Some(PathBuf::from("/here/lake")));
}

#[test]
fn what_is_not_known_is_an_error_with_its_line_and_what_may_have_been_meant() {
    let file = "[limits]\njson_byte = \"1MiB\"\nwhatever = 1\n[serv]\n[log]\nformat = 3.5\n";
    let found = slips(&sources(file, &[("DAPPLE_LIMITS_CONECTIONS", "1"), ("DAPPLE_LOG_LEVEL", "info")], &[]));
    let wanted = [
        "/etc/lake/dapple.toml:2: there is no setting `limits.json_byte`; did you mean `limits.json_bytes`?",
        "/etc/lake/dapple.toml:3: there is no setting `limits.whatever`; `dapple config template` has all there are",
        "/etc/lake/dapple.toml:4: there is no section `serv`; did you mean `serve`?",
        "/etc/lake/dapple.toml:6: log.format cannot be a float: write text or json",
        "DAPPLE_LIMITS_CONECTIONS: there is no variable `DAPPLE_LIMITS_CONECTIONS`; did you mean \
         `DAPPLE_LIMITS_CONNECTIONS`?",
        "DAPPLE_LOG_LEVEL: there is no variable `DAPPLE_LOG_LEVEL`; `dapple config template` has all there are",
    ];
    assert_eq!(found, wanted);
    let others =
        [("DAPPLE_URL", "x"), ("DAPPLE_SERVICE_HOST", "10.0.0.1"), ("DAPPLE_PORT_7070_TCP", "x"), ("HOME", "/")];
    assert!(resolve(&sources("", &others, &[])).is_ok(), "Kubernetes and clients have variables of their own");
}

#[test]
fn what_cannot_be_read_says_what_to_write() {
    let table = [
        (
            "[limits]\njson_bytes = \"4Mi\"",
            ":2: limits.json_bytes cannot be `4Mi`: write a number of bytes such as 16KiB, from 16KiB to 1GiB",
        ),
        (
            "[limits]\n\nheader_time = 30",
            ":3: limits.header_time cannot be `30`: write a span of time such as 1s, from 1s to 1h",
        ),
        ("[serve]\nlisten = 7070", ":2: serve.listen cannot be `7070`: write an address such as"),
        (
            "[limits]\nconnections = [1]",
            ":2: limits.connections cannot be the list [1]: write a number from 1 to 1000000",
        ),
        ("serve = 1", ":1: `serve` is a section: write [serve], and its settings below"),
        ("[serve]\nlisten = ", ":2: this is not TOML"),
        ("[serve]\ndir = \"a\"\ndir = \"b\"", ":3: this is not TOML"),
        ("[tls]\nkey = \"k\"", ":2: a key needs its certificate"),
        ("[tls]\ncertificate = \"k\"", ":2: a certificate needs its key"),
        ("[metrics]\nlisten = \"https://127.0.0.1:1\"", ":2: https:// needs a certificate"),
        ("[serve]\nlisten = []", ":2: a server listens somewhere"),
    ];
    for (file, wanted) in table {
        let found = slips(&sources(file, &[], &[]));
        let one = matches!(&found[..], [only] if only.starts_with("/etc/lake/dapple.toml:") && only.contains(wanted));
        assert!(one, "{file}\n wanted {wanted}\n found {found:#?}");
    }
}

#[test]
fn every_variable_is_one_settings_alone() {
    let mut names: Vec<_> = all().map(Declared::variable).collect();
    names.extend(OTHER_VARIABLES.map(str::to_owned));
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
}
