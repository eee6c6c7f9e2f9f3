//! The policies of campaigns: loaded from the state on first use in a call, and saved at its end.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use limbic_domain::{ChallengerMode, PolicyRole, PolicyVersion, Probability, TenantId, Utc};
use limbic_stream::{Outputs, StageError};
use serde::Serialize;

use crate::OptimizeStage;
use crate::loaded_policy::LoadedPolicy;
use crate::stage::of_campaign;
use crate::state::{decode, encode};
use limbic_bandit::decide::{DecisionEngine, EngineConfig, ExclusionRule, Offer, Selection};
use limbic_bandit::guardrails::champion_challenger::{
    Challenger, ChampionChallengerConfig, ChampionChallengerTest, Limits, Observation, TestEvent,
};
use limbic_bandit::policy::{Feedback, PolicyConfig, PolicyError, within};
use limbic_bandit::random;
use limbic_bandit::{Arm, Features};

/// The policies of a campaign before any feedback.
#[derive(Debug, Clone)]
pub(crate) struct PolicyTemplate {
    champion: DecisionEngine,
    challenger: Option<(DecisionEngine, ChampionChallengerTest)>,
}

impl PolicyTemplate {
    /// Returns an error for a setting outside its range, and for a policy that cannot learn rewards as large as the
    /// limit.
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
                // The id covers everything the test depends on, so that a change of any of it starts a new test.
                let settings = TestSettings::from(challenger);
                let settings = encode(&(champion.version(), engine.version(), settings, &config));
                let test = ChampionChallengerTest::new(challenger.test, limits, random::hash(&settings))?;
                Some((engine, test))
            }
        };
        Ok(Self { champion, challenger })
    }
}

/// The challenger's settings as they enter the id of a test. The names are part of the id, so they never change: a test
/// that runs, or that has rolled back the challenger, must continue after an upgrade.
#[derive(Serialize)]
struct TestSettings<'a> {
    policy: &'a PolicyConfig,
    #[serde(rename = "contest")]
    test: TestId,
}

#[derive(Serialize)]
struct TestId {
    shadow: bool,
    share: f64,
    alpha: f64,
    tolerance: f64,
    /// A test whose floor changes nothing has the id of one without a floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    floor: Option<f64>,
    ratio_alpha: f64,
}

impl<'a> From<&'a Challenger> for TestSettings<'a> {
    fn from(Challenger { policy, test }: &'a Challenger) -> Self {
        let floor = test.floor_in_force();
        let &ChampionChallengerConfig {
            shadow,
            share,
            alpha,
            tolerance,
            ratio_alpha,
            ..
        } = test;
        let test = TestId {
            shadow,
            share,
            alpha,
            tolerance,
            floor: (floor > 0.0).then_some(floor),
            ratio_alpha,
        };
        Self { policy, test }
    }
}

fn engine(config: &EngineConfig, reward: f64) -> Result<DecisionEngine, PolicyError> {
    let largest = config.policy.largest_reward();
    within(
        "rewards.most",
        reward,
        0.0..=largest,
        "is more than the campaign's policy can learn: it models clicks, so lower `rewards.most` to 1 or choose a linear policy",
    )?;
    DecisionEngine::new(config.clone())
}

/// A challenger and its test, loaded from the state.
struct LoadedChallenger {
    policy: LoadedPolicy,
    key: String,
    test: ChampionChallengerTest,
    is_observed: bool,
}

/// The policies of a campaign, loaded from the state.
pub(crate) struct CampaignPolicies {
    champion: LoadedPolicy,
    challenger: Option<LoadedChallenger>,
}

/// The result of a campaign's policies.
pub(crate) struct PolicyDecision {
    pub(crate) selection: Selection,
    /// The policy that decided.
    pub(crate) policy: PolicyVersion,
    pub(crate) seed: u64,
    /// The state of the champion/challenger test, if there is one.
    pub(crate) test: Option<limbic_domain::ChampionChallenger>,
    /// The observation to add to the test when the outcome is known.
    pub(crate) observation: Option<Observation>,
}

impl CampaignPolicies {
    /// The version of the campaign's policy, and a snapshot of what it has learned.
    pub(crate) fn snapshot(&self) -> (&PolicyVersion, Vec<u8>) {
        let engine = &self.champion.engine;
        (engine.version(), engine.snapshot())
    }

    /// Suppresses the decision `id`.
    pub(crate) fn suppress(&self, id: &str, rule: ExclusionRule) -> PolicyDecision {
        let champion = &self.champion.engine;
        PolicyDecision {
            selection: Selection::Suppressed(rule),
            policy: champion.version().clone(),
            seed: champion.seed_of(id),
            test: None,
            observation: None,
        }
    }

    /// Chooses one of `offers` for the decision `id`.
    pub(crate) fn decide(&self, id: &str, at: Utc, context: &Features, offers: &[Offer]) -> PolicyDecision {
        let champion = &self.champion.engine;
        let seed = champion.seed_of(id);
        let alone = |test| PolicyDecision {
            selection: champion.decide(id, at, context, offers),
            policy: champion.version().clone(),
            seed,
            test,
            observation: None,
        };
        let Some(challenger) = &self.challenger else {
            return alone(None);
        };
        let test = &challenger.test;
        let challenger = &challenger.policy.engine;
        let test_record = |by, other: &DecisionEngine, other_propensity| limbic_domain::ChampionChallenger {
            mode: test.mode(),
            by,
            other: other.version().clone(),
            other_propensity,
            judged: test.judged(),
            champion_leads_by: test.champion_leads_by(),
            challenger_leads_by: test.challenger_leads_by(),
            ratio_alarm: test.ratio_alarm(),
        };
        if test.mode() == ChallengerMode::RolledBack {
            return alone(Some(test_record(PolicyRole::Champion, challenger, None)));
        }
        let by = test.assign(seed);
        let (chosen, other) = match by {
            PolicyRole::Champion => (champion, challenger),
            PolicyRole::Challenger => (challenger, champion),
        };
        let mut draft = match chosen.decide(id, at, context, offers) {
            Selection::Chosen(draft) => draft,
            Selection::Suppressed(rule) => return self.suppress(id, rule),
        };
        let arms: Vec<Arm> = draft
            .eligible
            .iter()
            .map(|&position| offers[position].arm.clone())
            .collect();
        let others = other.probabilities(context, &arms, seed);
        let (champions, challengers) = match by {
            PolicyRole::Champion => (&draft.probabilities, &others),
            PolicyRole::Challenger => (&others, &draft.probabilities),
        };
        let observation = test.observation(by, champions, challengers, draft.choice);
        if test.mode() == ChallengerMode::Live {
            // Over all seeds, the two together choose with the mixture of their probabilities.
            let own = draft.marginal.as_ref().unwrap_or(&draft.probabilities);
            let marginal = other.marginal_probabilities(context, &arms, seed, &others);
            let others = marginal.as_ref().unwrap_or(&others);
            let mixed = own.iter().zip(others).map(|(&own, &other)| match by {
                PolicyRole::Champion => test.mixed(own, other),
                PolicyRole::Challenger => test.mixed(other, own),
            });
            draft.marginal = Some(mixed.collect());
        }
        PolicyDecision {
            observation: Some(observation),
            test: Some(test_record(by, other, Some(probability(others[draft.choice])))),
            policy: chosen.version().clone(),
            seed,
            selection: Selection::Chosen(draft),
        }
    }

    /// Champion and challenger both learn from every feedback, also if the other one chose.
    pub(crate) fn learn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        self.each(|engine| engine.learn(feedback))
    }

    /// Champion and challenger both take back a reward that they learned.
    pub(crate) fn unlearn(&mut self, feedback: &Feedback<'_>) -> Result<(), PolicyError> {
        self.each(|engine| engine.unlearn(feedback))
    }

    /// Changes the champion, and the challenger unless it was rolled back.
    fn each(
        &mut self,
        change: impl Fn(&mut DecisionEngine) -> Result<(), PolicyError>,
    ) -> Result<(), PolicyError> {
        let challenger = self
            .challenger
            .as_mut()
            .filter(|challenger| challenger.test.mode() != ChallengerMode::RolledBack);
        let challenger = challenger.map(|challenger| &mut challenger.policy);
        for policy in std::iter::once(&mut self.champion).chain(challenger) {
            change(&mut policy.engine)?;
            policy.is_changed = true;
        }
        Ok(())
    }

    /// Adds the reward of a decision to the champion/challenger test.
    pub(crate) fn observe(
        &mut self,
        tenant: &TenantId,
        campaign: &str,
        observation: &Observation,
        reward: f64,
    ) {
        let Some(challenger) = &mut self.challenger else {
            return;
        };
        let test = &mut challenger.test;
        let before = test.judged();
        let event = test.observe(observation, reward);
        let judged = test.judged();
        challenger.is_observed |= judged != before;
        let champion = self.champion.engine.version().name.as_str();
        let challenger = challenger.policy.engine.version().name.as_str();
        match event {
            TestEvent::None => {}
            TestEvent::RolledBack => tracing::warn!(
                %tenant, campaign, champion, challenger, judged,
                champion_leads_by = test.champion_leads_by(),
                "the challenger is significantly worse and was rolled back: the champion now makes all decisions"
            ),
            TestEvent::RatioAlarm => tracing::warn!(
                %tenant, campaign, champion, challenger, judged,
                "outcomes do not arrive in the shares in which decisions were assigned to champion and challenger: the test \
                 is not reliable; look for outcomes that are lost or carry a wrong decision id"
            ),
            TestEvent::ChallengerLeads => tracing::info!(
                %tenant, campaign, champion, challenger, judged,
                challenger_leads_by = test.challenger_leads_by(),
                "the challenger is significantly better: make it the campaign's policy"
            ),
        }
    }
}

/// The policies used in one call, by partition, tenant and campaign.
#[derive(Default)]
pub(crate) struct PolicyCache(BTreeMap<(u32, String), CampaignPolicies>);

impl OptimizeStage {
    /// The policies of a campaign, with the feedback of this call.
    pub(crate) fn policies<'d>(
        &self,
        cache: &'d mut PolicyCache,
        partition: u32,
        tenant: &TenantId,
        campaign: &str,
        out: &Outputs<'_>,
    ) -> Result<&'d mut CampaignPolicies, StageError> {
        let name = format!("{tenant}/{campaign}");
        match cache.0.entry((partition, name)) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let name = &place.key().1;
                let template = of_campaign(&self.campaigns, tenant, campaign)
                    .unwrap_or(&self.default)
                    .clone();
                let champion =
                    LoadedPolicy::load(partition, format!("policy/{name}"), template.champion, out)?;
                let challenger = match template.challenger {
                    None => None,
                    Some((engine, mut test)) => {
                        let key = format!("champion_challenger/{name}");
                        if let Some(saved) = out.get(partition, key.as_bytes())? {
                            test.resume(decode(&saved)?);
                        }
                        Some(LoadedChallenger {
                            policy: LoadedPolicy::load(partition, format!("challenger/{name}"), engine, out)?,
                            key,
                            test,
                            is_observed: false,
                        })
                    }
                };
                Ok(place.insert(CampaignPolicies { champion, challenger }))
            }
        }
    }
}

impl PolicyCache {
    pub(crate) fn write_back(self, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for ((partition, _), policies) in self.0 {
            policies.champion.save(partition, out)?;
            if let Some(challenger) = policies.challenger {
                challenger.policy.save(partition, out)?;
                if challenger.is_observed {
                    out.put(partition, challenger.key, encode(challenger.test.state()));
                }
            }
        }
        Ok(())
    }
}

/// A probability for a record. Rounding errors outside `[0, 1]` are clamped.
pub(crate) fn probability(value: f64) -> Probability {
    Probability::new(value.clamp(0.0, 1.0)).expect("it was clamped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_test_has_the_names_of_the_first_version() {
        let text = r#"{"policy":{"name":"uniform"},"contest":{"shadow":true,"share":0.1,"alpha":0.05,"tolerance":0.0,"ratio_alpha":0.001}}"#;
        let challenger: Challenger = serde_json::from_str(text).unwrap();
        let id =
            |challenger: &Challenger| String::from_utf8(encode(&TestSettings::from(challenger))).unwrap();
        assert_eq!(
            id(&challenger),
            text,
            "the default floor changes nothing for this share"
        );
        let mut live = challenger;
        (live.test.shadow, live.test.share) = (false, 0.5);
        assert!(id(&live).contains(r#""floor":0.9"#), "{}", id(&live));
        live.test.floor = 0.0;
        assert!(!id(&live).contains("floor"));
    }
}
