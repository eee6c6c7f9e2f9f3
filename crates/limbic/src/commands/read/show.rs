//! Prints a reading for a person.

use std::io::{Result, Write};

use limbic_affect::{Explanation, WordContribution, emotions};
use limbic_domain::{Affect, Distress, Emotions};
use serde_json::Value;

/// Emotions below this value are not printed.
const SHOWN: f64 = 0.05;
/// The heading of the table of words.
const TITLE: &str = "influence of words";
/// Words with a smaller influence are not printed.
const MOVES: f64 = 0.01;

/// Whether to use colours.
#[derive(Clone, Copy)]
pub(super) struct Style {
    colours: bool,
}

impl Style {
    /// Colours on a terminal, unless `NO_COLOR` is set.
    pub(super) fn new(is_terminal: bool) -> Self {
        Self {
            colours: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    fn paint(self, text: &str, code: u8) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn leaning(self, text: &str, leaning: f64) -> String {
        const RED: u8 = 31;
        const GREEN: u8 = 32;
        match leaning {
            l if l > 0.0 => self.paint(text, GREEN),
            l if l < 0.0 => self.paint(text, RED),
            _ => text.to_owned(),
        }
    }

    fn bold(self, text: &str) -> String {
        self.paint(text, 1)
    }
}

/// A bar of at most 20 blocks, in eighths.
fn bar(score: f64) -> String {
    let eighths = (score.clamp(0.0, 1.0) * 160.0).round() as usize;
    let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    format!("{}{part}", "█".repeat(eighths / 8))
}

pub(super) fn reading(out: &mut impl Write, reading: &Value, style: Style) -> Result<()> {
    let number = |value: &Value| value.as_f64();
    let sentiment = &reading["sentiment"];
    let compound = number(&sentiment["compound"]).unwrap_or(0.0);
    let label = sentiment["label"].as_str().unwrap_or("");
    let shares = ["negative", "neutral", "positive"]
        .map(|name| format!("{name} {:.2}", number(&sentiment["scores"][name]).unwrap_or(0.0)));
    writeln!(
        out,
        "sentiment  {} {compound:+.4}   {}",
        style.leaning(label, compound),
        shares.join("  ")
    )?;
    let pairs = |names: &[&str]| -> Vec<String> {
        let value = |name: &&str| Some(format!("{name} {:.2}", number(&reading[*name])?));
        names.iter().filter_map(value).collect()
    };
    if reading["emotions"].is_object() {
        writeln!(
            out,
            "feeling    {}",
            pairs(&["valence", "arousal", "intensity"]).join("   ")
        )?;
        feelings(out, reading, style)?;
    }
    let others = pairs(&["irony", "offence", "hate", "out_of_domain"]);
    if !others.is_empty() {
        writeln!(out, "also       {}", others.join("   "))?;
    }
    if let Some(kind) = reading["intent"]["kind"].as_str().filter(|kind| *kind != "none") {
        writeln!(
            out,
            "intent     {kind} ({:.2})",
            number(&reading["intent"]["score"]).unwrap_or(0.0)
        )?;
    }
    let names: Vec<String> = array(&reading["entities"])
        .map(|entity| {
            let field = |name: &str| entity[name].as_str().unwrap_or("");
            let known = entity["name"]
                .as_str()
                .map_or(String::new(), |name| format!(" = {name}"));
            format!("{}{known} ({})", field("text"), field("kind"))
        })
        .collect();
    if !names.is_empty() {
        writeln!(out, "names      {}", names.join(", "))?;
    }
    let cues: Vec<&str> = array(&reading["distress"]["cues"])
        .filter_map(Value::as_str)
        .collect();
    if !cues.is_empty() {
        let score = number(&reading["distress"]["score"]).unwrap_or(0.0);
        let line = format!("{} ({score:.2}): no ad would be shown", cues.join(", "));
        writeln!(out, "distress   {}", style.bold(&line))?;
    }
    let event = number(&reading["distress"]["sensitive_event"]).unwrap_or(0.0);
    if event >= Distress::EVENT_FROM {
        let line = format!(
            "{event:.2}: about a death, a disaster or violence; several such posts put their subject on hold"
        );
        writeln!(out, "event      {}", style.bold(&line))?;
    }
    if let Some(language) = reading["language"].as_str() {
        let is_far = number(&reading["out_of_domain"]).is_some_and(|far| far >= Affect::FAR);
        let is_unread = reading["distress"]["unread"] == true;
        let note = if is_far {
            " (the text is far from the posts that the model learnt from: it raises no mood)"
        } else if is_unread {
            " (distress cannot be read in it)"
        } else {
            ""
        };
        writeln!(out, "language   {language}{note}")?;
    }
    writeln!(out, "read by    {}", reading["model"].as_str().unwrap_or(""))
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Prints each emotion with a bar, and the two summaries in one line each.
fn feelings(out: &mut impl Write, reading: &Value, style: Style) -> Result<()> {
    let all: Emotions = serde_json::from_value(reading["emotions"].clone()).unwrap_or_default();
    for (name, score) in sorted(&all) {
        writeln!(out, "  {name:<15}{score:.2} {}", style.paint(&bar(score), 36))?;
    }
    for (view, seen) in [
        ("Ekman", emotions::ekman(&all)),
        ("Plutchik", emotions::plutchik(&all)),
    ] {
        let values: Vec<String> = sorted(&seen)
            .map(|(name, score)| format!("{name} {score:.2}"))
            .collect();
        if !values.is_empty() {
            writeln!(out, "  as {view:<12}{}", values.join("  "))?;
        }
    }
    Ok(())
}

fn sorted(emotions: &Emotions) -> impl Iterator<Item = (&str, f64)> {
    let mut all: Vec<(&str, f64)> = emotions
        .iter()
        .map(|(name, score)| (name.as_str(), *score))
        .filter(|(_, score)| *score >= SHOWN)
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.into_iter()
}

/// Prints the words and emoji that influenced the reading.
pub(super) fn evidence(
    out: &mut impl Write,
    text: &str,
    explained: &Explanation,
    style: Style,
) -> Result<()> {
    let moves = |word: &&WordContribution| {
        let numbers = word
            .emotions
            .iter()
            .chain([&word.compound, &word.distress, &word.vader]);
        numbers.into_iter().any(|moved| moved.abs() >= MOVES)
    };
    let words: Vec<&WordContribution> = explained.words.iter().filter(moves).collect();
    if words.is_empty() {
        return Ok(());
    }
    let is_distressed = words.iter().any(|word| word.distress.abs() >= MOVES);
    let written = |word: &WordContribution| -> String { text[word.span.clone()].chars().take(24).collect() };
    let width = words
        .iter()
        .map(|word| columns(&written(word)))
        .max()
        .unwrap_or(0)
        .max(4);
    let name_width = (width + 2).max(TITLE.len());
    let mut head = vec![pad(TITLE, name_width), format!("{:>11}", "sentiment")];
    head.extend(explained.emotions.iter().map(|emotion| format!("{emotion:>15}")));
    head.extend(is_distressed.then(|| format!("{:>11}", "distress")));
    head.push(format!("{:>9}", "VADER"));
    writeln!(out, "\n{}", style.bold(&head.concat()))?;
    for word in words {
        let cell = |moved: f64, width: usize| {
            let shown = if moved.abs() < 0.005 {
                "·".to_owned()
            } else {
                format!("{moved:+.2}")
            };
            style.leaning(
                &format!("{shown:>width$}"),
                if moved.abs() < 0.005 { 0.0 } else { moved },
            )
        };
        write!(
            out,
            "{}{}",
            pad(&written(word), name_width),
            cell(word.compound, 11)
        )?;
        for moved in &word.emotions {
            write!(out, "{}", cell(*moved, 15))?;
        }
        if is_distressed {
            write!(out, "{}", cell(word.distress, 11))?;
        }
        writeln!(out, "{}", cell(word.vader, 9))?;
    }
    Ok(())
}

/// The approximate number of columns on a terminal: emoji and ideographs take two.
fn columns(text: &str) -> usize {
    let width = |c: char| match u32::from(c) {
        0x200b..=0x200f | 0xfe00..=0xfe0f | 0x300..=0x36f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0x1f300..=0x1faff => 2,
        _ => 1,
    };
    text.chars().map(width).sum()
}

fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

#[cfg(test)]
mod tests {
    use limbic_affect::{LexiconReader, explain};
    use serde_json::json;

    use super::*;

    const PLAIN: Style = Style { colours: false };

    fn shown(text: &str) -> String {
        let explained = explain(&LexiconReader::new(), text);
        let mut out = Vec::new();
        reading(&mut out, &json!(explained.reading), PLAIN).unwrap();
        evidence(&mut out, text, &explained, PLAIN).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reading_shows_emotions_and_the_influence_of_words() {
        let text = shown("I love my new phone 😍 @AppleSupport");
        for part in [
            "sentiment  positive",
            "joy",
            "as Plutchik",
            "intent     praise",
            "@AppleSupport = Apple (mention)",
            "language   en",
            TITLE,
            "😍",
            "love",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains('\x1b') && !text.contains("distress"), "{text}");
    }

    #[test]
    fn distress_is_shown_with_its_consequence() {
        let text = shown("my dog died");
        assert!(
            text.contains("grief") && text.contains("no ad would be shown"),
            "{text}"
        );
    }

    #[test]
    fn an_event_and_an_unread_language_are_shown() {
        let text = shown("they found him under the rubble, he did not make it. pray for his family");
        assert!(text.contains("event") && text.contains("on hold"), "{text}");
        let text = shown("Det var en väldigt fin kväll och vi hade så roligt");
        assert!(
            text.contains("language   sv (distress cannot be read in it)"),
            "{text}"
        );
    }

    #[test]
    fn a_text_far_from_posts_is_named_as_such_and_its_language_is_not_blamed() {
        let mut read = json!(explain(&LexiconReader::new(), "SELECT id FROM users;").reading);
        read["out_of_domain"] = json!(Affect::FAR);
        read["distress"]["unread"] = json!(true);
        let mut out = Vec::new();
        reading(&mut out, &read, PLAIN).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("far from the posts"), "{text}");
        assert!(!text.contains("cannot be read in it"), "{text}");
    }

    #[test]
    fn a_text_without_influential_words_has_no_table() {
        let text = shown("the");
        assert!(!text.contains(TITLE), "{text}");
    }

    #[test]
    fn the_length_of_a_bar_is_proportional_to_its_score() {
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(1.0), "█".repeat(20));
        assert_eq!(bar(0.475), format!("{}▌", "█".repeat(9)));
        assert_eq!(bar(7.0), bar(1.0));
    }
}
