//! Typed tables: which key and which value each has, and which indexes follow from a record.
//!
//! A key is a tuple of parts that sort as their bytes do. A value begins with one byte that says
//! which version of its shape follows (postcard); old versions decode for ever.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::catalog::engine::Table;
use crate::catalog::key::{InvalidKey, Key, KeyReader};
use crate::model::id::{DidId, EndpointId, LabelSetId, RuleId, TransferId};

/// One part of a key.
pub trait Part: Clone + Ord + Send + Sync + 'static {
    /// Appends the part.
    fn write(&self, key: Key) -> Key;
    /// Takes the part from the front.
    fn read(reader: &mut KeyReader<'_>) -> Result<Self, InvalidKey>;
}

macro_rules! part {
    ($type:ty, $method:ident, $out:expr, $in:expr) => {
        impl Part for $type {
            fn write(&self, key: Key) -> Key {
                key.$method($out(self))
            }
            fn read(reader: &mut KeyReader<'_>) -> Result<Self, InvalidKey> {
                reader.$method().map($in)
            }
        }
    };
}

part!(u8, u8, |part: &u8| *part, |raw| raw);
part!(u32, u32, |part: &u32| *part, |raw| raw);
part!(u64, u64, |part: &u64| *part, |raw| raw);
part!(u128, u128, |part: &u128| *part, |raw| raw);
part!(DidId, u64, |part: &DidId| part.0, DidId);
part!(EndpointId, u32, |part: &EndpointId| part.0, EndpointId);
part!(LabelSetId, u64, |part: &LabelSetId| part.0, LabelSetId);
part!(RuleId, u128, |part: &RuleId| part.0, RuleId);
part!(TransferId, u128, |part: &TransferId| part.0, TransferId);

impl Part for String {
    fn write(&self, key: Key) -> Key {
        key.text(self)
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, InvalidKey> {
        reader.text()
    }
}

/// A whole key, or the first parts of one.
pub trait Parts: Clone + Ord + Send + Sync + 'static {
    /// The key as bytes.
    fn encode(&self) -> Bytes;
    /// The key from bytes.
    fn decode(bytes: &[u8]) -> Result<Self, InvalidKey>;
}

macro_rules! parts {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Part),*> Parts for ($($name,)*) {
            fn encode(&self) -> Bytes {
                let key = Key::new();
                $(let key = self.$index.write(key);)*
                key.bytes()
            }

            #[allow(unused_variables, unused_mut, reason = "the empty tuple reads nothing")]
            fn decode(bytes: &[u8]) -> Result<Self, InvalidKey> {
                let mut reader = KeyReader::new(bytes);
                Ok(($($name::read(&mut reader)?,)*))
            }
        }
    };
}

parts!();
parts!(A 0);
parts!(A 0, B 1);
parts!(A 0, B 1, C 2);
parts!(A 0, B 1, C 2, D 3);

/// Why a stored value could not be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DecodeError {
    /// The key has another shape than its table's.
    #[error("{0}")]
    Key(#[from] InvalidKey),
    /// There is no such version of the value: the catalog is newer than this binary.
    #[error("a value has version {version}, this binary knows versions up to {known}")]
    NewerVersion {
        /// The version found.
        version: u8,
        /// The newest this binary can read.
        known: u8,
    },
    /// The bytes are not what the version says.
    #[error("a value cannot be read: {0}")]
    Value(#[from] postcard::Error),
    /// Nothing, not even a version, is stored.
    #[error("a value is empty")]
    Empty,
}

/// A value that a table stores.
pub trait Value: Clone + Send + Sync + 'static {
    /// The version of the shape that is written; 0 if nothing is.
    const VERSION: u8;
    /// The stored form.
    fn encode(&self) -> Bytes;
    /// Reads a stored form of any version that was ever written.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

impl Value for () {
    const VERSION: u8 = 0;

    fn encode(&self) -> Bytes {
        Bytes::new()
    }

    fn decode(_: &[u8]) -> Result<Self, DecodeError> {
        Ok(())
    }
}

/// Encodes a value of one version: its number, then postcard.
pub fn encode_version<V: Serialize>(version: u8, value: &V) -> Bytes {
    postcard::to_extend(value, vec![version]).expect("stored shapes hold only what postcard can write").into()
}

/// Decodes a value that has had only one version so far.
pub fn decode_version<V: DeserializeOwned>(known: u8, bytes: &[u8]) -> Result<V, DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty),
        Some((&version, rest)) if version == known => Ok(postcard::from_bytes(rest)?),
        Some((&version, _)) => Err(DecodeError::NewerVersion { version, known }),
    }
}

/// Makes a type storable as version 1 of its shape.
macro_rules! stored_v1 {
    ($type:ty) => {
        impl $crate::catalog::table::Value for $type {
            const VERSION: u8 = 1;

            fn encode(&self) -> bytes::Bytes {
                $crate::catalog::table::encode_version(1, self)
            }

            fn decode(bytes: &[u8]) -> Result<Self, $crate::catalog::table::DecodeError> {
                $crate::catalog::table::decode_version(1, bytes)
            }
        }
    };
}
pub(crate) use stored_v1;

/// A row of an index: its table and key. Index rows have no value.
pub type IndexRow = (Table, Bytes);

/// A table with its shapes.
pub trait Typed: 'static {
    /// Where it is stored.
    const TABLE: Table;
    /// What a row is found by.
    type Key: Parts;
    /// What a row says.
    type Value: Value;

    /// The index rows that follow from a record.
    fn indexes(_key: &Self::Key, _value: &Self::Value) -> Vec<IndexRow> {
        Vec::new()
    }
}

/// A table as those see it who know no types: backups copy rows as they are stored.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Where it is stored.
    pub table: Table,
    /// The version of its values that is written.
    pub version: u8,
    /// Reads a row as what it should be, and gives the index rows that follow from it.
    pub read: ReadRow,
}

/// Reads a stored row: its key and its value.
pub type ReadRow = fn(&[u8], &[u8]) -> Result<Vec<IndexRow>, DecodeError>;

/// Reads a stored row of a table; one whose key has more or other parts is not the table's.
pub fn read_row<T: Typed>(key: &[u8], value: &[u8]) -> Result<Vec<IndexRow>, DecodeError> {
    let parts = T::Key::decode(key)?;
    if parts.encode() != key {
        return Err(InvalidKey.into());
    }
    Ok(T::indexes(&parts, &T::Value::decode(value)?))
}

/// Declares typed tables: a marker type for each, and the list of all.
macro_rules! tables {
    ($($(#[$doc:meta])* $number:literal $name:literal $marker:ident : $key:ty => $value:ty $(, $indexes:path)?;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $marker;

            impl $crate::catalog::table::Typed for $marker {
                const TABLE: $crate::catalog::engine::Table =
                    $crate::catalog::engine::Table { number: $number, name: $name };
                type Key = $key;
                type Value = $value;
                $(
                    fn indexes(key: &Self::Key, value: &Self::Value) -> Vec<$crate::catalog::table::IndexRow> {
                        $indexes(key, value)
                    }
                )?
            }
        )*

        /// Every table of the catalog, in the order of its number.
        pub const TABLES: &[$crate::catalog::engine::Table] = &[
            $crate::catalog::engine::CHANGES,
            $crate::catalog::engine::META,
            $($crate::catalog::engine::Table { number: $number, name: $name },)*
        ];

        /// The shape of every table but the engine's own two, in the order of its number.
        pub const SHAPES: &[$crate::catalog::table::Shape] = &[
            $($crate::catalog::table::Shape {
                table: $crate::catalog::engine::Table { number: $number, name: $name },
                version: <$value as $crate::catalog::table::Value>::VERSION,
                read: $crate::catalog::table::read_row::<$marker>,
            },)*
        ];
    };
}
pub(crate) use tables;
