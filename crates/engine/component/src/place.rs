//! Where the settings file names a component.

use std::fmt;

/// Where the settings file names a component, and so how many of it there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A section: `[SECTION]`. There is one of it.
    Section(&'static str),
    /// A table with an entry for each instance: `[TABLE.NAME]` with `kind = "COMPONENT"`.
    Entries(&'static str),
    /// A URL: `SETTING = "postgres://…"`. One component of the setting is chosen.
    Url {
        /// The setting that holds the URL.
        setting: &'static str,
        /// What to write, for instance `postgres://HOST:PORT/DATABASE`; `embedded` = in this process and its data folder.
        form: &'static str,
        /// The schemes of URLs that choose it; none for `embedded`.
        schemes: &'static [&'static str],
        /// The section of its further settings, if it has any.
        section: Option<&'static str>,
    },
}

impl Place {
    /// The section with its settings, if they are in one.
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
    /// As in the settings file: `[profile]`, `[ad_platforms.NAME]`, `series = "http://HOST:PORT"` with `[influxdb]`.
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
