//! The names of features of a voice, a face and typing: data, which [`super`] reads.
//!
//! A name is in the list if it says what a person's body or behaviour was measured for. A name that only says what a post is about, or
//! where a recording or a picture is, is not. A new name needs a rule here, and an example in the tests of [`super`].

use super::Trait;

/// Names with a word of every group.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) of: Trait,
    /// Words in lower case. `#` at the end stands for digits. Digits at the end of a word are ignored, unless the list has them.
    pub(super) words: &'static [&'static [&'static str]],
    /// Whether the words must be in one name. Otherwise the names of the objects around it count too, as in `{"voice": {"pitch": 120}}`.
    pub(super) is_one_name: bool,
    /// Where such names are seen. All pages read 2026-11-30.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "it is for people, and a test demands it")
    )]
    pub(super) source: &'static str,
}

/// What a measurement leaves, of voices and faces alike.
const MEASURED: &[&str] = &[
    "embedding",
    "embeddings",
    "encoding",
    "encodings",
    "vector",
    "vectors",
    "features",
    "descriptor",
    "descriptors",
    "print",
    "template",
    "emotion",
    "emotions",
    "arousal",
    "valence",
    "biometrics",
];

const fn rule(of: Trait, words: &'static [&'static [&'static str]], source: &'static str) -> Rule {
    Rule {
        of,
        words,
        is_one_name: false,
        source,
    }
}

const fn in_one_name(rule: Rule) -> Rule {
    Rule {
        is_one_name: true,
        ..rule
    }
}

/// All rules.
pub(super) const RULES: &[Rule] = &[
    // Voices.
    rule(
        Trait::Voice,
        &[&["voice", "voices", "vocal", "speech", "speaker"], MEASURED],
        "EU AI Act, recitals 15 and 18: voice, and raised voice or whispering",
    ),
    rule(
        Trait::Voice,
        &[
            &[
                "voice", "voices", "vocal", "speech", "speaker", "audio", "acoustic",
            ],
            &[
                "pitch", "f0", "formant", "formants", "jitter", "shimmer", "prosody", "prosodic", "hnr",
                "timbre",
            ],
        ],
        "EU AI Act, recital 15: prosody; openSMILE, README",
    ),
    rule(
        Trait::Voice,
        &[
            &["voice", "vocal"],
            &["loudness", "energy", "intensity", "stress"],
        ],
        "openWillis, wiki, Vocal acoustics v2.0",
    ),
    rule(
        Trait::Voice,
        &[&["audio", "acoustic"], &["emotion", "emotions", "arousal"]],
        "EU AI Act, Art. 3(39)",
    ),
    rule(
        Trait::Voice,
        &[&[
            "voiceprint",
            "voiceprints",
            "voiceembedding",
            "prosody",
            "mfcc",
            "mfccs",
            "egemaps",
            "gemaps",
            "opensmile",
            "covarep",
            "xvector",
            "ivector",
        ]],
        "openSMILE, README: GeMAPS, eGeMAPS; Eyben and others, 2016: MFCC",
    ),
    rule(
        Trait::Voice,
        &[&["wav2"], &["vec"]],
        "wav2vec 2.0, Baevski and others, 2020",
    ),
    rule(
        Trait::Voice,
        &[
            &["jitter", "shimmer"],
            &[
                "local", "loc", "ddp", "rap", "ppq", "apq", "dda", "db", "absolute",
            ],
        ],
        "openWillis, wiki, Vocal acoustics v2.0: jitter (rap), jitter (ppq5)",
    ),
    rule(
        Trait::Voice,
        &[&["pitch"], &["hz", "contour", "semitone", "semitones"]],
        "openSMILE: the fundamental frequency in hertz or semitones",
    ),
    rule(
        Trait::Voice,
        &[
            &["f0"],
            &[
                "hz",
                "contour",
                "semitone",
                "semitones",
                "mean",
                "median",
                "std",
                "stddev",
                "range",
                "slope",
            ],
        ],
        "openSMILE, eGeMAPS: F0semitoneFrom27.5Hz_sma3nz",
    ),
    rule(
        Trait::Voice,
        &[
            &["sma3"],
            &[
                "loudness",
                "jitter",
                "shimmer",
                "frequency",
                "bandwidth",
                "amplitude",
                "hammarberg",
                "slope",
                "flux",
                "ratio",
            ],
        ],
        "openSMILE, eGeMAPS: loudness_sma3, F1frequency_sma3nz",
    ),
    // Faces.
    rule(
        Trait::Face,
        &[&["face", "faces", "facial"], MEASURED],
        "EU AI Act, recitals 15 and 18: face, facial expressions",
    ),
    rule(
        Trait::Face,
        &[
            &["face", "faces", "facial"],
            &[
                "landmark",
                "landmarks",
                "keypoint",
                "keypoints",
                "mesh",
                "geometry",
                "expression",
                "expressions",
                "blendshape",
                "blendshapes",
                "gaze",
                "attributes",
                "annotations",
                "recognition",
            ],
        ],
        "Azure Face: faceAttributes, faceLandmarks; Google Cloud Vision: faceAnnotations (from memory)",
    ),
    rule(
        Trait::Face,
        &[&[
            "faceprint",
            "faceprints",
            "faceembedding",
            "facelandmarks",
            "blendshapes",
            "openface",
            "facenet",
            "arcface",
            "deepface",
        ]],
        "OpenFace, wiki, Output Format; JeFaPaTo, wiki, Output File Formats: blendshapes",
    ),
    rule(
        Trait::Face,
        &[&["action"], &["unit", "units"]],
        "PyAFAR, wiki, Output Format: action units",
    ),
    rule(
        Trait::Face,
        &[&["au#"], &["r", "c", "intensity", "presence", "occurrence"]],
        "OpenFace, wiki, Output Format: AU01_r",
    ),
    rule(
        Trait::Face,
        &[&["gaze"], &["angle", "vector", "direction", "x", "y", "z"]],
        "OpenFace, wiki, Output Format: gaze_angle_x; EU AI Act, recital 15: eye movement",
    ),
    rule(
        Trait::Face,
        &[
            &["eye", "eyes"],
            &["lmk", "landmark", "landmarks", "blink", "aspect"],
        ],
        "OpenFace, wiki, Output Format: eye_lmk_x_0; PyAFAR: eye aspect ratio",
    ),
    rule(
        Trait::Face,
        &[&["smile", "smiling"], &["probability", "likelihood"]],
        "ML Kit: smilingProbability (from memory)",
    ),
    // Typing.
    rule(
        Trait::Typing,
        &[&["keystroke", "keystrokes", "keystrokedynamics"]],
        "EU AI Act, recital 15: keystrokes",
    ),
    rule(
        Trait::Typing,
        &[
            &[
                "typing", "keypress", "keydown", "keyup", "keyboard", "digraph", "trigraph",
            ],
            &[
                "dwell",
                "cadence",
                "rhythm",
                "dynamics",
                "timing",
                "timings",
                "biometrics",
            ],
        ],
        "Killourhy and Maxion, 2009: times between keys of a password",
    ),
    rule(
        Trait::Typing,
        &[
            &["typing", "keypress", "keydown", "keyup"],
            &[
                "hold",
                "flight",
                "speed",
                "latency",
                "latencies",
                "interval",
                "intervals",
                "pattern",
                "patterns",
                "pauses",
                "pressure",
                "embedding",
                "features",
            ],
        ],
        "Keystroke100: latency and pressure",
    ),
    in_one_name(rule(
        Trait::Typing,
        &[
            &["key", "keys"],
            &["dwell", "hold", "flight", "press"],
            &["time", "times", "ms", "duration", "durations"],
        ],
        "Mendeley Data vx83444p8n: hold times and flight times",
    )),
    in_one_name(rule(
        Trait::Typing,
        &[
            &["key", "keys", "interkey"],
            &["inter", "interkey"],
            &["interval", "intervals", "latency", "latencies", "delay", "time"],
        ],
        "Keystroke100: time gaps between two keystrokes",
    )),
    rule(
        Trait::Typing,
        &[&["dwell"], &["flight"]],
        "dwell and flight times, as they are called together",
    ),
    in_one_name(rule(
        Trait::Typing,
        &[&["dd", "ud"], &["period", "shift", "return"]],
        "Killourhy and Maxion, 2009: DD.period.t, UD.Shift.r.o",
    )),
    // Any of them.
    rule(
        Trait::Other,
        &[
            &["biometric", "biometrics"],
            &[
                "template",
                "templates",
                "features",
                "data",
                "vector",
                "vectors",
                "embedding",
                "embeddings",
                "signature",
                "score",
            ],
        ],
        "EU AI Act, Art. 3(34)",
    ),
];
