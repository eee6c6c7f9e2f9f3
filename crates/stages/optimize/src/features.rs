//! The features of a moment and of a creative, as the policy sees them.

use std::collections::BTreeMap;

use limbic_domain::{Creative, CreativeSet, Direction, Emotions, Utc};

use limbic_bandit::decide::Offer;
use limbic_bandit::{Arm, Features};

/// An emotion that is not stronger than this does not name the feeling.
const FAINT: f64 = 0.05;

/// The features of a moment: hashed for the policy, and by name for the readers of a decision.
///
/// | namespace | content |
/// |---|---|
/// | `feeling` | `up` or `down`, with the strongest emotion: `up joy` |
/// | `direction` | `up` or `down` |
/// | `emotion` | the strength of each emotion, in `[0, 1]` |
/// | `mood` | valence, arousal, distress |
/// | `segment`, `subject` | those of the audience |
/// | `hour` | hour of the day, UTC |
pub fn context_of(set: &CreativeSet, at: Utc) -> (Features, BTreeMap<String, f64>) {
    let direction = match set.direction {
        Direction::Up => "up",
        Direction::Down => "down",
    };
    let feeling = strongest(&set.mood.emotions).map_or_else(
        || direction.to_owned(),
        |emotion| format!("{direction} {emotion}"),
    );
    let hour = at.as_millis().div_euclid(3_600_000).rem_euclid(24);
    let names = [
        ("feeling", feeling),
        ("direction", direction.to_owned()),
        ("segment", set.audience.segment().to_owned()),
        ("subject", set.audience.subject().to_owned()),
        ("hour", hour.to_string()),
    ];
    let moods = [
        ("valence", set.mood.valence),
        ("arousal", set.mood.arousal),
        ("distress", set.mood.distress),
    ];
    let moods = moods.map(|(name, value)| ("mood", name, value));
    let emotions = &set.mood.emotions;
    let emotions = emotions
        .iter()
        .map(|(name, &value)| ("emotion", name.as_str(), value));
    let mut features = Features::new();
    let mut named_features = BTreeMap::new();
    for (space, value) in &names {
        features = features.with(space, value);
        named_features.insert(format!("{space}={value}"), 1.0);
    }
    for (space, name, value) in moods.into_iter().chain(emotions) {
        features = features.with_number(space, name, value);
        named_features.insert(format!("{space}.{name}"), value);
    }
    (features, named_features)
}

/// The strongest emotion above [`FAINT`]. Among equals, the first by name.
fn strongest(emotions: &Emotions) -> Option<&str> {
    let mut strongest = None;
    let mut most = FAINT;
    for (name, &strength) in emotions {
        if strength > most {
            (strongest, most) = (Some(name.as_str()), strength);
        }
    }
    strongest
}

/// The offers to choose from. A creative has the namespaces `arm` (its id), `family` and `tone` (both its tone),
/// `platform` and `generator`, and one for each factor that it declares: `appeal`, `call_to_action`, `offer`, `length`.
pub fn offers_of(set: &CreativeSet) -> Vec<Offer> {
    set.creatives
        .iter()
        .map(|creative| Offer {
            arm: arm_of(creative),
            price: set.bid,
        })
        .collect()
}

fn arm_of(creative: &Creative) -> Arm {
    let features = Features::new()
        .with("tone", creative.tone.as_str())
        .with("platform", creative.rendering.platform.as_str())
        .with("generator", &creative.generator);
    let features = creative
        .factors
        .pairs()
        .fold(features, |features, (name, value)| features.with(name, value));
    Arm::new(creative.id.clone(), creative.tone.as_str(), features)
}
