//! Distress in languages other than English: what the shipped classifier of words must find, and what it must leave alone. None of these posts
//! is among its training posts.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use limbic_affect::{AffectEngine, LexiconReader, language_of};
use limbic_domain::Affect;

fn read(text: &str) -> Affect {
    LexiconReader::new().read(&[text]).pop().unwrap()
}

const IN_DISTRESS: [(&str, &str); 12] = [
    (
        "es",
        "mi padre murió ayer por la noche y no dejo de llorar, no sé cómo seguir sin él",
    ),
    (
        "es",
        "ya no quiero vivir así, estoy cansada de todo y nadie se da cuenta",
    ),
    (
        "pt",
        "minha mãe morreu ontem e eu não consigo parar de chorar, dói demais",
    ),
    ("pt", "não aguento mais viver assim, só queria sumir"),
    ("fr", "mon père est mort hier soir et je n'arrête pas de pleurer"),
    (
        "fr",
        "je n'en peux plus de vivre comme ça, j'ai envie de disparaître",
    ),
    (
        "de",
        "mein Vater ist gestern gestorben und ich kann nicht aufhören zu weinen",
    ),
    ("de", "ich will so nicht mehr leben, ich kann einfach nicht mehr"),
    (
        "it",
        "mio padre è morto ieri notte e non riesco a smettere di piangere",
    ),
    ("it", "non ce la faccio più a vivere così, vorrei solo sparire"),
    (
        "nl",
        "mijn vader is gisteren overleden en ik kan niet stoppen met huilen",
    ),
    ("nl", "ik wil zo niet meer leven, ik kan echt niet meer"),
];

const CALM: [(&str, &str); 12] = [
    ("es", "qué golazo, el estadio entero cantando bajo la lluvia"),
    ("es", "hoy toca reunión a las nueve y luego café con las chicas"),
    ("pt", "que golaço, a arquibancada inteira cantando na chuva"),
    ("pt", "reunião às nove e depois um café com o pessoal do trabalho"),
    ("fr", "quel but magnifique, tout le stade chante sous la pluie"),
    (
        "fr",
        "réunion à neuf heures puis un café avec les collègues du bureau",
    ),
    ("de", "was für ein Tor, das ganze Stadion singt im Regen"),
    (
        "de",
        "um neun ist die Besprechung, danach Kaffee mit den Kollegen",
    ),
    ("it", "che gol, tutto lo stadio canta sotto la pioggia"),
    ("it", "riunione alle nove e poi un caffè con le colleghe"),
    ("nl", "wat een doelpunt, het hele stadion zingt in de regen"),
    ("nl", "om negen uur vergadering en daarna koffie met de collega's"),
];

#[test]
fn plain_distress_has_a_cue_in_six_languages() {
    for (language, text) in IN_DISTRESS {
        assert_eq!(language_of(text).tag, language, "{text}");
        let distress = read(text).distress;
        assert!(
            !distress.cues.is_empty() && distress.score.get() >= 0.3,
            "{text}: {distress:?}"
        );
        assert!(!distress.unread, "{text}");
    }
}

#[test]
fn an_ordinary_post_has_no_cue_and_no_score() {
    for (language, text) in CALM {
        assert_eq!(language_of(text).tag, language, "{text}");
        let distress = read(text).distress;
        assert!(
            distress.cues.is_empty() && distress.score.get() < 1e-9,
            "{text}: {distress:?}"
        );
    }
}

#[test]
fn the_classifier_leaves_english_to_the_phrases_and_the_model() {
    let text = "my tea is getting cold and the bus is late";
    assert_eq!(language_of(text).tag, "en");
    assert!(read(text).distress.cues.is_empty());
}
