//! The policies one call has touched: taken out of the state when they are first needed, written back at its end.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use limbic_domain::{ChallengerMode, PolicyRole, PolicyVersion, Probability, TenantId, Utc};
use limbic_stream::{Outputs, StageError};
use serde::{Deserialize, Serialize};

use crate::OptimizeStage;
use crate::state::{damaged, decode, encode};
use limbic_bandit::decide::{Answer, DecisionEngine, EngineConfig, Offer, Rule};
use limbic_bandit::guardrails::champion_challenger::{ChampionChallengerTest, Limits, Trial, Turn};
use limbic_bandit::policy::{Feedback, PolicyError, within};
use limbic_bandit::random;
use limbic_bandit::{Arm, Features};

/// A snapshot larger than this is kept in pieces: a log takes no record of any size, and a feedback changes little of a
/// large one.
const PIECE: usize = 256 * 1024;

/// What chooses for a campaign, before it has learnt anything.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    champion: DecisionEngine,
    challenger: Option<(DecisionEngine, ChampionChallengerTest)>,
}

impl Model {
    /// Refuses settings outside their ranges, and policies that cannot learn rewards as large as these.
    pub(crate) fn new(config: &EngineConfig, limits: Limits) -> Result<Self, PolicyError> {
        let champion = engine(config, limits.reward)?;
        let challenger = match &config.challenger {
            None => None,
            Some(challenger) => {
                let config = EngineConfig {
                    policy: challenger.policy.clone(),
                    challenger: None,
                    ..config.clone()
                };
                let engine = engine(&config, limits.reward)?;
                // Whatever a contest depends on is in its id: change anything, and it begins anew.
                let told = encode(&(champion.version(), engine.version(), challenger, &config));
                let contest = ChampionChallengerTest::new(challenger.contest, limits, random::hash(&told))?;
                Some((engine, contest))
            }
        };
        Ok(Self { champion, challenger })
    }
}

fn engine(config: &EngineConfig, reward: f64) -> Result<DecisionEngine, PolicyError> {
    let most = config.policy.largest_reward();
    within(
        "rewards.most",
        reward,
        0.0..=most,
        "is more than the campaign's policy can learn: it is a model of clicks",
    )?;
    DecisionEngine::new(config.clone())
}

/// An engine at work, and whether it learnt.
struct AtWork {
    key: String,
    engine: DecisionEngine,
    learnt: bool,
}

/// A challenger at work.
struct Rival {
    at_work: AtWork,
    key: String,
    contest: ChampionChallengerTest,
    judged: bool,
}

/// The policies of a campaign at work.
pub(crate) struct Policies {
    champion: AtWork,
    rival: Option<Rival>,
}

/// What a campaign's policies answer.
pub(crate) struct Decided {
    pub(crate) answer: Answer,
    /// Who answered.
    pub(crate) policy: PolicyVersion,
    pub(crate) seed: u64,
    /// How far the contest is, if there is one.
    pub(crate) contest: Option<limbic_domain::ChampionChallenger>,
    /// What is to be judged when the outcome is known.
    pub(crate) trial: Option<Trial>,
}

impl Policies {
    /// Chooses nothing for the decision `id`.
    pub(crate) fn refuse(&self, id: &str, rule: Rule) -> Decided {
        let champion = &self.champion.engine;
        Decided {
            answer: Answer::NoAd(rule),
            policy: champion.version().clone(),
            seed: champion.seed_of(id),
            contest: None,
            trial: None,
        }
    }

    /// Chooses one of `offers` for the decision `id`.
    pub(crate) fn decide(&self, id: &str, at: Utc, context: &Features, offers: &[Offer]) -> Decided {
        let champion = &self.champion.engine;
        let seed = champion.seed_of(id);
        let alone = |contest| Decided {
            answer: champion.decide(id, at, context, offers),
            policy: champion.version().clone(),
            seed,
            contest,
            trial: None,
        };
        let Some(rival) = &self.rival else {
            return alone(None);
        };
        let standings = &rival.contest;
        let challenger = &rival.at_work.engine;
        let standing = |by, other: &DecisionEngine, other_propensity| limbic_domain::ChampionChallenger {
            mode: standings.mode(),
            by,
            other: other.version().clone(),
            other_propensity,
            judged: standings.judged(),
            champion_leads_by: standings.champion_leads_by(),
            challenger_leads_by: standings.challenger_leads_by(),
            ratio_alarm: standings.ratio_alarm(),
        };
        if standings.mode() == ChallengerMode::RolledBack {
            return alone(Some(standing(PolicyRole::Champion, challenger, None)));
        }
        let by = standings.decides(seed);
        let (chosen, other) = match by {
            PolicyRole::Champion => (champion, challenger),
            PolicyRole::Challenger => (challenger, champion),
        };
        let answer = chosen.decide(id, at, context, offers);
        let draft = match &answer {
            Answer::Chosen(draft) => draft,
            Answer::NoAd(rule) => return self.refuse(id, *rule),
        };
        let arms: Vec<Arm> = draft
            .eligible
            .iter()
            .map(|&position| offers[position].arm.clone())
            .collect();
        let others = other.probabilities(context, &arms, seed);
        let (one, two) = match by {
            PolicyRole::Champion => (&draft.probabilities, &others),
            PolicyRole::Challenger => (&others, &draft.probabilities),
        };
        Decided {
            trial: Some(standings.trial(by, one, two, draft.choice)),
            contest: Some(standing(by, other, Some(probability(others[draft.choice])))),
            policy: chosen.version().clone(),
            seed,
            answer,
        }
    }

    /// Both learn from what either chose: outcomes are too dear to be kept from one of them.
    pub(crate) fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        let rival = self
            .rival
            .as_mut()
            .filter(|rival| rival.contest.mode() != ChallengerMode::RolledBack);
        let rival = rival.map(|rival| &mut rival.at_work);
        for at_work in std::iter::once(&mut self.champion).chain(rival) {
            at_work.engine.learn(feedback)?;
            at_work.learnt = true;
        }
        Ok(())
    }

    /// What came of a decision that was made in the contest.
    pub(crate) fn judge(&mut self, tenant: &TenantId, campaign: &str, trial: &Trial, reward: f64) {
        let Some(rival) = &mut self.rival else { return };
        let before = rival.contest.judged();
        let turn = rival.contest.judge(trial, reward);
        let (champion, challenger) = (self.champion.engine.version(), rival.at_work.engine.version());
        rival.judged |= rival.contest.judged() != before;
        let judged = rival.contest.judged();
        match turn {
            Turn::None => {}
            Turn::RolledBack => tracing::warn!(
                %tenant, campaign, champion = champion.name, challenger = challenger.name, judged,
                champion_leads_by = rival.contest.champion_leads_by(),
                "the challenger is worse for sure: it is rolled back and decides nothing any more"
            ),
            Turn::Alarm => tracing::warn!(
                %tenant, campaign, champion = champion.name, challenger = challenger.name, judged,
                "outcomes are divided between champion and challenger otherwise than decisions were: do not believe the \
                 contest, look for outcomes that are lost or joined wrongly"
            ),
            Turn::ChallengerLeads => tracing::info!(
                %tenant, campaign, champion = champion.name, challenger = challenger.name, judged,
                challenger_leads_by = rival.contest.challenger_leads_by(),
                "the challenger is better for sure: make it the campaign's policy"
            ),
        }
    }
}

/// The policies one call has touched, by partition, tenant and campaign.
#[derive(Default)]
pub(crate) struct PolicyCache(BTreeMap<(u32, String), Policies>);

#[derive(Serialize, Deserialize)]
struct Saved {
    version: PolicyVersion,
    /// Unless it is in pieces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snapshot: Option<Box<serde_json::value::RawValue>>,
    /// How many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pieces: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
const fn is_zero(pieces: &usize) -> bool {
    *pieces == 0
}

impl OptimizeStage {
    /// The campaign's policies, as they are after this call's feedback so far.
    pub(crate) fn policies<'d>(
        &self,
        cache: &'d mut PolicyCache,
        partition: u32,
        tenant: &TenantId,
        campaign: &str,
        out: &Outputs<'_>,
    ) -> Result<&'d mut Policies, StageError> {
        let whose = format!("{tenant}/{campaign}");
        match cache.0.entry((partition, whose)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let whose = &place.key().1;
                let model = self.campaigns.get(campaign).unwrap_or(&self.default).clone();
                let champion = AtWork::load(partition, format!("policy/{whose}"), model.champion, out)?;
                let rival = match model.challenger {
                    None => None,
                    Some((engine, mut contest)) => {
                        let key = format!("champion_challenger/{whose}");
                        if let Some(saved) = out.get(partition, key.as_bytes())? {
                            contest.resume(decode(&saved)?);
                        }
                        Some(Rival {
                            at_work: AtWork::load(partition, format!("challenger/{whose}"), engine, out)?,
                            key,
                            contest,
                            judged: false,
                        })
                    }
                };
                Ok(place.insert(Policies { champion, rival }))
            }
        }
    }
}

impl PolicyCache {
    pub(crate) fn write_back(self, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for ((partition, _), policies) in self.0 {
            policies.champion.save(partition, out)?;
            if let Some(rival) = policies.rival {
                rival.at_work.save(partition, out)?;
                if rival.judged {
                    out.put(partition, rival.key, encode(rival.contest.state()));
                }
            }
        }
        Ok(())
    }
}

impl AtWork {
    fn load(
        partition: u32,
        key: String,
        mut engine: DecisionEngine,
        out: &Outputs<'_>,
    ) -> Result<Self, StageError> {
        if let Some(saved) = out.get(partition, key.as_bytes())? {
            let saved: Saved = decode(&saved)?;
            if saved.version == *engine.version() {
                let restored = match &saved.snapshot {
                    Some(snapshot) => engine.restore(snapshot.get().as_bytes()),
                    None => engine.restore(&pieces_of(partition, &key, saved.pieces, out)?.concat()),
                };
                restored.map_err(|error| damaged(&error))?;
            }
        }
        Ok(Self {
            key,
            engine,
            learnt: false,
        })
    }

    fn save(self, partition: u32, out: &mut Outputs<'_>) -> Result<(), StageError> {
        if !self.learnt {
            return Ok(());
        }
        let before = match out.get(partition, self.key.as_bytes())? {
            Some(saved) => decode::<Saved>(&saved)?.pieces,
            None => 0,
        };
        let snapshot = self.engine.snapshot();
        let mut saved = Saved {
            version: self.engine.version().clone(),
            snapshot: None,
            pieces: 0,
        };
        if snapshot.len() <= PIECE {
            let text = String::from_utf8(snapshot).map_err(|error| damaged(&error))?;
            saved.snapshot =
                Some(serde_json::value::RawValue::from_string(text).map_err(|error| damaged(&error))?);
        } else {
            saved.pieces = snapshot.len().div_ceil(PIECE);
            for (number, piece) in snapshot.chunks(PIECE).enumerate() {
                let key = piece_key(&self.key, number);
                let is_known = number < before
                    && out
                        .get(partition, key.as_bytes())?
                        .is_some_and(|known| *known == *piece);
                if !is_known {
                    out.put(partition, key, Bytes::copy_from_slice(piece));
                }
            }
        }
        for number in saved.pieces..before {
            out.remove(partition, piece_key(&self.key, number));
        }
        out.put(partition, self.key, encode(&saved));
        Ok(())
    }
}

fn piece_key(key: &str, number: usize) -> String {
    format!("{key}/{number}")
}

fn pieces_of(partition: u32, key: &str, count: usize, out: &Outputs<'_>) -> Result<Vec<Bytes>, StageError> {
    (0..count)
        .map(|number| {
            let piece = out.get(partition, piece_key(key, number).as_bytes())?;
            piece.ok_or_else(|| damaged(&"a piece of a snapshot is missing"))
        })
        .collect()
}

/// A probability as a record holds it.
pub(crate) fn probability(value: f64) -> Probability {
    Probability::new(value.clamp(0.0, 1.0)).expect("it was clamped")
}
