//! What settings say of themselves: a template, a description, and the reference page.

use crate::config::declared::{Declared, Section};
use crate::config::settings::SECTIONS;

/// A description of one setting.
pub fn describe(of: &Declared) -> String {
    let default = match of.default {
        "" => "not set",
        text => text,
    };
    format!(
        "{}\n\n{}\n\n  write     {}\n  default   {default}\n  variable  {}\n",
        of.key,
        prose(of.about),
        (of.wanted)(),
        of.variable()
    )
}

/// A file with every setting at its default, commented out.
pub fn template() -> String {
    let mut text = "# Settings of dapple. Whatever is commented out is as shown.\n".to_owned();
    for section in SECTIONS {
        text += &format!("\n{}[{}]\n", commented(section.about), section.name);
        for key in section.keys {
            text += &format!("{}# {} = {}\n", commented(key.about), key.name, key.default_in_file());
        }
    }
    text
}

/// The reference page below its head.
pub fn reference() -> String {
    SECTIONS.iter().map(section).collect()
}

fn section(of: &Section) -> String {
    let mut text = format!("\n## {}\n\n{}\n", of.name, prose(of.about));
    for key in of.keys {
        let default = match key.default {
            "" => "not set".to_owned(),
            text => format!("`{text}`"),
        };
        let (name, about, wanted, variable) = (key.key, prose(key.about), (key.wanted)(), key.variable());
        text += &format!("\n### {name}\n\n{about}\n\nWrite {wanted}. Default: {default}. Variable: `{variable}`.\n");
    }
    text
}

fn prose(about: &str) -> String {
    about.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

fn commented(about: &str) -> String {
    about.lines().map(|line| ["# ", line.trim(), "\n"].concat()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::resolve::{Origin, Sources, resolve};

    const HEAD: &str = "\
# Settings

This page is made from the settings' own declarations by a test. To bring it up to date:
`UPDATE_DOCS=1 cargo test --lib reference`.

A server takes each setting from the last of these that has it: its default, the file, the environment,
the flags of `dapple serve`. The file is the one that `--config` or `DAPPLE_CONFIG` names, else
`/etc/dapple/dapple.toml` if that is there. Relative paths in it are taken from its own directory.

A setting, section or `DAPPLE_` variable that dapple does not know is an error, with the line and what
may have been meant. Sizes and spans have units: `4MiB`, `30s`.

| command | what it does |
|---|---|
| `dapple config template` | prints a file with every setting at its default, commented out |
| `dapple config check FILE` | tells whether a file can be used, and all that is wrong with it |
| `dapple config show --origin` | shows every setting that holds here, and where it comes from |
| `dapple config describe KEY` | tells what one setting does |

How to run a server, with TLS, behind a proxy, watched by Prometheus, stands in
[operate.md](operate.md).
";

    #[test]
    fn the_reference_page_is_what_the_settings_say() {
        let page = HEAD.to_owned() + &reference();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).expect("docs can be written");
        }
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(stored == page, "docs/settings.md differs: run `UPDATE_DOCS=1 cargo test --lib reference`");
    }

    #[test]
    fn the_template_is_the_defaults_with_and_without_its_comment_marks() {
        let is_key = |line: &str| {
            SECTIONS.iter().flat_map(|s| s.keys).any(|key| line.starts_with(&format!("# {} = ", key.name)))
        };
        let bared: String = template()
            .lines()
            .map(|line| if is_key(line) { format!("{}\n", &line[2..]) } else { format!("{line}\n") })
            .collect();
        let plain = resolve(&Sources::default()).expect("defaults");
        for text in [template(), bared] {
            let file = Some((PathBuf::from("dapple.toml"), text));
            let read = resolve(&Sources { file, ..Sources::default() }).unwrap_or_else(|slips| panic!("{slips}"));
            assert_eq!(read.settings, plain.settings);
        }
        assert!(plain.shown.iter().all(|shown| shown.origin == Origin::Default));
    }
}
