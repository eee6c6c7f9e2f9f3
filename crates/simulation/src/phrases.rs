//! The grammar that the town speaks: opener, core and closer, of which the core carries a feeling that is known.

use limbic_domain::Label;

use limbic_domain::random::Random;

/// What the people of the town talk about.
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

const GLAD_CLOSERS: [&str; 8] = [
    "",
    "",
    "What a day!",
    "So happy right now 😂",
    "Thank you!",
    "I am smiling like a fool 😊",
    "Best evening in ages!!",
    "❤️",
];
const SORE_CLOSERS: [&str; 8] = [
    "",
    "",
    "So disappointed.",
    "What a terrible day.",
    "I am furious 😡",
    "Just sad about it.",
    "Really annoying!!",
    "☹️",
];
const EVEN_CLOSERS: [&str; 5] = [
    "",
    "",
    "More at six.",
    "That is all.",
    "See the board by the bridge.",
];

/// Cores by subject: glad, sore, even.
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

/// What people in distress say, in place of anything above.
const DISTRESS: [&str; 6] = [
    "my father passed away this morning and I do not know how to go on",
    "I want to die, nobody would notice",
    "I have no reason to live any more",
    "I wish I was dead",
    "we buried my mother today, rest in peace",
    "I just want to end it all",
];

/// What people say when somebody has died whom everyone knew.
const GRIEF: [&str; 4] = [
    "the old ferryman passed away last night, I am heartbroken",
    "our ferryman passed away, such a terrible, sad loss",
    "he passed away and I keep crying, this hurts so much",
    "we are mourning our ferryman, he died far too young, it is awful",
];

/// What a post says, and the feeling it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// The text.
    pub text: String,
    /// The leaning that the grammar put into it.
    pub label: Label,
    /// Whether it speaks of distress.
    pub distress: bool,
}

/// Says something about a subject (its place in [`SUBJECTS`]) with a feeling.
pub(crate) fn say(subject: usize, label: Label, random: &mut Random) -> Said {
    let cores = [FOOTBALL, MUSIC, WEATHER, MARKET][subject];
    let (cores, closers): (&[&str], &[&str]) = match label {
        Label::Positive => (cores[0], &GLAD_CLOSERS),
        Label::Negative => (cores[1], &SORE_CLOSERS),
        Label::Neutral => (cores[2], &EVEN_CLOSERS),
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
    Said {
        text,
        label,
        distress: false,
    }
}

/// Says something that nobody should be sold anything after: of a death that everyone grieves, or of oneself.
pub(crate) fn say_distress(grieves: bool, random: &mut Random) -> Said {
    let cores: &[&str] = if grieves { &GRIEF } else { &DISTRESS };
    Said {
        text: format!("{}.", random.one_of(cores)),
        label: Label::Negative,
        distress: true,
    }
}
