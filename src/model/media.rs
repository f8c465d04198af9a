//! What kind of content a file's name suggests. A short list of what lakes hold and readers look
//! at; no type on it lets a browser run anything.

/// A type, and whether a browser may show it in place rather than save it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media {
    /// For `Content-Type`.
    pub content_type: &'static str,
    /// Shown in place.
    pub shown: bool,
}

const UNKNOWN: Media = Media { content_type: "application/octet-stream", shown: false };

/// Suffixes that say what is inside, and types that are saved.
const SAVED: [(&str, &str); 26] = [
    ("7z", "application/x-7z-compressed"),
    ("arrow", "application/vnd.apache.arrow.file"),
    ("avro", "application/vnd.apache.avro"),
    ("bz2", "application/x-bzip2"),
    ("fits", "application/fits"),
    ("geoparquet", "application/vnd.apache.parquet"),
    ("gpkg", "application/geopackage+sqlite3"),
    ("grb", "application/wmo-GRIB2"),
    ("grib", "application/wmo-GRIB2"),
    ("grib2", "application/wmo-GRIB2"),
    ("gz", "application/gzip"),
    ("h5", "application/x-hdf5"),
    ("hdf5", "application/x-hdf5"),
    ("he5", "application/x-hdf5"),
    ("nc", "application/x-netcdf"),
    ("nc4", "application/x-netcdf"),
    ("parquet", "application/vnd.apache.parquet"),
    ("pdf", "application/pdf"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("xz", "application/x-xz"),
    ("zip", "application/zip"),
    ("zst", "application/zstd"),
    ("jp2", "image/jp2"),
];

/// Likewise, of types that browsers show.
const SHOWN: [(&str, &str); 18] = [
    ("csv", "text/csv; charset=utf-8"),
    ("geojson", "application/geo+json"),
    ("gif", "image/gif"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("jsonl", "application/x-ndjson"),
    ("log", "text/plain; charset=utf-8"),
    ("md", "text/plain; charset=utf-8"),
    ("ndjson", "application/x-ndjson"),
    ("png", "image/png"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("webp", "image/webp"),
    ("yaml", "text/plain; charset=utf-8"),
    ("yml", "text/plain; charset=utf-8"),
    ("zattrs", "application/json"),
    ("zmetadata", "application/json"),
];

/// What the name of a file suggests.
pub fn of(file_name: &str) -> Media {
    let Some((_, suffix)) = file_name.rsplit_once('.') else {
        return UNKNOWN;
    };
    // The other two metadata files of a Zarr store have the same names wherever they lie.
    if matches!(file_name, ".zarray" | ".zgroup") {
        return Media { content_type: "application/json", shown: true };
    }
    let suffix = suffix.to_ascii_lowercase();
    let find = |table: &[(&str, &'static str)]| table.iter().find(|(known, _)| *known == suffix).map(|found| found.1);
    if let Some(content_type) = find(&SHOWN) {
        return Media { content_type, shown: true };
    }
    find(&SAVED).map_or(UNKNOWN, |content_type| Media { content_type, shown: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_tell_the_type_and_nothing_can_run() {
        for (name, content_type) in [
            ("t2m.nc", "application/x-netcdf"),
            ("T2M.NC", "application/x-netcdf"),
            ("a.tar.gz", "application/gzip"),
            ("zarr.json", "application/json"),
            (".zgroup", "application/json"),
            (".zattrs", "application/json"),
            ("x.tif", "image/tiff"),
            ("README", "application/octet-stream"),
            ("x.", "application/octet-stream"),
            ("x.exe", "application/octet-stream"),
        ] {
            assert_eq!(of(name).content_type, content_type, "{name}");
        }
        for name in ["a.html", "a.htm", "a.svg", "a.xml", "a.xhtml", "a.js", "a.css", "a.mhtml"] {
            assert_eq!(of(name), UNKNOWN, "{name} could run in a browser");
        }
    }
}
