//! The people whom the distress lexicon protects, those whom it does not, and its error rate on public posts.
#![expect(clippy::print_stderr, reason = "the measured rates are to be read")]

mod texts;

use limbic_affect::LexiconReader;

fn cues(text: &str) -> Vec<String> {
    LexiconReader::new().distress(text).cues()
}

fn all_have(kind: &str, texts: &[&str]) {
    let missed: Vec<_> = texts
        .iter()
        .filter(|t| !cues(t).iter().any(|c| c == kind))
        .collect();
    assert!(missed.is_empty(), "no {kind} seen in {missed:#?}");
}

fn none_has(kind: &str, texts: &[&str]) {
    let hit: Vec<_> = texts
        .iter()
        .filter(|t| cues(t).iter().any(|c| c == kind))
        .collect();
    assert!(hit.is_empty(), "{kind} seen in {hit:#?}");
}

#[test]
fn self_harm_is_found_in_many_spellings() {
    all_have(
        "self_harm",
        &[
            "I want to die",
            "i just wanna die tonight",
            "I wanna die lol",
            "I'm going to kill myself",
            "KILL MYSELF",
            "kiiillll myselfffff",
            "ki\u{200b}ll my\u{200d}self",
            "\u{202e}kill myself\u{202c}",
            "k!ll myself",
            "thinking about su1c1de again",
            "s*icide is on my mind",
            "i feel suicidal",
            "kms",
            "i want to unalive myself",
            "I can't go on like this",
            "I can’t go on",
            "i cannot keep going",
            "I don't want to live anymore",
            "dont wanna be here anymore",
            "wish I was dead",
            "I wish I had never been born",
            "everyone would be better off without me",
            "there is no reason to live",
            "nothing left to live for",
            "I just want the pain to stop",
            "thinking of ending it all",
            "she took her own life",
            "I keep cutting myself",
            "relapsed into self-harm last night",
            "I'm so tired of living",
            "I hope I never wake up",
            "I would never kill myself but some days are hard",
            "kill 😭 myself 😭",
            "кill myself",
            "𝖐𝖎𝖑𝖑 𝖒𝖞𝖘𝖊𝖑𝖋",
            "quiero morir",
            "je veux mourir",
            "ich will nicht mehr leben",
            "quero morrer",
            "#wanttodie",
            "dying of laughter at this clip, anyway I still want to die",
        ],
    );
}

#[test]
fn grief_is_found() {
    all_have(
        "grief",
        &[
            "My grandmother passed away this morning",
            "Rest in peace, old friend",
            "R.I.P. to a true legend",
            "RIP uncle Joe",
            "I miss her so much since the funeral",
            "We buried my dad on Tuesday",
            "my dog died and the house is so quiet",
            "I can't believe he passed away",
            "So sorry for your loss",
            "gone too soon",
            "It has been three years since my mom died",
            "still grieving",
            "lost my brother to cancer",
            "#restinpeace",
            "descanse en paz abuela",
            "Ruhe in Frieden",
            "our baby was stillborn",
            "she is no longer with us",
        ],
    );
}

#[test]
fn fear_is_found() {
    all_have(
        "fear",
        &[
            "I'm so scared right now",
            "having a panic attack on the bus",
            "I am terrrrified of going home",
            "I don't feel safe here",
            "someone is following me",
            "please god help me",
            "he's going to hurt me",
            "I fear for my life",
            "can’t breathe, can't stop shaking",
            "getting death threats every day",
        ],
    );
}

#[test]
fn crisis_is_found() {
    all_have(
        "crisis",
        &[
            "ACTIVE SHOOTER at the mall, stay away",
            "shots fired near the station",
            "We are being evacuated, the fire is close",
            "evacuation order for the whole valley",
            "Tornado warning until nine",
            "a huge earthquake just hit",
            "bomb threat at school",
            "several people injured after the blast",
            "we're trapped in the building send help",
            "state of emergency declared",
            "my house is on fire",
            "hostages taken downtown",
        ],
    );
}

#[test]
fn a_figure_of_speech_is_not_self_harm() {
    none_has(
        "self_harm",
        &[
            "I'm dying of laughter 😂",
            "dying laughing at this",
            "You will kill it tomorrow!",
            "she killed it on stage",
            "what a killer workout",
            "this cake is to die for",
            "I'm dying to see the new film",
            "over my dead body",
            "bored to death in this meeting",
            "killing time at the airport",
            "time to hang the washing out",
            "end of the season, what a ride",
            "cut the grass and burned the toast",
            "that song slays",
            "just made a new friend",
            "die hard fan since 1998",
        ],
    );
}

#[test]
fn everyday_posts_have_no_cue() {
    for text in [
        "",
        "x",
        "😀😀😀",
        "What a lovely day in the park",
        "the train is late again",
        "I'm not scared of you",
        "New phone, who dis?",
        "Can't wait for the weekend!!!",
        "I ripped my jeans",
        "rip my bank account",
        "Good morning everyone",
        "he made the shot at the buzzer",
        "I miss the summer",
        "the comedian bombed",
        "feeling great after the gym",
        "We won the match tonight 🏆",
    ] {
        assert_eq!(cues(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn laughter_and_negation_weaken_a_cue_but_do_not_remove_it() {
    let reader = LexiconReader::new();
    let plain = reader.distress("I want to die").self_harm;
    let laughed = reader.distress("I want to die lol").self_harm;
    let negated = reader.distress("I do not want to die").self_harm;
    assert!(plain > laughed && laughed >= 0.3, "{plain} {laughed}");
    assert!(plain > negated && negated >= 0.3, "{plain} {negated}");
}

#[test]
fn cues_are_listed_in_their_stated_order() {
    let text = "I want to die, there is an active shooter, I am terrified, my mom passed away";
    assert_eq!(cues(text), ["grief", "fear", "crisis", "self_harm"]);
}

#[test]
fn a_very_long_text_is_read() {
    for text in [
        "kill myself ",
        "cant go on but ",
        "im so scared ",
        "no no not ",
        "a|b ~ ?c ",
    ] {
        let long = text.repeat(100_000 / text.len());
        let scores = LexiconReader::new().distress(&long);
        assert!((0.0..=1.0).contains(&scores.score()));
    }
}

/// The percentage of texts with any cue, and with each kind of cue.
fn rates(name: &str, texts: &[String]) -> f64 {
    let reader = LexiconReader::new();
    let mut by_kind = std::collections::BTreeMap::<String, usize>::new();
    let mut any = 0usize;
    for text in texts {
        let cues = reader.distress(text).cues();
        any += usize::from(!cues.is_empty());
        for cue in cues {
            *by_kind.entry(cue).or_default() += 1;
        }
    }
    let percent = |count: usize| 100.0 * count as f64 / texts.len() as f64;
    let kinds: Vec<_> = by_kind
        .iter()
        .map(|(kind, count)| format!("{kind} {:.1} %", percent(*count)))
        .collect();
    eprintln!(
        "{name}: {} texts, any cue {:.1} % ({})",
        texts.len(),
        percent(any),
        kinds.join(", ")
    );
    percent(any)
}

#[test]
fn the_rates_on_public_posts_are_as_stated() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let everyday = rates("vader tweets", &texts::ground_truth(&data, "tweets").texts);
    let of_class = |class: &str| -> Vec<String> {
        let texts = std::fs::read_to_string(data.join("tweeteval/emotion/train_text.txt")).unwrap();
        let labels = std::fs::read_to_string(data.join("tweeteval/emotion/train_labels.txt")).unwrap();
        texts
            .lines()
            .zip(labels.lines())
            .filter(|(_, label)| label.trim() == class)
            .map(|(text, _)| text.to_owned())
            .collect()
    };
    let sadness = rates("emotion train, sadness", &of_class("3"));
    let anger = rates("emotion train, anger", &of_class("0"));
    let joy = rates("emotion train, joy", &of_class("1"));
    let optimism = rates("emotion train, optimism", &of_class("2"));
    assert!(everyday < 4.0, "{everyday}");
    assert!(sadness > 3.0 * joy, "{sadness} {joy}");
    let _ = (anger, optimism);
}

/// The number of sentences with a cue among a list's sentences in distress, and among the others.
fn found(list: &str, has_cue: impl Fn(&str) -> bool) -> [u32; 4] {
    let rows = list
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once('\t').expect("a label, a tab and a text"));
    let (mut seen, mut total, mut alarms, mut calm) = (0, 0, 0, 0);
    for (kind, sentence) in rows {
        let found = has_cue(sentence);
        if kind == "none" {
            calm += 1;
            alarms += u32::from(found);
        } else {
            total += 1;
            seen += u32::from(found);
        }
        if found == (kind == "none") {
            eprintln!("{} ({kind}): {sentence}", if found { "cue" } else { "no cue" });
        }
    }
    [seen, total, alarms, calm]
}

#[test]
fn the_recall_on_written_sentences_is_as_stated() {
    let has_cue = |sentence: &str| !cues(sentence).is_empty();
    let tuned_on = found(include_str!("fixtures/distress_development.tsv"), has_cue);
    let held_out = found(include_str!("fixtures/distress_held_out.tsv"), has_cue);
    eprintln!(
        "tuned on: {tuned_on:?}, held out: {held_out:?} (in distress with a cue, of; others with a cue, of)"
    );
    let [seen, total, alarms, calm] = held_out;
    assert!(seen * 4 > total && alarms * 4 < calm, "{held_out:?}");
}
