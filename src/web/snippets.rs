//! The same file in many tools: a signed URL as lines to copy. Pure.

use crate::model::shell::quoted;

/// Lines for one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snippet {
    /// The tool.
    pub(super) tool: &'static str,
    /// What to type there.
    pub(super) text: String,
}

/// How a file is read by a signed URL. The name is what a copy is called.
pub(super) fn of_file(url: &str, name: &str) -> Vec<Snippet> {
    let name = name.rsplit('/').next().unwrap_or(name);
    let (to, there, python) = (quoted(name), quoted(url), python_text(url));
    let snippet = |tool, text| Snippet { tool, text };
    vec![
        snippet("curl", format!("curl --fail --location --output {to} {there}")),
        snippet("wget", format!("wget --output-document={to} {there}")),
        snippet(
            "Python",
            format!("import urllib.request\n\nurllib.request.urlretrieve({python}, {})", python_text(name)),
        ),
        snippet("fsspec", format!("import fsspec\n\nwith fsspec.open({python}) as file:\n    data = file.read()")),
        snippet("DuckDB", duckdb(url, name)),
        snippet("rclone", format!("rclone copyurl {there} {}", quoted(&format!("./{name}")))),
        snippet("GDAL", format!("gdalinfo {}", quoted(&format!("/vsicurl/{url}")))),
    ]
}

/// How the files of a dataset are read by a signed URL, which is what their names are appended to.
pub(super) fn of_dataset(url: &str) -> Vec<Snippet> {
    let snippet = |tool, text| Snippet { tool, text };
    vec![
        snippet("curl", format!("curl --fail --header 'Accept: application/json' {}", quoted(url))),
        snippet(
            "Python",
            format!(
                "import json, urllib.request\n\nwanted = urllib.request.Request({}, headers={{\"Accept\": \"application/json\"}})\nlisting = json.load(urllib.request.urlopen(wanted))",
                python_text(url)
            ),
        ),
        snippet("rclone", format!("rclone copy --http-url {} :http: ./copy", quoted(url))),
    ]
}

fn duckdb(url: &str, name: &str) -> String {
    // The query of the URL hides the ending by which DuckDB would choose.
    let reader = match name.rsplit('.').next().map(str::to_ascii_lowercase).as_deref() {
        Some("parquet" | "pq") => "read_parquet",
        Some("csv" | "tsv" | "txt") => "read_csv",
        Some("json" | "ndjson" | "jsonl" | "geojson") => "read_json",
        _ => "read_blob",
    };
    format!("SELECT * FROM {reader}('{}') LIMIT 10;", url.replace('\'', "''"))
}

/// A string of Python, which reads JSON's as they are.
fn python_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_stay_one_word_in_every_tool() {
        let snippets = of_file("https://h/d/s/a%27b?grant=t", r#"dir/it's "a".parquet"#);
        let text = |tool| snippets.iter().find(|one| one.tool == tool).expect(tool).text.as_str();
        let curl = r#"curl --fail --location --output 'it'\''s "a".parquet' 'https://h/d/s/a%27b?grant=t'"#;
        assert_eq!(text("curl"), curl);
        assert!(text("Python").ends_with(r#", "it's \"a\".parquet")"#), "{}", text("Python"));
        assert_eq!(text("DuckDB"), "SELECT * FROM read_parquet('https://h/d/s/a%27b?grant=t') LIMIT 10;");
        assert!(text("rclone").contains(r"'./it'\''s"), "{}", text("rclone"));
        for (name, reader) in
            [("a.CSV", "read_csv"), ("a.geojson", "read_json"), ("a.nc", "read_blob"), ("a", "read_blob")]
        {
            assert!(duckdb("u", name).contains(reader), "{name}");
        }
    }
}
