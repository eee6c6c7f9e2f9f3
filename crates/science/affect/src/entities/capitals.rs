//! Names by capital letters.

use std::sync::LazyLock;

use foldhash::HashSet;
use limbic_domain::EntityKind;

use super::Span;
use super::pieces::{Piece, PieceKind};

/// Capitalised words that are not names: days, months, interjections, chat, and words that are often stressed.
const NO_NAMES: &str = "monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun \
    january february march april may june july august september october november december jan feb mar apr jun jul aug \
    sep sept oct nov dec christmas xmas easter halloween thanksgiving valentines ramadan eid diwali hanukkah lol lmao lmfao \
    omg wtf smh rofl tbh imo imho idk fyi btw asap irl dm dms rt mt ps pm am est pst gmt utc tv ok okay yes yeah yep nope no \
    oh ah ha haha hahaha wow hey hi hello dear mr mrs ms dr god jesus lord christ english french german spanish italian \
    american british european african asian chinese japanese russian indian irish scottish welsh canadian australian \
    muslim muslims christian christians jewish jews catholic islam black white great happy merry new old big little good \
    bad best worst first last next please thanks thank sorry congrats congratulations via live breaking update news photo \
    video watch check read join click free win today tomorrow tonight yesterday morning night day week month year birthday \
    also still even never ever always much many every each any some one two three four five six seven eight nine ten only \
    let lets gonna gotta wanna got get going go come see say said make made take want need feel feels look looks keep stop \
    start try call follow following back well way people man men woman women guy guys girl girls boy boys life love world \
    time home work school game team fans fan show song album movie book food coffee party weekend summer winter spring autumn \
    president mom mum dad mother father grandma grandpa uncle aunt brother sister i'm i've i'd i'll im ive id ill u ur r \
    bc b/c sooo soo ugh meh nah dude bro btw tho though because while since until after before during against between both \
    few more most other such own same than too can cannot could should would might must shall does did doing done having \
    being been these those where which whom whose what's it's that's here there again once under over above below";

/// Titles before the name of a person.
const TITLES: &str = "mr mrs ms miss dr prof professor president pres senator sen governor gov mayor minister judge justice sir \
    dame lord lady king queen prince princess pope coach captain capt general sgt officer detective rev reverend pastor \
    sheikh imam rabbi chancellor congressman congresswoman secretary";

/// Last words of names of organisations.
const ORGANISATIONS: &str = "inc ltd llc corp corporation company co group bank university college institute school academy \
    hospital council committee commission ministry department police foundation association union society party club fc afc \
    cf sc records studios pictures entertainment airlines airways motors motor technologies tech labs software media press \
    times post tribune gazette orchestra federation league agency authority museum church";

/// Last words of names of places.
const PLACES: &str = "street st road rd avenue ave lane boulevard blvd square park airport station stadium arena river lake \
    island islands mountain mountains mount beach bay county city town village valley hill hills bridge harbour harbor coast \
    forest desert ocean sea plaza mall centre center tower hall palace castle heights springs";

/// Small words inside names.
const INSIDE: &str = "of the de van von der da del la le bin al for";

static SETS: LazyLock<[HashSet<&'static str>; 5]> = LazyLock::new(|| {
    [NO_NAMES, TITLES, ORGANISATIONS, PLACES, INSIDE].map(|words| words.split_ascii_whitespace().collect())
});

static GIVEN_NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("../../data/given_names.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_ascii_whitespace)
        .collect()
});

/// How a text uses capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// At the beginning of sentences and for names: a capital is a signal.
    Sentences,
    /// On most words.
    Titles,
    /// Everywhere.
    Shouting,
}

impl Style {
    pub(super) fn of(text: &str, pieces: &[Piece]) -> Self {
        let words = pieces.iter().filter(|piece| piece.kind == PieceKind::Word);
        let (mut lower, mut capital, mut upper) = (0, 0, 0);
        for piece in words {
            let word = &text[piece.start..piece.end];
            match word.chars().next() {
                Some(c) if c.is_lowercase() => lower += 1,
                Some(c) if c.is_uppercase() && word.len() > 1 => {
                    capital += 1;
                    upper += usize::from(!word.chars().any(char::is_lowercase));
                }
                _ => {}
            }
        }
        if lower == 0 && upper == capital && capital > 1 {
            Self::Shouting
        } else if capital >= 4 && capital > 2 * lower {
            Self::Titles
        } else {
            Self::Sentences
        }
    }
}

pub(super) fn is_capitalised(word: &str) -> bool {
    word.chars().next().is_some_and(char::is_uppercase)
}

/// `7`, `6s`, `S7`, `Pro`.
pub(super) fn is_model_number(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    (word.is_ascii() && digits > 0 && word.len() - digits <= 1 && digits <= 3)
        || ["pro", "plus", "max", "mini", "ultra"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(word))
}

/// The name that begins at `pieces[at]`, if capitals show one.
pub(super) fn span<'a>(text: &str, pieces: &[Piece], at: usize, style: Style) -> Option<Span<'a>> {
    if style != Style::Sentences {
        return None;
    }
    let [no_names, titles, organisations, places, inside] = &*SETS;
    let written = |n: usize| &text[pieces[n].start..pieces[n].end];
    let lower = |n: usize| {
        let word = written(n).to_lowercase();
        word.strip_suffix("'s")
            .or_else(|| word.strip_suffix("’s"))
            .map(str::to_owned)
            .unwrap_or(word)
    };
    let is_known_word = |n: usize| {
        let word = lower(n);
        no_names.contains(word.as_str())
            || crate::cues::is_known(&word)
            || crate::language::is_little_word(&word)
    };
    let is_name = |n: usize| {
        let word = written(n);
        pieces[n].kind == PieceKind::Word && is_capitalised(word) && word.chars().nth(1).is_some()
    };
    if !is_name(at) {
        return None;
    }
    let has_title = titles.contains(lower(at).as_str());
    if is_known_word(at) && !has_title {
        return None;
    }
    let mut end = at + 1;
    while let Some(piece) = pieces.get(end).filter(|piece| piece.adjoins && !piece.begins) {
        if piece.kind != PieceKind::Word {
            break;
        }
        // Small words belong to a name only between two of its capitals.
        let small = pieces[end..]
            .iter()
            .take(2)
            .take_while(|p| p.adjoins && p.kind == PieceKind::Word && inside.contains(&text[p.start..p.end]))
            .count();
        let next = end + small;
        let goes_on = pieces.get(next).is_some_and(|p| p.adjoins && !p.begins) && is_name(next);
        let ends_it =
            |n: usize| organisations.contains(lower(n).as_str()) || places.contains(lower(n).as_str());
        if !goes_on || (is_known_word(next) && !ends_it(next)) {
            break;
        }
        end = next + 1;
    }
    let pieces_in = end - at;
    let last = lower(end - 1);
    let given = written(at).strip_suffix("'s").unwrap_or(written(at));
    let kind = if has_title {
        // A title alone is not a name.
        (pieces_in > 1).then_some(EntityKind::Person)?
    } else if pieces_in > 1 && organisations.contains(last.as_str()) {
        EntityKind::Organisation
    } else if pieces_in > 1 && places.contains(last.as_str()) {
        EntityKind::Place
    } else if GIVEN_NAMES.contains(given) && pieces_in <= 4 {
        EntityKind::Person
    } else if pieces[at].begins && pieces_in == 1 {
        // The first word of a sentence always has a capital.
        return None;
    } else {
        EntityKind::Other
    };
    Some(Span {
        kind,
        pieces: pieces_in,
        name: None,
    })
}
