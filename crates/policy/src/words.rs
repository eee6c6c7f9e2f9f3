//! The word lists, and how a text is held against them.
//!
//! `cancer` is that word and its plural, `war.` that word alone, `depress*` every word that begins so, `mental health` the words in a row (or
//! written together); `@health` counts only in names of audiences and campaigns, `=union` only as a whole name.

use std::collections::HashMap;

use crate::SettingsError;
use crate::reading::sentences;

/// Sensitive categories: their name in a sentence, and their words.
const SENSITIVE: [(&str, &[&str]); 14] = [
    (
        "health",
        &[
            "@health*",
            "@medic*",
            "@pharma*",
            "@drug",
            "@disease",
            "@illness*",
            "@patient",
            "@surgery",
            "@surgical",
            "@vaccin*",
            "@allerg*",
            "@wellness",
            "@symptom",
            "@hospital",
            "@doctor",
            "@therap*",
            "@nutrition",
            "@supplement",
            "@diet*",
            "@weight loss",
            "@eye and vision",
            "@first aid",
            "@dermatolog*",
            "@pregnan*",
            "@maternity",
            "@fertility",
            "@ear nose and throat",
            "@cold and flu",
            "@injur*",
            "@sleep disorder",
            "@blood disorder",
            "@disab*",
            "@eldercare",
            "@special needs",
            "@smoking cessation",
            "@hormon*",
            "@thyroid",
            "@menopaus*",
            "@bone and joint",
            "cancer",
            "tumour",
            "tumor",
            "leukaemia",
            "leukemia",
            "chemotherap*",
            "diabet*",
            "hiv",
            "aids epidemic",
            "hepatitis",
            "alzheimer*",
            "dementia",
            "parkinson*",
            "epilep*",
            "stroke patient",
            "heart attack",
            "obes*",
            "anorexi*",
            "bulimi*",
            "eating disorder",
            "infertil*",
            "miscarriage",
            "birth control",
            "contracept*",
            "erectile",
            "std",
            "sti",
            "covid*",
            "coronavirus",
            "pandemic",
            "epidemic",
            "infectious",
            "chronic pain",
            "autis*",
            "adhd",
            "dyslexi*",
            "disorder",
            "schizophren*",
            "bipolar",
            "psychiatr*",
            "antidepress*",
            "mental health",
            "mental illness",
            "substance abuse",
            "addict*",
            "rehab*",
            "overdos*",
            "alcoholi*",
            "detox*",
            "terminally ill",
            "hospice",
            "psoriasis",
            "eczema",
        ],
    ),
    (
        "grief and crisis",
        &[
            "grief",
            "griev*",
            "bereav*",
            "mourn*",
            "funeral",
            "obituar*",
            "condolence",
            "widow*",
            "orphan*",
            "suicid*",
            "self harm*",
            "selfharm*",
            "self injur*",
            "depress*",
            "anxiety",
            "panic attack",
            "despair*",
            "hopeless*",
            "trauma*",
            "ptsd",
            "crisis line",
            "helpline",
            "hotline",
            "rest in peace",
            "rip",
            "vigil",
            "in memoriam",
            "remembrance",
            "loss of a loved one",
            "@crisis",
            "@divorc*",
            "@breakup",
            "@loneliness",
            "@layoff",
            "@bankrupt*",
            "@foreclos*",
            "@eviction",
            "@debt",
            "@payday loan",
        ],
    ),
    (
        "death, injury or war",
        &[
            "death*",
            "dead",
            "dying",
            "deadly",
            "died",
            "fatal*",
            "corpse",
            "casualt*",
            "massacre*",
            "genocid*",
            "war.",
            "warfare",
            "war crime",
            "wartime",
            "military conflict",
            "airstrike",
            "bomb*",
            "shelling",
            "invasion",
            "hostage",
            "refugee",
            "famine",
            "plane crash",
            "@military",
            "@conflict",
            "@accident",
            "@crash",
            "@explosion",
            "@ceasefire",
            "@gaza",
            "@ukraine",
            "@frontline",
            "@army",
            "@troops",
        ],
    ),
    (
        "disaster",
        &[
            "earthquake",
            "tsunami",
            "hurricane",
            "tornado",
            "wildfire",
            "flood victim",
            "landslide",
            "evacuat*",
            "@disaster*",
            "@flood*",
            "@typhoon",
            "@cyclone",
            "@avalanche",
            "@catastroph*",
            "@emergency",
        ],
    ),
    (
        "religion or belief",
        &[
            "relig*",
            "christian*",
            "catholic*",
            "protestant*",
            "evangelical*",
            "orthodox church",
            "islam*",
            "muslim*",
            "sunni",
            "shia",
            "jew",
            "jewish",
            "judaism",
            "hindu*",
            "buddhis*",
            "sikh*",
            "mormon*",
            "atheis*",
            "agnostic*",
            "jesus",
            "christ",
            "allah",
            "quran",
            "koran",
            "bible",
            "torah",
            "@gospel*",
            "@spiritual*",
            "@church*",
            "@mosque",
            "@synagogue",
            "@temple worship",
            "@prayer",
            "@pope",
            "@faith*",
            "@ramadan",
            "@eid",
            "@hanukkah",
            "@diwali",
            "@lent",
            "@baptism",
            "@astrolog*",
            "@scientolog*",
            "@god",
        ],
    ),
    (
        "politics",
        &[
            "@politic*",
            "@election*",
            "@elector*",
            "@vote",
            "@voter",
            "@voting",
            "@ballot*",
            "@referendum",
            "@brexit",
            "@senat*",
            "@congress",
            "@parliament*",
            "@president*",
            "@prime minister",
            "@chancellor",
            "@government",
            "@democrat*",
            "@republican*",
            "@tory",
            "@tories",
            "@labour party",
            "@conservative*",
            "@liberal*",
            "@socialis*",
            "@communis*",
            "@fascis*",
            "@nationalis*",
            "@left wing",
            "@right wing",
            "@trump*",
            "@biden",
            "@maga",
            "@civic affairs",
            "@protest*",
            "@activis*",
            "@impeach*",
            "@coup",
            "@debated",
            "@social issue",
            "@gun control",
            "@climate strike",
            "@black lives matter",
            "@blm",
            "@palestin*",
            "@israel*",
            "@welfare",
            "vote for",
            "political party",
            "antifa",
            "nazi*",
            "white suprem*",
        ],
    ),
    (
        "union membership",
        &[
            "=union",
            "=unions",
            "@trade union*",
            "@labor union*",
            "@labour union*",
            "@workers union*",
            "@teachers union*",
            "@unioni*",
            "@union member*",
            "@shop steward",
            "@picket line",
            "@industrial action",
            "@general strike",
            "@collective bargaining",
            "trade union",
            "unionise*",
            "unionize*",
        ],
    ),
    (
        "sexuality or gender identity",
        &[
            "gay*",
            "lesbian*",
            "bisexual*",
            "homosexual*",
            "heterosexual*",
            "transgender*",
            "transsexual*",
            "nonbinary",
            "non binary",
            "queer*",
            "lgb*",
            "sexual orientation",
            "gender identity",
            "coming out as",
            "asexual*",
            "drag queen",
            "=pride",
            "=trans",
            "@gay pride",
            "@pride month",
            "@pride parade",
            "@trans rights",
            "@sexual*",
            "@sex life",
        ],
    ),
    (
        "sexual content",
        &[
            "sex",
            "sexy",
            "porn*",
            "nude*",
            "nudity",
            "erotic*",
            "fetish*",
            "escort service",
            "onlyfans",
            "xxx",
            "hookup*",
            "orgasm*",
            "strip club",
            "@explicit*",
            "@adult content",
            "@nsfw",
            "@obscen*",
            "@profan*",
        ],
    ),
    (
        "ethnic origin",
        &[
            "ethnic*",
            "racial*",
            "racis*",
            "african american",
            "latino",
            "latina",
            "latinx",
            "hispanic*",
            "asian american",
            "roma people",
            "gypsy",
            "gypsies",
            "indigenous people",
            "native american",
            "immigra*",
            "migrant",
            "asylum seek*",
            "black people",
            "white people",
            "skin colour",
            "skin color",
            "slaver*",
            "apartheid",
            "@refugee*",
            "@deport*",
            "@diaspora",
            "@minorities",
            "@minority",
        ],
    ),
    (
        "crime or violence",
        &[
            "crime*",
            "criminal*",
            "murder*",
            "killer",
            "killing",
            "homicid*",
            "manslaughter",
            "rape*",
            "rapist",
            "sexual assault",
            "molest*",
            "domestic violence",
            "domestic abuse",
            "child abuse",
            "abuse victim",
            "traffick*",
            "kidnap*",
            "stabbing",
            "mass shooting",
            "school shooting",
            "shooter",
            "terror*",
            "jihad*",
            "isis",
            "extremis*",
            "hate speech",
            "hate crime",
            "lynch*",
            "torture*",
            "human rights violation",
            "human right violation",
            "assault*",
            "blackmail*",
            "@prison*",
            "@arrest*",
            "@victim*",
            "@violen*",
            "@aggression",
            "@piracy",
            "@spam",
            "@hate",
            "@sensitive",
            "@shooting",
            "@hatred",
            "@harmful",
            "@lawsuit",
            "@scandal",
        ],
    ),
    (
        "weapons",
        &[
            "gun",
            "firearm*",
            "rifle",
            "handgun",
            "ammunition",
            "ammo",
            "weapon*",
            "explosive*",
            "@arms",
            "@shotgun",
            "@pistol",
            "@sniper",
        ],
    ),
    (
        "drugs, tobacco, alcohol or gambling",
        &[
            "cocaine",
            "heroin",
            "methamphetamine",
            "fentanyl",
            "opioid*",
            "cannabis",
            "marijuana",
            "weed dealer",
            "ecstasy pill",
            "lsd",
            "vape",
            "vaping",
            "vapes",
            "cigarette*",
            "ecigarette*",
            "tobacco*",
            "nicotine*",
            "cigar",
            "@alcohol*",
            "@beer",
            "@wine",
            "@whisky",
            "@whiskey",
            "@vodka",
            "@liquor",
            "@drinking",
            "@hangover",
            "@gambl*",
            "@casino*",
            "@betting",
            "@sportsbook",
            "@bookmaker",
            "@lotter*",
            "@poker",
            "@slot machine",
            "drown your sorrows",
            "loan shark",
            "payday loan",
        ],
    ),
    (
        "children",
        &[
            "@child*",
            "@kid",
            "@kids",
            "@toddler*",
            "@baby",
            "@babies",
            "@teen*",
            "@preteen*",
            "@minor",
            "@underage*",
            "@kindergarten",
            "@school pupil",
            "@preschool*",
        ],
    ),
];

/// An ad with one of these speaks of what a person feels, or lets them know that it was watched.
const FEELING: &[&str] = &[
    "cheer up",
    "heartbroken",
    "heartbreak",
    "broken heart",
    "lonely",
    "loneliness",
    "worthless",
    "miserable",
    "misery",
    "unhapp*",
    "crying",
    "tears",
    "sorrow",
    "sadness",
    "numb",
    "ease the pain",
    "make it go away",
    "nobody loves",
    "no one loves",
    "dont be alone",
    "your mood",
    "your feelings",
    "your emotions",
    "how you feel",
    "what you feel",
    "the way you feel",
    "we know you",
    "we know how you",
    "we saw you",
    "we saw your",
    "we noticed you",
    "we noticed your",
    "we see you",
    "you posted",
    "you just posted",
    "your post",
    "your tweet",
    "your last post",
    "you wrote",
    "you tweeted",
    "because you said",
    "based on what you",
    "retail therapy",
    "rough day",
    "bad day",
    "hard day",
    "tough day",
    "tough time",
    "hard time",
    "going through",
    "get over it",
    "get over him",
    "get over her",
    "get over them",
    "fear of missing out",
    "fomo",
    "stress relief",
    "stressed out",
    "burnout",
    "burned out",
    "burnt out",
    "mood swing",
    "feel better about yourself",
];

/// Words that turn what follows into a statement about the reader's state.
const CUES: &[&str] = &[
    "feel",
    "feeling",
    "feelin",
    "felt",
    "youre",
    "ur",
    "you are",
    "u r",
    "are you",
    "r u",
    "you seem",
    "you look",
    "you sound",
    "youve been",
    "have you been",
    "tired of being",
    "sick of being",
    "stop being",
    "dont be",
    "do you get",
    "still",
];

/// States a person can be in; harmless alone, not behind a cue.
const STATES: &[&str] = &[
    "sad",
    "down",
    "low",
    "blue",
    "alone",
    "anxious",
    "worried",
    "worrying",
    "afraid",
    "scared",
    "frightened",
    "stressed",
    "nervous",
    "angry",
    "mad",
    "upset",
    "furious",
    "hurt",
    "empty",
    "tired",
    "exhausted",
    "ashamed",
    "guilty",
    "insecure",
    "broken",
    "desperate",
    "overwhelmed",
    "frustrated",
    "disappointed",
    "bored",
    "jealous",
    "helpless",
    "unloved",
    "rejected",
    "sick",
    "ill",
    "in pain",
    "moody",
    "gloomy",
    "weak",
    "happy",
    "excited",
    "ecstatic",
    "joyful",
    "emotional",
    "in love",
    "pregnant",
    "single",
    "broke",
    "poor",
    "unemployed",
];

/// How many words after a cue a state still belongs to it.
const REACH: usize = 4;

/// An ad with one of these shames.
const SHAMING: &[&str] = &[
    "fat",
    "fatty",
    "flabby",
    "chubby",
    "ugly",
    "ugli*",
    "loser",
    "pathetic",
    "stupid*",
    "idiot*",
    "moron*",
    "dumb",
    "lazy",
    "laziness",
    "disgust*",
    "embarrass*",
    "shame",
    "shameful",
    "ashamed",
    "humiliat*",
    "freak",
    "unattractive",
    "undesirable",
    "beach body",
    "bikini body",
    "get rid of your",
    "what will people think",
    "everyone is laughing",
    "people laugh at you",
    "left behind",
    "failure",
    "not good enough",
    "youre not enough",
    "unlovable",
    "old and",
    "wrinkly",
    "saggy",
    "smelly",
    "inadequate",
    "inferior",
    "worth nothing",
    "fuck*",
    "shit*",
    "bitch*",
    "bastard",
    "whore*",
    "slut*",
    "cunt*",
    "dickhead",
    "asshole",
    "retard*",
];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The rule it breaks.
    pub(crate) rule: &'static str,
    /// The category, as in a sentence.
    pub(crate) category: &'static str,
    /// The entry that matched.
    pub(crate) entry: String,
}

/// One word of an entry.
#[derive(Debug, Clone)]
struct Pattern {
    stem: String,
    ending: Ending,
}

/// What may follow a pattern's stem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Nothing.
    None,
    /// A plural's ending, or nothing.
    Plural,
    /// Anything.
    Any,
}

impl Pattern {
    fn matches(&self, word: &str) -> bool {
        let Some(rest) = word.strip_prefix(self.stem.as_str()) else {
            return false;
        };
        match self.ending {
            Ending::None => rest.is_empty(),
            Ending::Plural => matches!(rest, "" | "s" | "es"),
            Ending::Any => true,
        }
    }
}

/// Where an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In names and in copy.
    Everywhere,
    /// In names alone.
    Names,
    /// As a whole name alone.
    WholeName,
}

#[derive(Debug, Clone)]
struct Entry {
    scope: Scope,
    words: Vec<Pattern>,
    /// A phrase written together.
    together: Option<Pattern>,
    found: Found,
}

impl Entry {
    fn parse(text: &str, rule: &'static str, category: &'static str) -> Option<Self> {
        let (scope, bare) = match text.as_bytes().first()? {
            b'@' => (Scope::Names, &text[1..]),
            b'=' => (Scope::WholeName, &text[1..]),
            _ => (Scope::Everywhere, text),
        };
        let words: Vec<Pattern> = bare.split_whitespace().map(pattern).collect::<Option<_>>()?;
        let last = words.last()?;
        let together = (words.len() > 1).then(|| Pattern {
            stem: words.iter().map(|word| word.stem.as_str()).collect(),
            ending: last.ending,
        });
        Some(Self {
            scope,
            together,
            found: Found {
                rule,
                category,
                entry: bare.to_owned(),
            },
            words,
        })
    }

    /// Whether it stands at the beginning of `words`.
    fn leads(&self, words: &[String]) -> bool {
        let in_a_row = words.len() >= self.words.len()
            && self
                .words
                .iter()
                .zip(words)
                .all(|(pattern, word)| pattern.matches(word));
        let in_one = || {
            let together = self.together.as_ref().zip(words.first());
            together.is_some_and(|(pattern, word)| pattern.matches(word))
        };
        in_a_row || in_one()
    }
}

/// Letters and digits, folded as texts are; a `*` only at the end, after three letters or more.
fn pattern(word: &str) -> Option<Pattern> {
    let (bare, ending) = match (word.strip_suffix('*'), word.strip_suffix('.')) {
        (Some(bare), _) => (bare, Ending::Any),
        (_, Some(bare)) => (bare, Ending::None),
        _ => (word, Ending::Plural),
    };
    let read = sentences(bare);
    let [.., folded] = read.as_slice() else {
        return None;
    };
    let [stem] = folded.as_slice() else { return None };
    let is_long_enough = ending != Ending::Any || stem.chars().count() >= 3;
    (is_long_enough && !bare.contains('*')).then(|| Pattern {
        stem: stem.clone(),
        ending,
    })
}

/// Entries by the first letter of their first word.
#[derive(Debug, Clone, Default)]
struct List(HashMap<char, Vec<Entry>>);

impl List {
    fn add(&mut self, entry: Entry) {
        let first = entry.words.first().and_then(|word| word.stem.chars().next());
        if let Some(first) = first {
            self.0.entry(first).or_default().push(entry);
        }
    }

    fn of(entries: &[&str], rule: &'static str, category: &'static str) -> Self {
        let mut list = Self::default();
        for text in entries {
            list.add(
                Entry::parse(text, rule, category).expect("a built-in entry is one: a test reads them all"),
            );
        }
        list
    }

    /// The entries that lead `words`.
    fn at<'a>(&'a self, words: &'a [String]) -> impl Iterator<Item = &'a Entry> {
        let first = words.first().and_then(|word| word.chars().next());
        let entries = first
            .and_then(|first| self.0.get(&first))
            .map_or(&[][..], Vec::as_slice);
        entries.iter().filter(move |entry| entry.leads(words))
    }

    fn find<'a>(
        &'a self,
        sentences: &'a [Vec<String>],
        allowed: impl Fn(Scope) -> bool,
    ) -> Option<&'a Found> {
        let places = sentences
            .iter()
            .flat_map(|sentence| (0..sentence.len()).map(move |at| &sentence[at..]));
        places
            .flat_map(|words| self.at(words))
            .find(|entry| allowed(entry.scope))
            .map(|entry| &entry.found)
    }
}

/// All the lists, the settings' words among them.
#[derive(Debug, Clone)]
pub(crate) struct Lexicon {
    sensitive: List,
    feeling: List,
    shaming: List,
    forbidden: List,
    cues: List,
    states: List,
}

impl Lexicon {
    /// The built-in lists with these words added.
    pub(crate) fn with(
        sensitive_words: &[String],
        forbidden_words: &[String],
    ) -> Result<Self, SettingsError> {
        let add = |list: &mut List, name, words: &[String], rule, category| {
            for word in words {
                let entry = Entry::parse(word, rule, category)
                    .filter(|entry| entry.scope == Scope::Everywhere)
                    .ok_or_else(|| SettingsError::Word {
                        name,
                        word: word.clone(),
                    })?;
                list.add(entry);
            }
            Ok(())
        };
        let mut sensitive = List::default();
        for (category, entries) in SENSITIVE {
            for text in entries {
                let entry = Entry::parse(text, "sensitive_word", category);
                sensitive.add(entry.expect("a built-in entry is one: a test reads them all"));
            }
        }
        add(
            &mut sensitive,
            "sensitive_words",
            sensitive_words,
            "sensitive_word",
            "what the settings call sensitive",
        )?;
        let mut forbidden = List::default();
        add(
            &mut forbidden,
            "forbidden_words",
            forbidden_words,
            "forbidden_word",
            "what the settings forbid",
        )?;
        Ok(Self {
            sensitive,
            feeling: List::of(FEELING, "feeling", "a feeling"),
            shaming: List::of(SHAMING, "shaming", "shame"),
            forbidden,
            cues: List::of(CUES, "feeling", "a feeling"),
            states: List::of(STATES, "feeling", "a feeling"),
        })
    }

    /// What makes a name (of a topic, an audience, a campaign) sensitive.
    pub(crate) fn sensitive_name(&self, name: &str) -> Option<Found> {
        let read = sentences(&name.replace(['-', '_', '.'], " "));
        let part = self.sensitive.find(&read, |scope| scope != Scope::WholeName);
        part.cloned().or_else(|| self.sensitive_whole_name(&read))
    }

    fn sensitive_whole_name(&self, read: &[Vec<String>]) -> Option<Found> {
        let whole: Vec<_> = read.iter().filter(|words| words.len() == 1).cloned().collect();
        self.sensitive
            .find(&whole, |scope| scope == Scope::WholeName)
            .cloned()
    }

    /// What in a text speaks of a sensitive matter.
    pub(crate) fn sensitive_word(&self, text: &str) -> Option<Found> {
        self.sensitive
            .find(&sentences(text), |scope| scope == Scope::Everywhere)
            .cloned()
    }

    /// What in an ad's copy may not be said.
    pub(crate) fn objection_to_copy(&self, text: &str) -> Option<Found> {
        let read = sentences(text);
        let everywhere = |scope| scope == Scope::Everywhere;
        self.feeling
            .find(&read, everywhere)
            .or_else(|| self.state_of_the_reader(&read))
            .or_else(|| self.shaming.find(&read, everywhere))
            .or_else(|| self.sensitive.find(&read, everywhere))
            .or_else(|| self.forbidden.find(&read, everywhere))
            .cloned()
    }

    /// A state within reach of a cue, in one sentence.
    fn state_of_the_reader<'a>(&'a self, read: &'a [Vec<String>]) -> Option<&'a Found> {
        read.iter().find_map(|sentence| {
            (0..sentence.len()).find_map(|at| {
                let cue = self.cues.at(&sentence[at..]).next()?;
                let after = at + cue.words.len();
                let reach = after..(after + REACH).min(sentence.len());
                reach
                    .into_iter()
                    .find_map(|at| self.states.at(&sentence[at..]).next())
                    .map(|entry| &entry.found)
            })
        })
    }
}

/// Every built-in list in one text, for the version of the rules.
pub(crate) fn canonical() -> String {
    let sensitive = SENSITIVE
        .iter()
        .flat_map(|(category, entries)| std::iter::once(category).chain(*entries));
    let others = [FEELING, CUES, STATES, SHAMING].into_iter().flatten();
    sensitive.chain(others).copied().collect::<Vec<_>>().join("\n")
}
