//! Hashes a list of customers the way ad platforms match them. Nothing is stored.
//!
//! The people of a delivery are pseudonyms: a keyed hash of their name on a social network, which no ad platform can match. A tenant
//! who wants to address its own customers uploads a list of contacts to the platform itself. Platforms match contacts by SHA-256
//! hashes of a normalised form, and each states its own:
//!
//! | field | [`Google`](ListFormat::Google) ("Customer Match") | [`Meta`](ListFormat::Meta) ("Custom Audiences") |
//! |---|---|---|
//! | `email` | without white space, lower case; at `gmail.com` and `googlemail.com` without full stops before the `@` | without white space around it, lower case |
//! | `phone` | E.164 with `+` | digits only, with the country code, without leading zeros |
//! | `first_name`, `last_name` | lower case, without white space around it | lower case, letters only |
//! | `country` | ISO code, upper case, **not hashed** | ISO code, lower case |
//! | `zip` | **not hashed** | lower case, without white space; of the United States the first five digits |
//!
//! Every other value is SHA-256 in hexadecimal digits. A phone number needs its country code, with `+` or `00`: without it the
//! number is refused, because a wrong guess would match another person.
//!
//! Sources: Google Ads Help, "Format your customer data file"; Meta Business Help Centre, "How to format a customer list".
//!
//! ```
//! use limbic_ad_platforms::customer_list::{Contact, ListFormat};
//!
//! let contact = Contact { email: " Ada.L@Gmail.com ".to_owned(), ..Contact::default() };
//! let row = contact.hashed(ListFormat::Google)?;
//! // SHA-256 of `adal@gmail.com`.
//! assert_eq!(row[0], limbic_ad_platforms::customer_list::sha256("adal@gmail.com"));
//! # Ok::<(), limbic_ad_platforms::customer_list::InvalidContact>(())
//! ```

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The platform whose form the list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFormat {
    /// Google Ads, Customer Match.
    Google,
    /// Meta, Custom Audiences.
    Meta,
}

/// The fields of a contact, in the order of [`Contact::hashed`].
pub const FIELDS: [&str; 6] = ["email", "phone", "first_name", "last_name", "country", "zip"];

impl ListFormat {
    /// The names of the formats.
    pub const NAMES: [&str; 2] = ["google", "meta"];

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "google" => Some(Self::Google),
            "meta" => Some(Self::Meta),
            _ => None,
        }
    }

    /// The column headers that the platform expects, in the order of [`FIELDS`].
    pub const fn headers(self) -> [&'static str; 6] {
        match self {
            Self::Google => ["Email", "Phone", "First Name", "Last Name", "Country", "Zip"],
            Self::Meta => ["email", "phone", "fn", "ln", "country", "zip"],
        }
    }
}

/// A contact as the tenant has it. Empty = not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// Email address.
    pub email: String,
    /// Phone number with its country code.
    pub phone: String,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// ISO 3166-1 alpha-2 code of the country.
    pub country: String,
    /// Postal code.
    pub zip: String,
}

/// Why a contact cannot be matched. It names the field, and never its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContact {
    /// Not an email address.
    #[error("email: is not an address: give NAME@DOMAIN")]
    Email,
    /// A phone number without its country code.
    #[error(
        "phone: has no country code, or not 8 to 15 digits: write it with + or 00, for instance +49 30 1234567"
    )]
    Phone,
    /// Not a country.
    #[error("country: is not an ISO code of two letters: write for instance DE")]
    Country,
    /// Nothing that a platform matches.
    #[error(
        "has neither an email address nor a phone number, nor first name, last name, country and zip together"
    )]
    Empty,
}

impl Contact {
    /// The contact in the form of the platform, in the order of [`FIELDS`]. A field that is not known stays empty.
    pub fn hashed(&self, format: ListFormat) -> Result<[String; 6], InvalidContact> {
        let is_given = |text: &str| !text.trim().is_empty();
        let has_address = [&self.first_name, &self.last_name, &self.country, &self.zip]
            .iter()
            .all(|text| is_given(text));
        if !is_given(&self.email) && !is_given(&self.phone) && !has_address {
            return Err(InvalidContact::Empty);
        }
        let hash_of = |text: String| if text.is_empty() { text } else { sha256(&text) };
        let country = country(&self.country)?;
        let zip = self.zip.trim().to_owned();
        let (country, zip) = match format {
            ListFormat::Google => (country, zip),
            ListFormat::Meta => {
                let zip: String = zip
                    .to_lowercase()
                    .chars()
                    .filter(|c| !c.is_whitespace())
                    .collect();
                let zip = if country == "US" {
                    zip.chars().take(5).collect()
                } else {
                    zip
                };
                (hash_of(country.to_lowercase()), hash_of(zip))
            }
        };
        Ok([
            hash_of(email(&self.email, format)?),
            hash_of(phone(&self.phone, format)?),
            hash_of(name(&self.first_name, format)),
            hash_of(name(&self.last_name, format)),
            country,
            zip,
        ])
    }
}

fn email(text: &str, format: ListFormat) -> Result<String, InvalidContact> {
    let text = text.trim().to_lowercase();
    if text.is_empty() {
        return Ok(text);
    }
    let text: String = match format {
        ListFormat::Google => text.chars().filter(|c| !c.is_whitespace()).collect(),
        ListFormat::Meta => text,
    };
    let (name, domain) = text.rsplit_once('@').ok_or(InvalidContact::Email)?;
    let is_address = !name.is_empty() && domain.contains('.') && !text.contains(char::is_whitespace);
    if !is_address {
        return Err(InvalidContact::Email);
    }
    let is_gmail = ["gmail.com", "googlemail.com"].contains(&domain);
    if format == ListFormat::Google && is_gmail {
        return Ok(format!("{}@{domain}", name.replace('.', "")));
    }
    Ok(text)
}

fn phone(text: &str, format: ListFormat) -> Result<String, InvalidContact> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let is_known = |c: char| c.is_ascii_digit() || c.is_whitespace() || "+-().,/".contains(c);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = match text.strip_prefix('+') {
        Some(_) => digits,
        None => digits.strip_prefix("00").ok_or(InvalidContact::Phone)?.to_owned(),
    };
    let is_number =
        text.chars().all(is_known) && (8..=15).contains(&digits.len()) && !digits.starts_with('0');
    if !is_number {
        return Err(InvalidContact::Phone);
    }
    Ok(match format {
        ListFormat::Google => format!("+{digits}"),
        ListFormat::Meta => digits,
    })
}

fn name(text: &str, format: ListFormat) -> String {
    let text = text.trim().to_lowercase();
    match format {
        ListFormat::Google => text,
        ListFormat::Meta => text.chars().filter(|c| c.is_alphabetic()).collect(),
    }
}

fn country(text: &str) -> Result<String, InvalidContact> {
    let text = text.trim().to_uppercase();
    let is_code = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
    if text.is_empty() || is_code {
        Ok(text)
    } else {
        Err(InvalidContact::Country)
    }
}

/// SHA-256 of the text in UTF-8, as hexadecimal digits.
pub fn sha256(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().fold(String::with_capacity(64), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> Contact {
        Contact {
            email: " Ada.Lovelace+news@GoogleMail.com".into(),
            phone: "0044 (20) 7946-0018".into(),
            first_name: " Ada ".into(),
            last_name: "O'King-Noel".into(),
            country: "us".into(),
            zip: "94303-5300 ".into(),
        }
    }

    #[test]
    fn the_hash_is_that_of_the_standard() {
        // FIPS 180-4, the example of one block.
        assert_eq!(
            sha256("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn each_platform_gets_its_own_form() {
        let google = ada().hashed(ListFormat::Google).unwrap();
        let hashes = [
            "adalovelace+news@googlemail.com",
            "+442079460018",
            "ada",
            "o'king-noel",
        ]
        .map(sha256);
        assert_eq!(google[..4], hashes);
        assert_eq!(google[4..], ["US", "94303-5300"], "not hashed");
        let meta = ada().hashed(ListFormat::Meta).unwrap();
        let hashes = [
            "ada.lovelace+news@googlemail.com",
            "442079460018",
            "ada",
            "okingnoel",
            "us",
            "94303",
        ];
        assert_eq!(meta, hashes.map(sha256));
    }

    #[test]
    fn what_cannot_be_matched_is_refused_without_its_value() {
        for (field, contact) in [
            (
                InvalidContact::Email,
                Contact {
                    email: "ada at example".into(),
                    ..Contact::default()
                },
            ),
            (
                InvalidContact::Email,
                Contact {
                    email: "ada@localhost".into(),
                    ..Contact::default()
                },
            ),
            (
                InvalidContact::Phone,
                Contact {
                    phone: "030 1234567".into(),
                    ..Contact::default()
                },
            ),
            (
                InvalidContact::Phone,
                Contact {
                    phone: "+49 12".into(),
                    ..Contact::default()
                },
            ),
            (
                InvalidContact::Phone,
                Contact {
                    phone: "+49 30 12345 ext 7".into(),
                    ..Contact::default()
                },
            ),
            (
                InvalidContact::Country,
                Contact {
                    email: "a@b.c".into(),
                    country: "Germany".into(),
                    ..Contact::default()
                },
            ),
            (
                InvalidContact::Empty,
                Contact {
                    first_name: "Ada".into(),
                    zip: "1".into(),
                    ..Contact::default()
                },
            ),
        ] {
            for format in [ListFormat::Google, ListFormat::Meta] {
                assert_eq!(contact.hashed(format), Err(field), "{contact:?}");
            }
            assert!(!field.to_string().contains("ada at"), "{field}");
        }
    }

    #[test]
    fn a_field_that_is_not_known_stays_empty() {
        let contact = Contact {
            email: "a@b.c".into(),
            ..Contact::default()
        };
        let row = contact.hashed(ListFormat::Meta).unwrap();
        assert_eq!(row[1..], ["", "", "", "", ""]);
    }
}
