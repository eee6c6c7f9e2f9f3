//! The safety gate between drafts and decisions. Emotion is not a lever against people.
//!
//! ```text
//!                    ┌─ audience ──▶ nothing may run: the campaign is suppressed
//!  drafts ──▶ gate ──┼─ people ────▶ some are removed, once for all campaigns; no person left: suppressed
//!                    └─ creatives ─▶ some are removed; no ad left: suppressed
//!
//!  cleared ────▶ creatives, one set for each campaign, with the version of the rules
//!  suppressed ─▶ decisions, with the rule and the reason
//! ```
//!
//! An audience is judged twice, by its decayed state and by the posts since the change, and the worse of the two counts. A share
//! since the change is *plausible* unless so few hits among so many posts have a chance below 0.2: ten posts are the fewest that
//! clear a limit of 15 %. Of hateful and offensive posts the measured share counts.
//!
//! The gate is not a policy: it never chooses between ads that are safe. It is not a filter of posts either: it judges
//! ads, the people they could reach and the audience, not what people write.
//!
//! ```
//! use limbic_domain::{Draft, Utc};
//! use limbic_safety::{Holds, Rules, Settings, Verdict, gate};
//!
//! let draft: Draft = serde_json::from_str(
//!     r#"{"moment": "m", "audience": "everyone:football", "direction": "up",
//!         "change": {"since": "2026-01-01T00:00:00Z", "posts": 30, "distressed": 0, "sensitive_events": 0, "unread": 0,
//!             "valence_error": 0.1,
//!             "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0}},
//!         "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0},
//!         "people": [{"person": "9f86d081884c7d659a2feaa0c55ad015", "distress": 0.0, "consent": "given", "minor": true}],
//!         "campaigns": [{"campaign": "spring", "bid": 1, "declared": {"advertiser": "Acme"}, "creatives": []}]}"#,
//! )?;
//! let rules = Rules::new(&Settings::default())?;
//! let at = Utc::from_millis(0);
//! let [Verdict::Suppressed { suppression, .. }] = &gate(&draft, at, &Holds::new(), &rules)[..] else {
//!     panic!("an ad for a minor");
//! };
//! assert_eq!(suppression.rule, "no_person_left");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`gate`] is a pure function of a draft, its time, the [`Holds`] and the [`Rules`]. It returns a [`Verdict`] for each campaign of the draft.
//! * [`Rules`] are built from [`Settings`] and from nothing else. Settings can only make them **stricter**: each limit
//!   has a compiled-in [`maximum`](ceiling), word lists can only be extended, and there is no switch to turn a rule off.
//! * [`SafetyStage`] applies the gate to the topic `drafts`. To the topic `reviews` it writes each ad that only waits for a person. [`judge_ad`] judges a text outside a draft.
//!
//! # The rules
//!
//! [`RULES`] is the table of all rules, one file each in `src/rules`. Each belongs to one of twelve [`Protection`]s. `limbic safety rules`
//! prints them, and `docs/safety.md` is the same as a page ([`page`]), with the requirements of [`REGIONS`] and the sources of the
//! [`WORD_LISTS`].
//!
//! Categories follow the *Sensitive Topics* node of the IAB Content Taxonomy 3.1, and what Article 9 of the GDPR and the
//! Digital Services Act, Article 26(3), forbid as a ground for advertising; the word lists are this project's own, in `data`.
//! They are **English** and tuned for recall: a missing ad costs money, a wrong ad harms a person. A text in a language without
//! word lists does not run.
//!
//! A text is folded before it is compared: by the normal form of `limbic-affect`, and letters that only look Latin are refused. Words
//! that are cut by a space (`can cer`) are not put together, and what an emoji says is not read.
//!
//! # Laws
//!
//! * More distress never clears more: not more people, not more ads, not a campaign that was suppressed.
//! * A removed person or ad is in no creative set. Every removal and suppression states its reason in a sentence.
//! * A disguised text is not judged more leniently than the plain one: `tests/disguises.rs`.
//! * Every creative set carries `cleared_by`, the version of the rules: a hash of settings, rules, word lists and regions.
//! * A campaign is judged alone as it is judged in the company of others.

mod ad;
mod component;
mod gate;
mod page;
mod reading;
mod regions;
mod review;
mod rule;
mod rules;
mod settings;
mod stage;
mod words;

pub use ad::{AdText, Objection, judge_ad};
pub use gate::{Holds, Verdict, gate};
pub use page::page;
pub use regions::{REGIONS, Refused, RegionPack, Required};
pub use rule::{Protection, Rule};
pub use rules::{RULES, missing_advertiser, rule};
pub use settings::{Rules, Settings, SettingsError, ceiling};
pub use stage::{STAGE, SafetyStage};
pub use words::{WORD_LISTS, WordList};
