//! How nouns that are texts on the wire are described to programs: the patterns and limits that their
//! parsers enforce. Where a parser counts bytes, the length here counts characters, of which there
//! can be no more.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::model::account::{ACCOUNT_BYTES_MAX, AccountName};
use crate::model::address::AddressRange;
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidName, NAME_BYTES_MAX};
use crate::model::endpoint::{ENDPOINT_BYTES_MAX, EndpointName};
use crate::model::id::{DidId, EndpointId, RuleId, TransferId};
use crate::model::scope::{SCOPE_BYTES_MAX, Scope};
use crate::model::time::Timestamp;

/// No control character, of either block.
const NAME: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// Describes a noun that is a text: its pattern, its longest, an example, and what it is.
macro_rules! text {
    ($type:ident, $pattern:expr, $longest:expr, $example:literal, $what:literal) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let text = ObjectBuilder::new().schema_type(Type::String).description(Some($what));
                let text = text.pattern(Some($pattern)).min_length(Some(1)).max_length(Some($longest));
                text.examples([serde_json::Value::from($example)]).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($type))
            }
        }
    };
}

text!(
    Scope,
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    SCOPE_BYTES_MAX,
    "climate",
    "A scope: letters, digits, `.`, `_` and `-`, beginning with a letter or digit."
);
text!(
    AccountName,
    r"^[a-z][a-z0-9_-]*$",
    ACCOUNT_BYTES_MAX,
    "root",
    "An account: lower-case letters, digits, `_` and `-`, beginning with a letter."
);
text!(
    DidName,
    NAME,
    NAME_BYTES_MAX,
    "era5/2024/t2m.nc",
    "The name of a DID in its scope. At most 900 bytes, each part between slashes at most 240."
);
text!(
    Did,
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,24}:[^\u0000-\u001f\u007f-\u009f]+$",
    SCOPE_BYTES_MAX + 1 + NAME_BYTES_MAX,
    "climate:era5",
    "A data identifier, `scope:name`. The name has at most 900 bytes, each part between slashes at most 240."
);
text!(
    EndpointName,
    r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$",
    ENDPOINT_BYTES_MAX,
    "lisbon",
    "An endpoint: letters and digits joined by single `-` or `_`."
);
text!(
    Checksum,
    r"^(blake3:[0-9a-fA-F]{64}|sha256:[0-9a-fA-F]{64}|md5:[0-9a-fA-F]{32}|adler32:[0-9a-fA-F]{1,8}|crc32c:[0-9a-fA-F]{8})$",
    71,
    "adler32:0a1b2c3d",
    "A checksum, `algorithm:hex`."
);
text!(
    AddressRange,
    r"^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$",
    49,
    "192.0.2.0/24",
    "An address, or a range of addresses by its prefix."
);
text!(RuleId, ID, 26, "01JD6Y3W8M5T2C9X4R7K0ZQVBN", "The id of a rule.");
text!(TransferId, ID, 26, "01JD6Y3W8M5T2C9X4R7K0ZQVBN", "The id of a transfer.");

/// Crockford's base 32, 128 bits.
const ID: &str = r"^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$";

impl PartialSchema for Timestamp {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        let text = text.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        text.examples([serde_json::Value::from("2026-11-21T08:30:00.000Z")]).into()
    }
}

impl ToSchema for Timestamp {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Timestamp")
    }
}

/// Describes a noun that is a number.
macro_rules! number {
    ($type:ident, $what:literal) => {
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
                number.description(Some($what)).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($type))
            }
        }
    };
}

number!(DidId, "A DID by number.");
number!(EndpointId, "An endpoint by number.");
