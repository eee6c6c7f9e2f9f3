//! Where the settings file names a component.

use std::fmt;

/// Where the settings file names a component, which also decides how many instances of it there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A section: `[SECTION]`. There is one instance.
    Section(&'static str),
    /// A table with an entry for each instance: `[TABLE.NAME]` with `kind = "COMPONENT"`.
    Entries(&'static str),
    /// A URL: `SETTING = "postgres://…"`. The URL selects one of the setting's components.
    Url {
        /// The setting with the URL.
        setting: &'static str,
        /// The form of the URL, for instance `postgres://HOST:PORT/DATABASE`. `embedded` = in this process and its data
        /// folder.
        form: &'static str,
        /// The schemes of URLs that select it. Empty for `embedded`.
        schemes: &'static [&'static str],
        /// The section with its other settings, if there are any.
        section: Option<&'static str>,
    },
}

impl Place {
    /// The section with its settings, if it has one.
    pub const fn section(self) -> Option<&'static str> {
        match self {
            Self::Section(section) => Some(section),
            Self::Entries(_) => None,
            Self::Url { section, .. } => section,
        }
    }

    /// The table with its entries, if it has entries.
    pub const fn table(self) -> Option<&'static str> {
        match self {
            Self::Entries(table) => Some(table),
            Self::Section(_) | Self::Url { .. } => None,
        }
    }
}

impl fmt::Display for Place {
    /// In the form of the settings file: `[profile]`, `[ad_platforms.NAME]`, `series = "http://HOST:PORT"` with
    /// `[influxdb]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(section) => write!(f, "[{section}]"),
            Self::Entries(table) => write!(f, "[{table}.NAME]"),
            Self::Url {
                setting,
                form,
                section,
                ..
            } => {
                write!(f, "{setting} = \"{form}\"")?;
                section.map_or(Ok(()), |section| write!(f, ", [{section}]"))
            }
        }
    }
}
