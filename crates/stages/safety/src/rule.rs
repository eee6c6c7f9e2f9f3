//! What a safety rule is: data, and one pure function.

use limbic_domain::{CampaignDraft, Draft, Recipient};

use crate::ad::Ad;
use crate::gate::Context;

/// Why a rule cannot judge.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleError {
    /// A number is NaN or outside its range.
    #[error("{0} is not a number in its range")]
    Unreadable(&'static str),
}

/// What a rule says: the reason for its objection in one sentence, or nothing.
pub(crate) type Objects = Result<Option<String>, RuleError>;

/// What a rule looks at, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Check {
    /// A whole campaign of a draft. An objection suppresses it.
    Campaign(fn(&Draft, &CampaignDraft, &Context<'_>) -> Objects),
    /// A person whom the ads could reach. An objection removes the person.
    Person(fn(&Recipient, &Context<'_>) -> Objects),
    /// An ad. An objection removes the ad.
    Ad(fn(&Ad<'_>) -> Objects),
    /// What is left when the other rules have judged. The gate applies it; an objection suppresses the campaign or removes a person.
    Rest,
}

/// A safety rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The rule's id, as in decisions and removals. It never gets another meaning.
    pub id: &'static str,
    /// The protection that it is a part of.
    pub protection: Protection,
    /// Grows when the rule judges otherwise than before. Settings and word lists do not count: they are in [`crate::Rules::version`].
    pub version: u32,
    /// Whom or what it protects.
    pub protects: &'static str,
    /// When it objects.
    pub objects_when: &'static str,
    pub(crate) check: Check,
}

impl Rule {
    /// What an objection removes: `campaign`, `person`, `ad`, or `rest` for a rule about what the others have left.
    pub const fn removes(&self) -> &'static str {
        match self.check {
            Check::Campaign(_) => "campaign",
            Check::Person(_) => "person",
            Check::Ad(_) => "ad",
            Check::Rest => "rest",
        }
    }
}

impl PartialEq for Rule {
    /// Rules are equal if their ids are.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// The twelve protections of people. Each consists of rules of the gate, or of other parts of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`title` says what each is")]
pub enum Protection {
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P7,
    P8,
    P9,
    P10,
    P11,
    P12,
}

impl Protection {
    /// Every protection, in order.
    pub const ALL: [Self; 12] = [
        Self::P1,
        Self::P2,
        Self::P3,
        Self::P4,
        Self::P5,
        Self::P6,
        Self::P7,
        Self::P8,
        Self::P9,
        Self::P10,
        Self::P11,
        Self::P12,
    ];

    /// `P1` to `P12`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
            Self::P5 => "P5",
            Self::P6 => "P6",
            Self::P7 => "P7",
            Self::P8 => "P8",
            Self::P9 => "P9",
            Self::P10 => "P10",
            Self::P11 => "P11",
            Self::P12 => "P12",
        }
    }

    /// What it promises.
    pub const fn title(self) -> &'static str {
        match self {
            Self::P1 => "Distress only suppresses",
            Self::P2 => "No special category as a reason, in targeting or in a text",
            Self::P3 => "No ad to a suspected minor",
            Self::P4 => "No matching with people outside their social network",
            Self::P5 => "A deletion at the source counts here too",
            Self::P6 => "Consent is honoured",
            Self::P7 => "An ad says who is behind it and why it is shown",
            Self::P8 => "Regulated categories are declared",
            Self::P9 => "An ad that an AI model wrote says so",
            Self::P10 => "Only texts are read",
            Self::P11 => "No pressure on people who are upset",
            Self::P12 => "Every decision can be explained",
        }
    }

    /// What keeps it besides rules of the gate, and where it ends.
    pub const fn elsewhere(self) -> &'static str {
        match self {
            Self::P1 => {
                "`moments` puts a subject on hold for a cool-down when posts name a death, a disaster or violence; `deliver` withdraws \
                 ads of a subject on hold. The policy of `optimize` still has the audience's distress among its features, so below the \
                 limits it can have a part in the choice of an ad."
            }
            Self::P2 => {
                "The templates of `creative` receive no feeling and no person. Texts are judged in the languages that have word \
                 lists; an ad in any other language does not run."
            }
            Self::P3 => {
                "`affect` notes a suspected minor when the source says so or when the text does (\"im 13\"), in every language that the \
                 reader names; `profile` keeps that as long as it knows the person."
            }
            Self::P4 => {
                "A person is a pseudonym, a hash with a key of the tenant and of the social network: there is nothing to match with. \
                 `limbic audience` hashes a list that the advertiser gives, and stores nothing. No opt-in is recorded, so no matching \
                 is built."
            }
            Self::P5 => {
                "`affect` and `profile` take a deletion as a record at its place among the posts. For an hour after it no ad is sent that \
                 would reach the person: `profile` publishes a withdrawal, this gate leaves the person out, and `deliver` withdraws an \
                 ad that is on its way. An ad that a platform already has goes on."
            }
            Self::P6 => {
                "`ingest` accepts `given`, `denied` or `unknown`, and reads the consent strings of TCF 2, GPP and US Privacy and the signal \
                 GPC (the field `gpc`). The strictest statement counts. TCF permits only what it permits to the vendor of \
                 `ingest.tcf_vendor`; not having opted out in the United States is no consent."
            }
            Self::P7 => {
                "Creative sets and decisions carry the record; `limbic safety explain` prints it. The ad platform has to show it."
            }
            Self::P8 => "The campaign's setting `declared.categories` is the declaration.",
            Self::P9 => {
                "The field `ai_generated` of a creative is the mark for texts, and for cards over a picture that a model painted. The files of \
                 pictures say in XMP how they were made, and whether a model wrote the texts on them or painted what is behind them. Unless \
                 `creative.review.mode` is `none`, what a model made runs only after a person has approved it."
            }
            Self::P10 => {
                "No record has a field for an image, a voice or another biometric sign; a test compares the schemas. An input with \
                 features of a voice, a face or typing is refused, whatever the settings keep (`limbic_posts_biometric_total`)."
            }
            Self::P11 => {
                "The caps `optimize.negative_feeling_caps` hold for people whose posts have a negative valence on average: at most one contact \
                 with a campaign in a day, beside the caps for everybody."
            }
            Self::P12 => {
                "Decisions are records of a log and are never changed. `limbic explain` and `limbic safety explain` say why, in \
                 sentences."
            }
        }
    }
}
