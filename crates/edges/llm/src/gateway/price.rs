//! What tokens cost.
//!
//! The shipped table is `prices.toml`. A price is never 0 because a model is unknown: without a row and without
//! [`GatewaySettings::default_price`](super::GatewaySettings::default_price), a request is refused.

use limbic_domain::Slug;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Usage;

/// Prices in micro-units (millionths of the currency unit). Those of tokens are per million, so 2.50 per million tokens is `2_500_000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Micro-units for a million tokens of prompts.
    pub input: u64,
    /// Micro-units for a million tokens of replies.
    pub output: u64,
    /// Micro-units for a picture, at providers that bill pictures instead of tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub picture: u64,
    /// Micro-units for a second of video, at providers that make clips.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub video_second: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Tokens in the unit of a price.
const UNIT: u128 = 1_000_000;

impl Price {
    /// The cost in micro-units, rounded up. Saturates at `i64::MAX`.
    pub fn of(self, usage: Usage) -> u64 {
        let input = u128::from(self.input) * u128::from(usage.prompt_tokens);
        let output = u128::from(self.output) * u128::from(usage.completion_tokens);
        let pictures = u128::from(self.picture) * u128::from(usage.pictures);
        let cost = input.saturating_add(output).div_ceil(UNIT);
        let video = u128::from(self.video_second) * u128::from(usage.video_seconds);
        let cost = cost.saturating_add(pictures).saturating_add(video);
        u64::try_from(cost)
            .unwrap_or(u64::MAX)
            .min(i64::MAX.unsigned_abs())
    }
}

/// A price that the settings state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatedPrice {
    /// The provider: the NAME of `[llm_providers.NAME]`, `[picture_providers.NAME]` or `[video_providers.NAME]`.
    pub provider: Slug,
    /// The model, in the provider's form. `*` = every model of the provider that has no row of its own.
    pub model: String,
    /// Micro-units for a million tokens of prompts.
    pub input: u64,
    /// Micro-units for a million tokens of replies.
    pub output: u64,
    /// Micro-units for a picture, at providers that bill pictures instead of tokens. Default 0.
    #[serde(default)]
    pub picture: u64,
    /// Micro-units for a second of video. Without it (default 0) no clip is ordered at this price: for a server of your own, write 1.
    #[serde(default)]
    pub video_second: u64,
}

/// The shipped table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// The unit of all prices: `USD`.
    pub currency: String,
    /// The date of the table. Its prices can be older.
    pub date: String,
    /// The rows.
    pub price: Vec<ShippedPrice>,
}

/// A row of the shipped table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShippedPrice {
    /// The host of the provider's URL; or the kind of the provider, for servers on this machine only.
    pub at: String,
    /// The model, in the provider's form, or `*`. A date at the end of a model's name does not count.
    pub model: String,
    /// Micro-units for a million tokens of prompts.
    pub input: u64,
    /// Micro-units for a million tokens of replies.
    pub output: u64,
    /// Micro-units for a picture, at providers that bill pictures instead of tokens.
    #[serde(default)]
    pub picture: u64,
    /// Micro-units for a second of video, at providers that make clips.
    #[serde(default)]
    pub video_second: u64,
    /// Where the price was read.
    pub source: String,
}

impl PriceTable {
    /// The table that is part of this program.
    ///
    /// # Panics
    ///
    /// Never: a test reads it.
    pub fn shipped() -> Self {
        toml::from_str(include_str!("prices.toml")).expect("the shipped table is valid")
    }
}

/// A provider, as prices know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seller<'a> {
    /// The name of its entry in the settings.
    pub name: &'a Slug,
    /// Its kind, for instance `openai`.
    pub kind: &'a str,
    /// The host of its URL, an IPv6 address in brackets. Empty if it has none.
    pub host: &'a str,
}

/// The price of a model: a stated one of this model, a stated one of all models, a shipped one, or the default. `None` = unknown.
pub fn price(
    stated: &[StatedPrice],
    shipped: &PriceTable,
    default: Option<Price>,
    seller: &Seller<'_>,
    model: &str,
) -> Option<Price> {
    let of_provider = |row: &&StatedPrice| row.provider == *seller.name;
    let exact = stated.iter().filter(of_provider).find(|row| row.model == model);
    let stated = exact.or_else(|| stated.iter().filter(of_provider).find(|row| row.model == "*"));
    if let Some(row) = stated {
        return Some(Price {
            input: row.input,
            output: row.output,
            picture: row.picture,
            video_second: row.video_second,
        });
    }
    let is_local = is_local(seller.host);
    let sells = |row: &&ShippedPrice| {
        (is_local && row.at == seller.kind) || (!seller.host.is_empty() && row.at == seller.host)
    };
    let matches = |row: &&ShippedPrice| row.model == "*" || row.model == model || row.model == undated(model);
    let row = shipped.price.iter().filter(sells).find(matches);
    row.map(|row| Price {
        input: row.input,
        output: row.output,
        picture: row.picture,
        video_second: row.video_second,
    })
    .or(default)
}

/// Whether a host is this machine, whose servers bill no tokens.
fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]")
}

/// A model's name without a date (`-20251101` or `-2025-11-01`) at its end.
fn undated(model: &str) -> &str {
    let is_date = |text: &str| {
        let digits: Vec<usize> = text.split('-').map(str::len).collect();
        text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
            && (digits == [8] || digits == [4, 2, 2])
    };
    [9, 11]
        .into_iter()
        .filter_map(|length| model.split_at_checked(model.len().checked_sub(length)?))
        .find(|(_, end)| end.strip_prefix('-').is_some_and(is_date))
        .map_or(model, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage(prompt_tokens: u64, completion_tokens: u64) -> Usage {
        Usage {
            prompt_tokens,
            completion_tokens,
            pictures: 0,
            video_seconds: 0,
        }
    }

    #[test]
    fn every_shipped_price_has_a_source_and_is_found_once() {
        let table = PriceTable::shipped();
        assert_eq!((table.currency.as_str(), table.date.len()), ("USD", 10));
        let mut names = std::collections::BTreeSet::new();
        for row in &table.price {
            assert!(row.source.len() > 10, "{row:?}");
            assert!(names.insert((&row.at, &row.model)), "{row:?} is listed twice");
            let is_own_machine = row.at == "ollama" && row.model == "*";
            let is_free = row.picture == 0 && (row.input == 0 || row.output == 0);
            assert_eq!(is_free, is_own_machine, "{row:?}");
        }
    }

    #[test]
    fn a_stated_price_comes_before_a_shipped_one_and_an_unknown_model_has_none() {
        let (main, other) = (Slug::new("main").unwrap(), Slug::new("other").unwrap());
        let row = |model: &str, input| StatedPrice {
            provider: main.clone(),
            model: model.to_owned(),
            input,
            output: 1,
            picture: 0,
            video_second: 0,
        };
        let stated = [row("*", 7), row("own", 8)];
        let shipped = PriceTable::shipped();
        let hosted = |name| Seller {
            name,
            kind: "openai",
            host: "api.openai.com",
        };
        let of = |stated: &[StatedPrice], default, seller: &Seller<'_>, model: &str| {
            price(stated, &shipped, default, seller, model).map(|price| price.input)
        };
        assert_eq!(of(&stated, None, &hosted(&main), "own"), Some(8));
        assert_eq!(of(&stated, None, &hosted(&main), "gpt-4.1-mini"), Some(7));
        assert_eq!(of(&stated, None, &hosted(&other), "gpt-4.1-mini"), Some(400_000));
        assert_eq!(
            of(&[], None, &hosted(&other), "gpt-4.1-mini-2025-04-14"),
            Some(400_000)
        );
        assert_eq!(of(&[], None, &hosted(&other), "gpt-9"), None);
        let default = Price {
            input: 5,
            output: 5,
            picture: 0,
            video_second: 0,
        };
        assert_eq!(of(&[], Some(default), &hosted(&other), "gpt-9"), Some(5));
        let elsewhere = Seller {
            host: "127.0.0.1",
            ..hosted(&other)
        };
        assert_eq!(
            of(&[], None, &elsewhere, "gpt-4.1-mini"),
            None,
            "another server has other prices"
        );
    }

    #[test]
    fn a_picture_costs_its_own_price_or_its_tokens() {
        let (google, openai) = (Slug::new("google").unwrap(), Slug::new("openai").unwrap());
        let of = |name, kind, host, model, usage| {
            let seller = Seller { name, kind, host };
            let price = price(&[], &PriceTable::shipped(), None, &seller, model);
            price.map(|price: Price| price.of(usage))
        };
        let one = Usage {
            pictures: 1,
            ..Usage::default()
        };
        let host = "generativelanguage.googleapis.com";
        assert_eq!(
            of(&google, "imagen", host, "imagen-4.0-generate-001", one),
            Some(40_000)
        );
        let tokens = usage(50, 1_056);
        let host = "api.openai.com";
        // 50 × 5 and 1,056 × 30 millionths.
        assert_eq!(
            of(&openai, "openai", host, "gpt-image-2.6-sunburst", tokens),
            Some(31_930)
        );
    }

    #[test]
    fn a_clip_costs_its_seconds() {
        let price = Price {
            video_second: 400_000,
            ..Price::default()
        };
        let clip = Usage {
            video_seconds: 8,
            ..Usage::default()
        };
        assert_eq!(price.of(clip), 3_200_000);
    }

    #[test]
    fn a_server_is_free_only_on_this_machine() {
        let name = Slug::new("own").unwrap();
        let of = |host: &str| {
            let seller = Seller {
                name: &name,
                kind: "ollama",
                host,
            };
            price(&[], &PriceTable::shipped(), None, &seller, "small").map(|price| price.input)
        };
        for local in ["localhost", "LocalHost", "127.0.0.1", "[::1]"] {
            assert_eq!(of(local), Some(0), "{local}");
        }
        for other in ["ollama.com", "10.0.0.7", "localhost.example.com", ""] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn only_a_date_at_the_end_of_a_name_does_not_count() {
        for (model, name) in [
            ("claude-opus-4-5-20251101", "claude-opus-4-5"),
            ("gpt-4.1-2025-04-14", "gpt-4.1"),
            ("gpt-4.1-mini", "gpt-4.1-mini"),
            (
                "gemini-2.5-flash-preview-09-2025",
                "gemini-2.5-flash-preview-09-2025",
            ),
            ("x", "x"),
            ("modèle-20251101", "modèle"),
            ("éééééé", "éééééé"),
        ] {
            assert_eq!(undated(model), name);
        }
    }

    proptest! {
        #[test]
        fn a_cost_is_rounded_up_grows_with_tokens_and_is_not_cheaper_in_parts(
            price in (0u64..1_000_000_000, 0u64..1_000_000_000),
            a in (0u64..1_000_000_000, 0u64..1_000_000_000),
            b in (0u64..1_000_000_000, 0u64..1_000_000_000),
        ) {
            let price = Price { input: price.0, output: price.1, picture: 0, video_second: 0 };
            let (a, b) = (usage(a.0, a.1), usage(b.0, b.1));
            let both = usage(a.prompt_tokens + b.prompt_tokens, a.completion_tokens + b.completion_tokens);
            prop_assert!(price.of(both) >= price.of(a));
            let parts = price.of(a) + price.of(b);
            prop_assert!(price.of(both) <= parts && parts <= price.of(both) + 1);
            let is_free = (price.input == 0 || a.prompt_tokens == 0) && (price.output == 0 || a.completion_tokens == 0);
            prop_assert_eq!(price.of(a) == 0, is_free);
        }

        #[test]
        fn a_cost_never_overflows(price in any::<(u64, u64)>(), tokens in any::<(u64, u64)>()) {
            let price = Price { input: price.0, output: price.1, picture: 0, video_second: 0 };
            prop_assert!(i64::try_from(price.of(usage(tokens.0, tokens.1))).is_ok());
        }
    }
}
