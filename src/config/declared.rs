//! How settings are declared: once, and everything else follows.

use crate::config::value::Setting;

/// A group of settings: a table of the file.
#[derive(Debug)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its settings.
    pub keys: &'static [Declared],
}

/// A setting as it is declared.
#[derive(Debug)]
pub struct Declared {
    /// Its whole name, such as `serve.listen`.
    pub key: &'static str,
    /// Its name within its section.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// What it is if nobody says, as it would be written.
    pub default: &'static str,
    /// What can be written.
    pub wanted: fn() -> String,
    /// Whether it takes a list.
    pub is_list: bool,
}

impl Declared {
    /// The variable of the environment that sets it.
    pub fn variable(&self) -> String {
        match self.key {
            // Older than the others, and read by every command.
            "log.level" => "DAPPLE_LOG".to_owned(),
            key => format!("DAPPLE_{}", key.replace('.', "_").to_uppercase()),
        }
    }

    /// The default as a file would have it.
    pub fn default_in_file(&self) -> String {
        let bare = self.default.parse::<u64>().is_ok() || self.default.parse::<bool>().is_ok();
        match (self.is_list, self.default) {
            (true, "") => "[]".to_owned(),
            (true, one) => format!("[\"{one}\"]"),
            (false, text) if bare => text.to_owned(),
            (false, text) => format!("\"{text}\""),
        }
    }
}

/// What a type wants, as a function that a constant can hold.
pub(super) fn wanted<T: Setting>() -> String {
    T::wanted()
}

/// Declares settings: a struct for each section, one for all, and the table of what there is.
macro_rules! declare {
    ($(
        $(#[doc = $about:literal])*
        $section:ident: $type:ident {
            $( $(#[doc = $doc:literal])* $field:ident: $value:ty = $default:literal; )*
        }
    )*) => {
        $(
            $(#[doc = $about])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $type {
                $( $(#[doc = $doc])* pub $field: $value, )*
            }
        )*

        /// All settings of a server.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings {
            $( $(#[doc = $about])* pub $section: $type, )*
        }

        /// All there is to be set.
        pub const SECTIONS: &[$crate::config::declared::Section] = &[$(
            $crate::config::declared::Section {
                name: stringify!($section),
                about: concat!($($about, "\n"),*),
                keys: &[$(
                    $crate::config::declared::Declared {
                        key: concat!(stringify!($section), ".", stringify!($field)),
                        name: stringify!($field),
                        about: concat!($($doc, "\n"),*),
                        default: $default,
                        wanted: $crate::config::declared::wanted::<$value>,
                        is_list: <$value as $crate::config::value::Setting>::IS_LIST,
                    },
                )*],
            },
        )*];

        impl Settings {
            /// Reads every setting from where it was given, and tells each as it was read.
            pub(super) fn read(given: &mut $crate::config::resolve::Given) -> Self {
                Self {
                    $( $section: $type {
                        $( $field: given.take(concat!(stringify!($section), ".", stringify!($field)), $default), )*
                    }, )*
                }
            }
        }
    };
}
pub(super) use declare;
