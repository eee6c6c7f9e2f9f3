//! The gate between creative and decision. Feeling is not a lever against people.
//!
//! ```text
//!                    ┌─ audience ──▶ nothing may run: a suppression, straight to decisions
//!  drafts ──▶ gate ──┼─ people ────▶ some are taken out; nobody left: a suppression
//!                    └─ creatives ─▶ some are taken out; none left: a suppression
//!                            └─────▶ creatives, with `cleared_by`: the only sets that may ever be decided on
//! ```
//!
//! * [`gate`] is the whole of it: a pure function of a draft and the [`Rules`].
//! * [`Rules`] are built from [`Settings`] and from nothing else. Settings can only make them **stricter**: each limit
//!   has a compiled-in [`maximum`](ceiling), word lists are only added to, and there is no switch. That is a law of the
//!   house, not a default.
//! * [`SafetyStage`] is the stage around the gate.
//!
//! # The rules
//!
//! | rule | takes out | when |
//! |---|---|---|
//! | `audience_distress` | everything | the share of recent posts with distress reaches the limit |
//! | `audience_feeling` | everything | fear, grief or despair is strong in the audience; sadness, when it goes down |
//! | `sensitive_audience` | everything | the audience or the campaign's name is of a sensitive category |
//! | `minor`, `distress`, `consent` | a person | suspected minor; in distress; no consent where it is demanded |
//! | `people_limit` | a person | more people than one decision may reach |
//! | `no_person_left`, `too_few_people` | everything | who remains is nobody, or fewer than the settings demand |
//! | `malformed`, `over_limit`, `unreadable` | an ad | empty, hidden characters, no web link; longer than its platform takes; in writing these rules cannot read |
//! | `feeling`, `shaming`, `sensitive_word` | an ad | it names or works on what the person feels; shames them; speaks of a sensitive matter |
//! | `no_creative_left` | everything | no ad remains |
//! | `rule_failed` | everything | a rule itself failed: what cannot be judged does not run |
//!
//! Categories follow the *Sensitive Topics* node of the IAB Content Taxonomy 3.1, and what Article 9 of the GDPR and the
//! Digital Services Act, Article 26(3), forbid as a ground for advertising; the word lists are this project's own.
//! They are **English**, and tuned for recall: an ad too few costs money, an ad too many costs a person.
//!
//! # Laws
//!
//! * More distress never clears more: not more people, not more ads, never a set that was held.
//! * A person or ad that was removed is nowhere in the output; every removal and suppression says why in a sentence.
//! * Nothing leaves for `creatives` without `cleared_by`, the version of the rules: a hash over limits and word lists.

mod gate;
mod reading;
mod rules;
mod settings;
mod stage;
mod words;

pub use gate::{Verdict, gate};
pub use settings::{Rules, Settings, SettingsError, ceiling};
pub use stage::{STAGE, SafetyStage};
