//! Maps the tasks of a model to the parts of a reading, by name.

use limbic_domain::Emotions;
use limbic_encoder::{Task, TaskKind};

use super::Numbers;
use crate::cues::{DistressScores, rounded};

use super::distress::DistressHead;

/// Labels that the `ec` task has and `goemotions` lacks.
const ONLY_IN_EC: [&str; 3] = ["anticipation", "pessimism", "trust"];

/// Position of a number: the task, and the index in it.
type Place = (usize, usize);

/// The model outputs from which a reading is composed. Unknown tasks are ignored.
#[derive(Debug)]
pub(super) struct Plan {
    sentiment: [Place; 3],
    emotions: Vec<(String, Place)>,
    irony: Option<Place>,
    offence: Option<Place>,
    hate: Option<Place>,
    valence: Option<Place>,
    intensities: Vec<Place>,
    distress: Option<(usize, DistressHead)>,
}

impl Plan {
    /// The plan for a model's tasks. The error describes what is missing.
    pub(super) fn new(tasks: &[Task]) -> Result<Self, String> {
        let find = |name: &str| tasks.iter().position(|task| task.name == name);
        let label = |task: usize, label: &str| {
            let place = tasks[task].labels.iter().position(|other| other == label);
            place.map(|place| (task, place))
        };
        let sentiment = find("sentiment").ok_or("there is no task `sentiment`")?;
        let leaning = |name: &str| {
            label(sentiment, name).ok_or_else(|| format!("the task `sentiment` has no label `{name}`"))
        };
        let emotions = find("goemotions")
            .or_else(|| find("emotion"))
            .ok_or("there is neither a task `goemotions` nor a task `emotion`")?;
        let mut names: Vec<(String, Place)> = (tasks[emotions].labels.iter().cloned())
            .zip((0..).map(|place| (emotions, place)))
            .collect();
        if let Some(ec) = find("ec") {
            names.extend(
                ONLY_IN_EC
                    .iter()
                    .filter_map(|name| Some(((*name).to_owned(), label(ec, name)?))),
            );
        }
        // Tasks with two labels, no and yes, in this order.
        let yes = |name: &str| {
            let task = find(name)
                .filter(|task| tasks[*task].kind == TaskKind::Softmax && tasks[*task].labels.len() == 2)?;
            Some((task, 1))
        };
        let number = |name: &str| {
            Some((
                find(name).filter(|task| tasks[*task].kind == TaskKind::Regression)?,
                0,
            ))
        };
        Ok(Self {
            sentiment: [leaning("negative")?, leaning("neutral")?, leaning("positive")?],
            emotions: names,
            irony: yes("irony"),
            offence: yes("offensive"),
            hate: yes("hate"),
            valence: number("valence"),
            intensities: ["ei_anger", "ei_fear", "ei_joy", "ei_sadness"]
                .into_iter()
                .filter_map(number)
                .collect(),
            distress: find("distress").and_then(|task| Some((task, DistressHead::new(&tasks[task])?))),
        })
    }

    /// The tasks that every reading needs. An early exit must compute them. Distress is one of them if the model has a head for it,
    /// because it protects people.
    pub(super) fn needs(&self) -> impl Iterator<Item = usize> + '_ {
        let places = self
            .sentiment
            .iter()
            .chain(self.emotions.iter().map(|(_, place)| place).take(1));
        let distress = self.distress.iter().map(|(task, _)| *task);
        places.map(|(task, _)| *task).chain(distress)
    }

    /// Negative, neutral, positive.
    pub(super) fn sentiment(&self, numbers: &Numbers) -> [f64; 3] {
        self.sentiment.map(|place| at(numbers, place).unwrap_or(0.0))
    }

    /// The places of negative, neutral and positive among all numbers of a post, where each task begins at its place.
    pub(super) fn sentiment_places(&self, tasks: &[std::ops::Range<usize>]) -> [usize; 3] {
        self.sentiment.map(|(task, place)| tasks[task].start + place)
    }

    pub(super) fn emotions(&self, numbers: &Numbers) -> Emotions {
        let value = |(name, place): &(String, Place)| Some((name.clone(), rounded(at(numbers, *place)?)));
        self.emotions.iter().filter_map(value).collect()
    }

    pub(super) fn irony(&self, numbers: &Numbers) -> Option<f64> {
        at(numbers, self.irony?)
    }

    pub(super) fn offence(&self, numbers: &Numbers) -> Option<f64> {
        at(numbers, self.offence?)
    }

    pub(super) fn hate(&self, numbers: &Numbers) -> Option<f64> {
        at(numbers, self.hate?)
    }

    pub(super) fn valence(&self, numbers: &Numbers) -> Option<f64> {
        at(numbers, self.valence?)
    }

    /// The scores of distress, if the model has a head for them and computed it.
    pub(super) fn distress(&self, numbers: &Numbers) -> Option<DistressScores> {
        let (task, head) = self.distress.as_ref()?;
        Some(head.scores(numbers.task(*task)?))
    }

    /// The greatest intensity, if the model has such a task.
    pub(super) fn intensity(&self, numbers: &Numbers) -> Option<f64> {
        self.intensities
            .iter()
            .filter_map(|place| at(numbers, *place))
            .reduce(f64::max)
    }
}

fn at(numbers: &Numbers, (task, place): Place) -> Option<f64> {
    numbers.task(task).map(|numbers| f64::from(numbers[place]))
}
