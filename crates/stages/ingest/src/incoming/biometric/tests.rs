use serde_json::json;

use super::*;

fn found(fields: &Value) -> Option<Biometric> {
    Biometric::of_fields(fields.as_object().unwrap())
}

/// Names as programs and data sets write them.
const FEATURES: &[(Trait, &[&str])] = &[
    (
        Trait::Voice,
        &[
            "voice_embedding",
            "voicePitch",
            "speaker-embedding",
            "SpeechEmotion",
            "vocal.intensity",
            "acoustic_prosody",
            "audio_arousal",
            "voiceprint",
            "mfcc_1",
            "mfcc4V_sma3nz_amean",
            "MFCCMean",
            "wav2vec2",
            "jitterLocal_sma3nz_amean",
            "rapJitter",
            "apq11Shimmer",
            "pitch_hz",
            "F0semitoneFrom27.5Hz_sma3nz_amean",
            "loudness_sma3_amean",
            "F1frequency_sma3nz_amean",
            "xvector",
        ],
    ),
    (
        Trait::Face,
        &[
            "face_embedding",
            "faceLandmarks",
            "FaceAttributes",
            "facial expression",
            "faceprint",
            "blendshapes",
            "action_units",
            "AU01_r",
            "AU45_c",
            "gaze_angle_x",
            "gaze_0_y",
            "eye_lmk_X_0",
            "smilingProbability",
        ],
    ),
    (
        Trait::Typing,
        &[
            "keystrokes",
            "keystroke_dwell_ms",
            "typing_speed",
            "typingRhythm",
            "key_hold_time",
            "key_flight_times",
            "keyup_latency",
            "inter_key_interval",
            "dwell_flight",
            "DD.period.t",
            "UD.five.Shift.r",
        ],
    ),
    (Trait::Other, &["biometric_template", "biometricFeatures"]),
];

/// Names that are near to those of features, and are not.
const OTHERS: &[&str] = &[
    "voice",
    "voice_message_url",
    "tone_of_voice",
    "voice_actor",
    "speech",
    "part_of_speech",
    "speech_to_text",
    "speaker",
    "pitch",
    "pitch_deck",
    "f0",
    "jitter_ms",
    "sma3",
    "audio_features",
    "audio_url",
    "face",
    "face_value",
    "facebook_id",
    "facets",
    "features",
    "interface_features",
    "typeface_features",
    "surface_mesh",
    "au",
    "au_region",
    "gaze",
    "smile",
    "smiley_probability",
    "action",
    "dwell_time",
    "hold_time",
    "flight_number",
    "flight_key",
    "key",
    "key_metrics_latency",
    "keyboard",
    "keyboard_latency",
    "typing",
    "typing_indicator",
    "emotion",
    "valence",
    "sentiment",
    "embedding",
    "text_embedding",
    "image_embedding",
    "biometric_login",
    "gesicht",
    "",
    "__",
    "声",
];

#[test]
fn names_of_features_are_found_in_every_spelling() {
    for (of, names) in FEATURES {
        for name in *names {
            let found = found(&json!({*name: 0.5}));
            assert_eq!(found.as_ref().map(|found| found.of), Some(*of), "{name}");
            let column = Biometric::of_column(name);
            assert_eq!(column, found, "{name}: a column is judged as a field");
        }
    }
}

#[test]
fn names_that_only_say_what_a_post_is_about_are_not_features() {
    for name in OTHERS {
        assert_eq!(found(&json!({*name: 0.5})), None, "{name}");
    }
}

#[test]
fn every_rule_has_a_source_and_finds_one_of_the_names_by_itself() {
    let vocabulary = Vocabulary::new();
    let names: Vec<&str> = FEATURES
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .collect();
    for (rule, groups) in &vocabulary.rules {
        assert!(!rule.source.is_empty());
        assert!(
            rule.words
                .iter()
                .flat_map(|group| group.iter())
                .all(|word| word.len() <= LONGEST)
        );
        let finds = |name: &&str| groups & !vocabulary.groups_of(name) == 0;
        assert!(names.iter().any(finds), "no example for {:?}", rule.words);
    }
}

#[test]
fn the_objects_around_a_field_belong_to_its_name() {
    for (value, field) in [
        (json!({"voice": {"pitch": 120}}), "voice.pitch"),
        (
            json!({"speech": {"model": [{"emotion": "angry"}]}}),
            "speech.model.emotion",
        ),
        (
            json!({"media": [{"faces": [{"x": 1}, {"landmarks": [1, 2]}]}]}),
            "media.faces.landmarks",
        ),
        (
            json!({"typing": {"per_word": {"hold": [0.1]}}}),
            "typing.per_word.hold",
        ),
    ] {
        assert_eq!(found(&value).unwrap().field, field, "{value}");
    }
    // The times of a call centre, and the speed of a server.
    assert_eq!(found(&json!({"key": {"hold_time": 3}})), None);
    assert_eq!(found(&json!({"keys": {"inter": {"latency": 3}}})), None);
    assert_eq!(found(&json!({"a": {"voice": 1}, "b": {"pitch": 2}})), None);
}

#[test]
fn an_empty_value_and_a_link_are_not_features() {
    for value in [
        json!(null),
        json!(""),
        json!([]),
        json!({}),
        json!("https://media.example/face.png"),
        json!("http://media.example/voice.ogg"),
    ] {
        assert_eq!(found(&json!({"face_landmarks": value})), None, "{value}");
    }
    for value in [
        json!(0),
        json!(false),
        json!("angry"),
        json!([0]),
        json!({"x": 1}),
    ] {
        assert!(found(&json!({"face_landmarks": value})).is_some(), "{value}");
    }
}

#[test]
fn the_words_of_a_name_are_those_a_person_reads() {
    let split = |name| words(name).collect::<Vec<_>>();
    assert_eq!(split("voicePitch"), ["voice", "Pitch"]);
    assert_eq!(split("_voice--pitch."), ["voice", "pitch"]);
    assert_eq!(split("MFCCMean"), ["MFCC", "Mean"]);
    assert_eq!(split("AU01_r"), ["AU01", "r"]);
    assert_eq!(split("mfcc4V"), ["mfcc4", "V"]);
    assert_eq!(split("größe_voice"), ["gr", "e", "voice"]);
    assert_eq!(split("声"), Vec::<&str>::new());
}

#[test]
fn a_long_name_is_shortened_and_has_no_controls_in_a_message() {
    let name = format!("voice_embedding\u{7}{}", "x".repeat(1_000));
    let found = found(&json!({&name: [1]})).unwrap();
    assert!(found.field.chars().count() <= 100 && !found.field.contains('\u{7}'));
    let said = found.problem("meta").problem;
    assert!(
        said.contains("feature of a voice") && said.contains(": leave the field out"),
        "{said}"
    );
}
