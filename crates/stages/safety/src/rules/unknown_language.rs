//! An ad in a language without word lists.

use limbic_affect::language_of;

use crate::ad::Ad;
use crate::rule::{Check, Objects, Protection, Rule};
use crate::words::has_lists;

pub(super) const UNKNOWN_LANGUAGE: Rule = Rule {
    id: "unknown_language",
    protection: Protection::P2,
    version: 1,
    protects: "people from texts that no rule can judge",
    objects_when: "the ad, or a part of four words or more, is in a language without word lists, or in one that cannot be told",
    check: Check::Ad(unknown),
};

/// From this number of words on, the language of a part is told by itself.
const TELLING: usize = 4;

/// An English text has at most one word with an accent in this number of words.
const WORDS_PER_ACCENT: usize = 5;

fn unknown(ad: &Ad<'_>) -> Objects {
    // What the picture says again tells nothing new.
    let is_new = |at: usize, text: &str| ad.texts[..at].iter().all(|(_, before)| !before.contains(text));
    let texts = ad.texts.iter().enumerate();
    let texts: Vec<&str> = texts
        .filter(|(at, (_, text))| is_new(*at, text))
        .map(|(_, (_, text))| *text)
        .collect();
    let whole = texts.join(". ");
    let is_long = |text: &&str| text.split_whitespace().count() >= TELLING;
    let mut judged = std::iter::once(whole.as_str()).chain(texts.iter().copied().filter(is_long));
    let foreign = judged.find_map(|text| {
        let language = language_of(text);
        let is_known = language.has_no_words || has_lists(language.tag);
        match language.tag {
            tag if !is_known => Some(tag),
            "en" if has_many_accents(text) => Some("und"),
            _ => None,
        }
    });
    Ok(foreign.map(|tag| match tag {
        "und" => "The language of the ad cannot be told, so the rules cannot clear it.".to_owned(),
        tag => format!("The ad reads as language `{tag}`, for which there are no word lists, so the rules cannot clear it."),
    }))
}

/// Whether so many words have accents that the text is hardly English, whatever the reader says.
fn has_many_accents(text: &str) -> bool {
    let words = || {
        text.split_whitespace()
            .filter(|word| word.contains(char::is_alphabetic))
    };
    let is_accented = |word: &&str| word.contains(|c: char| c.is_alphabetic() && !c.is_ascii());
    words().filter(is_accented).count() * WORDS_PER_ACCENT > words().count()
}

#[cfg(test)]
mod tests {
    use limbic_affect::LANGUAGES;

    use super::*;
    use crate::{AdText, Rules, Settings, judge_ad};

    /// A harmless ad in each language that the reader names: "These boots keep your feet warm and dry all winter, and they are now in
    /// our shop in the city."
    const HARMLESS: [(&str, &str); 23] = [
        (
            "en",
            "These boots keep your feet warm and dry all winter, and they are now in our shop in the city.",
        ),
        (
            "es",
            "Estas botas mantienen tus pies calientes y secos todo el invierno, y ya están en nuestra tienda de la ciudad.",
        ),
        (
            "fr",
            "Ces bottes gardent vos pieds au chaud et au sec tout l'hiver, et elles sont dans notre magasin en ville.",
        ),
        (
            "de",
            "Diese Stiefel halten die Füße den ganzen Winter warm und trocken, und es gibt sie jetzt in unserem Laden in der Stadt.",
        ),
        (
            "pt",
            "Estas botas mantêm os seus pés quentes e secos todo o inverno, e já estão na nossa loja da cidade.",
        ),
        (
            "it",
            "Questi stivali tengono i piedi caldi e asciutti per tutto l'inverno, e sono nel nostro negozio in città.",
        ),
        (
            "nl",
            "Deze laarzen houden je voeten de hele winter warm en droog, en ze zijn nu in onze winkel in de stad.",
        ),
        (
            "tr",
            "Bu botlar ayaklarınızı bütün kış sıcak ve kuru tutar ve şimdi şehirdeki mağazamızda.",
        ),
        (
            "id",
            "Sepatu ini membuat kaki kamu hangat dan kering, dan sudah ada di toko kami yang di kota.",
        ),
        (
            "sv",
            "De här stövlarna håller dina fötter varma och torra hela vintern, och de finns nu i vår butik i staden.",
        ),
        (
            "pl",
            "Te buty trzymają stopy w cieple i suche przez całą zimę, a teraz są już w naszym sklepie w mieście.",
        ),
        (
            "vi",
            "Đôi ủng này giữ cho chân bạn ấm và khô suốt mùa đông, và bây giờ có tại cửa hàng của chúng tôi.",
        ),
        (
            "ja",
            "このブーツは冬の間ずっと足を暖かく保ちます。街の店にあります。",
        ),
        (
            "zh",
            "这双靴子整个冬天让您的脚保持温暖干燥,现在在我们城里的商店有售。",
        ),
        ("ko", "이 부츠는 겨울 내내 발을 따뜻하고 건조하게 유지해 줍니다."),
        ("th", "รองเท้าบูทคู่นี้ช่วยให้เท้าของคุณอบอุ่นและแห้งตลอดฤดูหนาว"),
        (
            "el",
            "Αυτές οι μπότες κρατούν τα πόδια σας ζεστά και στεγνά όλο τον χειμώνα.",
        ),
        ("he", "המגפיים האלה שומרים על הרגליים שלך חמות ויבשות כל החורף."),
        ("hi", "ये जूते पूरी सर्दी आपके पैरों को गर्म और सूखा रखते हैं।"),
        ("ar", "هذه الأحذية تحافظ على دفء قدميك وجفافهما طوال الشتاء."),
        ("fa", "این چکمه‌ها پاهای شما را تمام زمستان گرم و خشک نگه می‌دارند."),
        (
            "ru",
            "Эти сапоги держат ноги в тепле и сухости всю зиму, и они уже в нашем магазине в городе.",
        ),
        (
            "uk",
            "Ці чоботи тримають ноги в теплі та сухими всю зиму, і вони вже в нашій крамниці у місті.",
        ),
    ];

    #[test]
    fn in_every_language_that_the_reader_names_an_ad_runs_only_with_word_lists() {
        let rules = Rules::new(&Settings::default()).expect("the default settings");
        let mut named: Vec<&str> = HARMLESS.iter().map(|(language, _)| *language).collect();
        let mut known = LANGUAGES.to_vec();
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known, "a text for each language");
        for (language, text) in HARMLESS {
            // The reader takes this text for English: its accents say otherwise.
            let read_as = if language == "pl" { "en" } else { language };
            assert_eq!(language_of(text).tag, read_as, "{text}");
            let objection = judge_ad(&AdText::new(text), &rules);
            assert_eq!(
                objection.is_none(),
                has_lists(language),
                "{language}: {objection:?}"
            );
            if let Some(objection) = objection {
                assert!(
                    matches!(objection.rule.id, "unreadable" | "unknown_language" | "malformed"),
                    "{language}: {objection:?}"
                );
            }
        }
    }

    #[test]
    fn one_word_in_five_may_have_an_accent() {
        for (text, many) in [
            ("a b c d é", false),
            ("a b c é", true),
            ("1 2 3 4 5 a b c é – !", true),
            ("a b c d e f g h ü é", false),
            ("a b c d e f g ü é", true),
            ("", false),
        ] {
            assert_eq!(has_many_accents(text), many, "{text}");
        }
    }

    #[test]
    fn a_part_in_another_language_is_noticed() {
        let rules = Rules::new(&Settings::default()).expect("the default settings");
        let judge = |headline: &str, body: &str| {
            let text = AdText {
                headline: Some(headline.to_owned()),
                ..AdText::new(body)
            };
            judge_ad(&text, &rules).map(|objection| (objection.rule.id, objection.reason))
        };
        let english = "Try a pair of our warm boots, they are made for the walk home in any weather and for all of the winter.";
        assert_eq!(judge("Acme Boots", english), None);
        let (rule, reason) =
            judge("Bist du heute wieder so traurig und allein?", english).expect("an objection");
        assert_eq!(rule, "unknown_language");
        assert!(reason.contains("`de`"), "{reason}");
        assert_eq!(
            judge("5 € 🎉", "2 × 10 €"),
            None,
            "numbers and signs have no language"
        );
        let (_, reason) = judge("Hau ko tinu", "Mbali zeko wamu tirro").expect("an objection");
        assert!(reason.ends_with("so the rules cannot clear it."), "{reason}");
    }
}
