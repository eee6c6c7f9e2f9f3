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
//!         "campaigns": [{"campaign": "spring", "bid": 1, "creatives": []}]}"#,
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
//! * [`SafetyStage`] applies the gate to the topic `drafts`.
//!
//! # The rules
//!
//! | rule | removes | when |
//! |---|---|---|
//! | `hold` | everything | posts named a death, a disaster or violence: the subject, or a brand of the campaign, is on [hold](limbic_domain::Hold) |
//! | `sensitive_event` | everything | it is plausible that the share of posts since the change that name such an event reaches the limit |
//! | `unread_audience` | everything | too many posts since the change are in languages in which distress cannot be read |
//! | `audience_distress` | everything | the share of recent posts with distress reaches the limit, or plausibly does since the change |
//! | `audience_feeling` | everything | fear, grief or despair is strong in the audience, lately or since the change; sadness, when it goes down |
//! | `audience_hate`, `audience_offence` | everything | the share of such posts reaches the limit, lately or since the change |
//! | `complaint` | everything | the audience's subject is the campaign's own brand, and the audience is not pleased with it |
//! | `sensitive_audience` | everything | the audience or the campaign's name is of a sensitive category |
//! | `minor`, `distress`, `consent` | a person | suspected minor; in distress; no consent where the source requires it |
//! | `people_limit` | a person | more people than one decision may reach |
//! | `no_person_left`, `too_few_people` | everything | nobody remains, or fewer people than the settings require |
//! | `malformed`, `over_limit`, `unreadable` | an ad | empty, hidden characters, no web link; longer than its platform takes; in a script that these rules cannot read |
//! | `feeling`, `shaming`, `sensitive_word` | an ad | it names or works on what the person feels; shames them; speaks of a sensitive matter |
//! | `no_creative_left` | everything | no ad remains |
//! | `rule_failed` | everything | a rule failed or panicked: what cannot be judged does not run |
//!
//! Categories follow the *Sensitive Topics* node of the IAB Content Taxonomy 3.1, and what Article 9 of the GDPR and the
//! Digital Services Act, Article 26(3), forbid as a ground for advertising; the word lists are this project's own.
//! The lists are **English** and tuned for recall: an ad too few costs money, an ad too many harms a person.
//!
//! # Laws
//!
//! * More distress never clears more: not more people, not more ads, not a campaign that was suppressed.
//! * A removed person or ad is in no creative set. Every removal and suppression states its reason in a sentence.
//! * Every creative set carries `cleared_by`, the version of the rules: a hash of limits and word lists.
//! * A campaign is judged alone as it is judged in the company of others.

mod component;
mod gate;
mod reading;
mod rules;
mod settings;
mod stage;
mod words;

pub use gate::{Holds, Verdict, gate};
pub use settings::{Rules, Settings, SettingsError, ceiling};
pub use stage::{STAGE, SafetyStage};
