//! The grammar of the posts: an opener, a core and a closer. The core carries a known feeling.

use limbic_domain::Label;

use limbic_domain::random::Random;

/// The subjects of the posts, in the order of [`Population`](crate::Population)'s random draws.
pub const SUBJECTS: [&str; 4] = ["football", "music", "weather", "market"];

const OPENERS: [&str; 8] = [
    "",
    "",
    "",
    "Right,",
    "Folks,",
    "From the square:",
    "Update:",
    "So,",
];

const POSITIVE_CLOSERS: [&str; 8] = [
    "",
    "",
    "What a day!",
    "So happy right now 😂",
    "Thank you!",
    "I am smiling like a fool 😊",
    "Best evening in ages!!",
    "❤️",
];
const NEGATIVE_CLOSERS: [&str; 8] = [
    "",
    "",
    "So disappointed.",
    "What a terrible day.",
    "I am furious 😡",
    "Just sad about it.",
    "Really annoying!!",
    "☹️",
];
const NEUTRAL_CLOSERS: [&str; 5] = [
    "",
    "",
    "More at six.",
    "That is all.",
    "See the board by the bridge.",
];

/// The cores of one subject: positive, negative, neutral.
type Cores = [&'static [&'static str]; 3];

const FOOTBALL: Cores = [
    &[
        "what a wonderful goal, I love this team",
        "we won, and it was beautiful to watch",
        "brilliant save by the keeper, amazing match",
        "that was the best half of the season, great play",
        "number nine is a hero, fantastic goal",
        "we are going to the final, so proud of them",
    ],
    &[
        "awful defending, we lost again and I hate it",
        "terrible match, the worst half of the season",
        "that penalty was a disgrace, horrible decision",
        "we threw it away, this is so sad",
        "pathetic, they ruined the whole evening",
        "another stupid foul and another miserable loss",
    ],
    &[
        "the match starts at eight by the river",
        "the keeper has number one on the shirt this year",
        "half time in the stadium, second half in ten minutes",
        "the bus to the stadium leaves from the mill",
        "they moved the training to Tuesday",
    ],
];
const MUSIC: Cores = [
    &[
        "an encore, and it was wonderful, I love this band",
        "the last song was so beautiful that the whole square sang",
        "amazing concert, the best night of the summer",
        "the singer is fantastic, what a great voice",
        "they played our song and everyone was happy",
    ],
    &[
        "the sound was awful and the band was late, terrible",
        "cancelled after one song, I hate this",
        "worst concert in years, a horrible mess",
        "so sad, they ruined the best song of the album",
        "two hours in the queue for that pathetic set, I am angry",
    ],
    &[
        "the band is on the small stage at nine",
        "doors at seven, the second entrance is by the canal",
        "there is a song about the mill on side two",
        "they tune the piano on Thursdays",
        "the concert is in the hall this time",
    ],
];
const WEATHER: Cores = [
    &[
        "sunshine over the harbour, what a beautiful morning",
        "the rainbow over the mill is amazing, I love it",
        "perfect evening by the river, so warm and lovely",
        "great weather for the regatta, everyone is happy",
        "the sky is wonderful tonight",
    ],
    &[
        "the storm ruined the garden, this is awful",
        "horrible wind, the roof leaks and I hate it",
        "miserable rain all week, the worst summer ever",
        "the cellar is under water, a terrible mess",
        "the storm broke the old tree, so sad",
    ],
    &[
        "rain until six, then clouds from the west",
        "the river is at two metres by the bridge",
        "eighteen degrees at noon, says the board",
        "wind from the north by the evening",
        "the barometer in the hall shows 1012",
    ],
];
const MARKET: Cores = [
    &[
        "the new bakery is wonderful, best bread in town",
        "found the perfect cheese, so happy with it",
        "I love this market, great people everywhere",
        "free plums from the orchard, how kind and lovely",
        "the soup stall is amazing today",
    ],
    &[
        "the prices are awful and the queue is worse, I hate it",
        "rotten apples again, what a terrible stall",
        "they were so rude at the counter, I am angry",
        "the fish was horrible, never again",
        "my favourite stall has closed, so sad",
    ],
    &[
        "the market opens at seven on the square",
        "the cheese stall has moved next to the fountain",
        "eggs on Wednesdays, bread on every day",
        "they close at two today",
        "there are forty stalls this week",
    ],
];

/// Texts of people in distress.
const DISTRESS: [&str; 6] = [
    "my father passed away this morning and I do not know how to go on",
    "I want to die, nobody would notice",
    "I have no reason to live any more",
    "I wish I was dead",
    "we buried my mother today, rest in peace",
    "I just want to end it all",
];

/// Texts about the death of a person whom everyone knew.
const GRIEF: [&str; 4] = [
    "the old ferryman passed away last night, I am heartbroken",
    "our ferryman passed away, such a terrible, sad loss",
    "he passed away and I keep crying, this hurts so much",
    "we are mourning our ferryman, he died far too young, it is awful",
];

/// A generated text with its known feeling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GeneratedText {
    pub text: String,
    /// The sentiment that the grammar gave the text.
    pub label: Label,
    /// Whether the author expresses distress.
    pub distress: bool,
}

/// Generates a text with a sentiment about a subject, given by its index in [`SUBJECTS`].
pub(crate) fn generate(subject: usize, label: Label, random: &mut Random) -> GeneratedText {
    let cores = [FOOTBALL, MUSIC, WEATHER, MARKET][subject];
    let (cores, closers): (&[&str], &[&str]) = match label {
        Label::Positive => (cores[0], &POSITIVE_CLOSERS),
        Label::Negative => (cores[1], &NEGATIVE_CLOSERS),
        Label::Neutral => (cores[2], &NEUTRAL_CLOSERS),
    };
    let (opener, core, closer) = (
        random.one_of(&OPENERS),
        random.one_of(cores),
        random.one_of(closers),
    );
    let mut text = if opener.is_empty() {
        let mut letters = core.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_uppercase().collect::<String>() + letters.as_str()
        })
    } else {
        format!("{opener} {core}")
    };
    text.push(if label == Label::Positive { '!' } else { '.' });
    if !closer.is_empty() {
        text.push(' ');
        text.push_str(closer);
    }
    if random.happens(0.2) {
        text.push_str(" #");
        text.push_str(SUBJECTS[subject]);
    }
    GeneratedText {
        text,
        label,
        distress: false,
    }
}

/// Generates a text after which no ad must be shown: about a death if `grieves`, otherwise about the author's own distress.
pub(crate) fn generate_distress(grieves: bool, random: &mut Random) -> GeneratedText {
    let cores: &[&str] = if grieves { &GRIEF } else { &DISTRESS };
    GeneratedText {
        text: format!("{}.", random.one_of(cores)),
        label: Label::Negative,
        distress: true,
    }
}
