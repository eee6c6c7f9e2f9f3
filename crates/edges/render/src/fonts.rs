//! Fonts: which are used, where they are found, and what is missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use resvg::usvg::fontdb::{Database, FaceInfo, ID, Style, Weight};
use resvg::usvg::{FontResolver, Options};
use skrifa::MetadataProvider as _;

use crate::RenderError;

/// A family of fonts, and the Debian package that has it. All are under the SIL Open Font License 1.1.
struct Family {
    name: &'static str,
    package: &'static str,
}

const CORE: &str = "fonts-noto-core";
const CJK: &str = "fonts-noto-cjk";
const EMOJI: &str = "fonts-noto-color-emoji";

/// The families in the order in which a character is looked for. The first one is the base of every text.
const FAMILIES: [Family; 20] = [
    family("Noto Sans", CORE),
    family("Noto Sans Arabic", CORE),
    family("Noto Sans Hebrew", CORE),
    family("Noto Sans Devanagari", CORE),
    family("Noto Sans Bengali", CORE),
    family("Noto Sans Gujarati", CORE),
    family("Noto Sans Gurmukhi", CORE),
    family("Noto Sans Tamil", CORE),
    family("Noto Sans Telugu", CORE),
    family("Noto Sans Kannada", CORE),
    family("Noto Sans Malayalam", CORE),
    family("Noto Sans Sinhala", CORE),
    family("Noto Sans Thai", CORE),
    family("Noto Sans Georgian", CORE),
    family("Noto Sans Armenian", CORE),
    family("Noto Sans Ethiopic", CORE),
    family("Noto Sans CJK JP", CJK),
    family("Noto Sans CJK KR", CJK),
    family("Noto Sans CJK SC", CJK),
    family("Noto Color Emoji", EMOJI),
];

/// The family of a Han character by language: Chinese, Japanese and Korean write some characters differently.
const HAN: [(&str, &str); 5] = [
    ("ja", "Noto Sans CJK JP"),
    ("ko", "Noto Sans CJK KR"),
    ("zh", "Noto Sans CJK SC"),
    ("zh-hant", "Noto Sans CJK TC"),
    ("zh-tw", "Noto Sans CJK TC"),
];

const fn family(name: &'static str, package: &'static str) -> Family {
    Family { name, package }
}

/// The fonts of a machine that are used for rendering, in a fixed order. Other fonts that are installed change no picture.
#[derive(Debug, Clone)]
pub struct Fonts {
    database: Arc<Database>,
    /// The folders that were searched, for errors.
    searched: Vec<PathBuf>,
}

impl Fonts {
    /// The fonts in `folder` and below, or in the usual places of the system without one.
    ///
    /// Fails if the base family is not there. The error says which Debian package to install.
    pub fn load(folder: Option<&Path>) -> Result<Self, RenderError> {
        let mut all = Database::new();
        let searched = folder.map_or_else(system_folders, |folder| vec![folder.to_owned()]);
        for folder in &searched {
            all.load_fonts_dir(folder);
        }
        let mut database = Database::new();
        let han = HAN.iter().map(|(_, name)| *name);
        for name in FAMILIES.iter().map(|family| family.name).chain(han) {
            // Files are found in the order of the file system: the order of faces must not depend on it.
            let faces = all
                .faces()
                .filter(|face| is_of(face, name) && face.style == Style::Normal);
            let mut faces: Vec<FaceInfo> = faces.cloned().collect();
            faces.sort_by(|one, other| {
                let key = |face: &FaceInfo| (face.weight.0, face.post_script_name.clone());
                key(one).cmp(&key(other))
            });
            faces.dedup_by_key(|face| (face.weight.0, face.post_script_name.clone()));
            for face in faces {
                if matches!(face.weight, Weight::NORMAL | Weight::BOLD) {
                    database.push_face_info(face);
                }
            }
        }
        database.set_sans_serif_family(FAMILIES[0].name);
        database.set_serif_family(FAMILIES[0].name);
        let fonts = Self {
            database: Arc::new(database),
            searched,
        };
        if fonts.has(FAMILIES[0].name) {
            Ok(fonts)
        } else {
            Err(RenderError::NoFont {
                family: FAMILIES[0].name,
                package: FAMILIES[0].package,
                searched: fonts.searched(),
            })
        }
    }

    /// The families that are not installed, each with the Debian package that has it.
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let missing = FAMILIES.iter().filter(|family| !self.has(family.name));
        missing.map(|family| (family.name, family.package)).collect()
    }

    pub(crate) fn searched(&self) -> String {
        let folders: Vec<String> = self
            .searched
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        folders.join(", ")
    }

    fn has(&self, name: &str) -> bool {
        self.database.faces().any(|face| is_of(face, name))
    }

    /// The options of a text in this language (BCP 47, for instance `ja`): base font, and fallback in the order of the families.
    pub(crate) fn options(&self, language: &str) -> Options<'static> {
        let language = language.to_ascii_lowercase();
        let known = HAN.iter().rev();
        let han = known
            .filter(|(tag, _)| language.starts_with(tag))
            .map(|(_, name)| *name)
            .next()
            .unwrap_or("Noto Sans CJK SC");
        let resolver = FontResolver {
            select_fallback: Box::new(move |c, used, database| select_fallback(c, used, database, han)),
            ..FontResolver::default()
        };
        Options {
            fontdb: self.database.clone(),
            font_family: FAMILIES[0].name.to_owned(),
            languages: vec![language],
            font_resolver: resolver,
            ..Options::default()
        }
    }
}

/// The first family that has the character, in the weight of the text if there is one.
fn select_fallback(c: char, used: &[ID], database: &Arc<Database>, han: &str) -> Option<ID> {
    let weight = database.face(*used.first()?)?.weight;
    let fits = |face: &&FaceInfo| !used.contains(&face.id) && has_char(database, face.id, c);
    let of_language = database.faces().filter(|face| is_of(face, han));
    let candidates: Vec<&FaceInfo> = of_language.chain(database.faces()).filter(fits).collect();
    let first = candidates.first()?;
    let same_family = candidates
        .iter()
        .find(|face| face.weight == weight && face.families == first.families);
    Some(same_family.unwrap_or(first).id)
}

fn has_char(database: &Database, id: ID, c: char) -> bool {
    let found = database.with_face_data(id, |data, index| {
        let font = skrifa::FontRef::from_index(data, index).ok()?;
        font.charmap().map(c)
    });
    found.flatten().is_some()
}

fn is_of(face: &FaceInfo, name: &str) -> bool {
    face.families.iter().any(|(family, _)| family == name)
}

/// Where Linux keeps fonts.
fn system_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = ["/usr/share/fonts", "/usr/local/share/fonts"]
        .map(PathBuf::from)
        .into();
    if let Some(home) = std::env::var_os("HOME") {
        folders.push(Path::new(&home).join(".local/share/fonts"));
    }
    folders
}

/// The Debian package whose fonts have the characters of a text of this script.
pub(crate) fn package_of(c: char) -> &'static str {
    use unicode_script::{Script, UnicodeScript as _};
    match c.script() {
        Script::Han | Script::Hiragana | Script::Katakana | Script::Hangul | Script::Bopomofo => CJK,
        _ if u32::from(c) >= 0x1_F000 || matches!(u32::from(c), 0x2600..=0x27BF) => EMOJI,
        _ => CORE,
    }
}
