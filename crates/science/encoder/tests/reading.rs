//! The promises of every path: it agrees with the plain reference, and a post's result does not depend on other posts.
#![expect(clippy::unwrap_used, reason = "tests")]

mod small;

use limbic_encoder::{Encoder, Exit, Kernels, KernelsError, ReadError, Scratch};
use proptest::prelude::*;
use small::{MAX_TOKENS, VOCABULARY, borrowed, encoders, model, posts};

/// All numbers of all posts.
fn numbers(encoder: &Encoder, posts: &[Vec<u32>], exits: &[Exit]) -> Vec<(usize, Vec<Option<Vec<f32>>>)> {
    let mut scratch = Scratch::new();
    let output = encoder.read_early(&mut scratch, &borrowed(posts), exits).unwrap();
    let tasks = 0..encoder.tasks().len();
    output
        .posts()
        .map(|answer| {
            let of = |task| answer.task(task).map(<[f32]>::to_vec);
            (answer.layer(), tasks.clone().map(of).collect())
        })
        .collect()
}

#[test]
fn every_path_agrees_with_the_reference() {
    for seed in 0..4 {
        let model = model(seed);
        let posts = posts(
            seed,
            &[
                1, 2, 3, 5, 8, 13, 16, 17, 21, 28, 32, 33, 34, 55, 64, 65, 89, MAX_TOKENS,
            ],
        );
        let reference = numbers(&Encoder::new(&model, Kernels::Reference).unwrap(), &posts, &[]);
        for encoder in encoders(&model) {
            let (mut sum, mut count, mut worst) = (0.0, 0.0, 0.0_f32);
            for ((_, found), (_, wanted)) in numbers(&encoder, &posts, &[]).iter().zip(&reference) {
                for (found, wanted) in found
                    .iter()
                    .flatten()
                    .flatten()
                    .zip(wanted.iter().flatten().flatten())
                {
                    sum += (found - wanted).abs();
                    count += 1.0;
                    worst = worst.max((found - wanted).abs());
                }
            }
            // Random weights have larger rounding errors than trained ones. The trained model's tolerance is in its own
            // test.
            let mean = sum / count;
            assert!(
                mean < 0.01 && worst < 0.06,
                "{}: mean {mean}, worst {worst}",
                encoder.kernels()
            );
        }
    }
}

#[cfg(feature = "torch")]
#[test]
fn libtorch_agrees_with_the_reference_for_single_posts_and_batches() {
    let model = model(3);
    let posts = posts(3, &[21, 1, 34, 2, MAX_TOKENS, 5, 33, 16, MAX_TOKENS, 8]);
    let torch = Encoder::new(&model, Kernels::Torch).unwrap();
    let exits = [Exit {
        layer: model.exits().next().unwrap().0,
        min_confidence: 0.4,
    }];
    let reference = numbers(&Encoder::new(&model, Kernels::Reference).unwrap(), &posts, &exits);
    assert!(reference.iter().any(|(layer, _)| *layer == exits[0].layer));
    let together = numbers(&torch, &posts, &exits);
    let alone = posts
        .iter()
        .flat_map(|post| numbers(&torch, std::slice::from_ref(post), &exits));
    for (found, wanted) in together.into_iter().chain(alone).zip(reference.iter().cycle()) {
        assert_eq!(found.0, wanted.0);
        let found = found.1.iter().flatten().flatten();
        for (found, wanted) in found.zip(wanted.1.iter().flatten().flatten()) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_result_does_not_depend_on_the_other_posts_of_the_batch(
        lengths in prop::collection::vec(1_usize..=MAX_TOKENS, 1..12),
        seed in any::<u64>(),
        cut in 0_usize..12,
    ) {
        let model = model(7);
        let posts = posts(seed, &lengths);
        for encoder in encoders(&model) {
            let together = numbers(&encoder, &posts, &[]);
            let (left, right) = posts.split_at(cut.min(posts.len()));
            let mut apart = numbers(&encoder, left, &[]);
            apart.extend(numbers(&encoder, right, &[]));
            prop_assert_eq!(&together, &apart, "{}", encoder.kernels());
            let alone: Vec<_> = posts.iter().flat_map(|post| numbers(&encoder, std::slice::from_ref(post), &[])).collect();
            prop_assert_eq!(&together, &alone, "{}", encoder.kernels());
        }
    }
}

#[test]
fn a_post_that_does_not_leave_early_has_the_same_result_as_without_exits() {
    let model = model(3);
    let posts = posts(5, &[4, 30, 7, 90, 12, 28, 28, 3, 61, 17, 44, 9]);
    for encoder in encoders(&model)
        .into_iter()
        .chain([Encoder::new(&model, Kernels::Reference).unwrap()])
    {
        let full = numbers(&encoder, &posts, &[]);
        assert!(
            full.iter()
                .all(|(layer, tasks)| *layer == 3 && tasks.iter().all(Option::is_some))
        );
        let mut left = 0;
        for min_confidence in [0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 2.0] {
            let exits = [1, 2].map(|layer| Exit {
                layer,
                min_confidence,
            });
            for (early, full) in numbers(&encoder, &posts, &exits).iter().zip(&full) {
                match early.0 {
                    1 => assert!(early.1[0].is_some() && early.1[1].is_none() && early.1[2].is_none()),
                    2 => assert!(early.1[0].is_some() && early.1[1].is_some() && early.1[2].is_none()),
                    _ => assert_eq!(early, full),
                }
                if let (1, Some(Some(mood))) = (early.0, early.1.first()) {
                    assert!(mood.iter().any(|p| *p >= min_confidence));
                }
                left += usize::from(early.0 < 3);
            }
        }
        // With a confidence of zero all posts leave, with an impossible one none, and between them some.
        assert!(left > posts.len() && left < posts.len() * 6, "{left}");
    }
}

#[test]
fn probabilities_are_within_their_ranges() {
    let model = model(11);
    let posts = posts(2, &[1, 6, 28, MAX_TOKENS]);
    for encoder in encoders(&model) {
        for (_, tasks) in numbers(&encoder, &posts, &[]) {
            let [Some(mood), Some(many), Some(degree)] = &tasks[..] else {
                panic!("three tasks")
            };
            assert!((mood.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            assert!(mood.iter().chain(many).all(|p| (0.0..=1.0).contains(p)));
            assert!(degree.len() == 1 && (-1.0..=1.0).contains(&degree[0]));
        }
    }
}

#[test]
fn posts_that_cannot_be_read_are_refused() {
    let model = model(1);
    for encoder in encoders(&model) {
        let mut scratch = Scratch::new();
        assert!(encoder.read(&mut scratch, &[]).unwrap().is_empty());
        assert_eq!(
            encoder.read(&mut scratch, &[&[1], &[]]).err(),
            Some(ReadError::Empty { post: 1 })
        );
        let long = vec![1; MAX_TOKENS + 1];
        let error = encoder.read(&mut scratch, &[&long]).err().unwrap();
        assert_eq!(
            error,
            ReadError::TooLong {
                post: 0,
                tokens: MAX_TOKENS + 1,
                most: MAX_TOKENS
            }
        );
        let error = encoder
            .read(&mut scratch, &[&[1, VOCABULARY as u32]])
            .err()
            .unwrap();
        assert!(error.to_string().contains("vocab.txt"), "{error}");
        let nowhere = Exit {
            layer: 3,
            min_confidence: 0.5,
        };
        assert_eq!(
            encoder.read_early(&mut scratch, &[&[1]], &[nowhere]).err(),
            Some(ReadError::NoExit { layer: 3 })
        );
        // The scratch can still be used.
        assert_eq!(encoder.read(&mut scratch, &[&[1, 2]]).unwrap().len(), 1);
    }
}

#[test]
fn kernels_are_chosen_by_name() {
    for name in [
        "auto",
        "amx",
        "avx512-vnni",
        "avx2",
        "neon",
        "portable",
        "torch",
        "reference",
    ] {
        assert_eq!(name.parse::<Kernels>().unwrap().to_string(), name);
    }
    let error = "sse9".parse::<Kernels>().unwrap_err().to_string();
    assert!(error.contains("sse9") && error.contains("portable"), "{error}");
    let model = model(0);
    assert_eq!(
        Encoder::new(&model, Kernels::Auto).unwrap().kernels(),
        Kernels::best()
    );
    for lacking in [
        Kernels::Amx,
        Kernels::Avx512Vnni,
        Kernels::Avx2,
        Kernels::Neon,
        Kernels::Torch,
    ] {
        let Some(error) = Encoder::new(&model, lacking).err() else {
            assert!(lacking.available());
            continue;
        };
        let says = error.to_string();
        assert!(
            !lacking.available() && says.contains(&lacking.to_string()),
            "{says}"
        );
        assert!(
            says.contains("choose auto") && says.contains(&Kernels::best().to_string()),
            "{says}"
        );
    }
    let foreign = if cfg!(target_arch = "x86_64") {
        Kernels::Neon
    } else {
        Kernels::Amx
    };
    let error = Encoder::new(&model, foreign).err();
    assert_eq!(error, Some(KernelsError::NotBuilt(foreign)));
}
