//! The model with adapters: what they see of a post.

use limbic_encoder::{ModelError, ModelFiles, TaskKind};

use super::{BATCH_TOKENS, ModelReader, Numbers};
use crate::adapters::{Adapters, ChoiceError, Input, checksum};

const CONFIG: &str = "config.json";

/// Probabilities nearer to 0 or 1 than this are not told apart: their logits would not be finite.
const LEAST: f32 = 1e-6;

/// The checksum of the model's `config.json`, which has those of its weights and vocabulary.
pub(super) fn configuration<F: ModelFiles + ?Sized>(files: &F) -> Result<String, ModelError> {
    let bytes = files.read(CONFIG).map_err(|source| ModelError::Read {
        path: files.path(CONFIG),
        source,
    })?;
    Ok(checksum(&bytes))
}

impl ModelReader {
    /// The engine with these adapters. Fails if one was fitted to another model.
    pub fn adapted_by(mut self, adapters: Adapters) -> Result<Self, ChoiceError> {
        adapters.check(&self)?;
        self.adapters = adapters;
        Ok(self)
    }

    /// The checksum of the model's `config.json`.
    pub(crate) fn configuration(&self) -> &str {
        &self.configuration
    }

    /// How many features an adapter sees.
    pub(crate) fn adapter_width(&self) -> usize {
        self.encoder.pooled_width() + self.places.last().map_or(0, |place| place.end)
    }

    /// What an adapter sees of each text; `None` for a text whose language the model does not know.
    pub(crate) fn adapter_inputs(&self, texts: &[&str]) -> Vec<Option<Input>> {
        let mut room = self.take_room();
        room.ids.clear();
        let mut inputs = vec![None; texts.len()];
        let mut asked = Vec::new();
        for (place, text) in texts.iter().enumerate() {
            let language = self.lexicon.surface().see(text, &mut room.surface).language;
            if language.is_read() {
                asked.push(self.tokenise(place, text, false, &mut room));
            }
        }
        for batch in asked.chunks((BATCH_TOKENS / self.most_tokens.max(1)).max(1)) {
            let posts: Vec<&[u32]> = batch.iter().map(|one| &room.ids[one.tokens.clone()]).collect();
            let Ok(output) = self.encoder.read(&mut room.scratch, &posts) else {
                continue;
            };
            for (one, answer) in batch.iter().zip(output.posts()) {
                let mut numbers = self.nothing();
                for (task, place) in self.places.iter().enumerate() {
                    if let Some(values) = answer.task(task) {
                        numbers.values[place.clone()].copy_from_slice(values);
                    }
                }
                inputs[one.text] = answer.pooled().map(|pooled| {
                    let mut input = Input::default();
                    self.fill_input(pooled, &numbers, &mut input);
                    input
                });
            }
        }
        self.give_back(room);
        inputs
    }

    /// The input of a post that went through all layers: its pooled state, then the logits of all tasks.
    pub(super) fn fill_input(&self, pooled: &[f32], numbers: &Numbers, input: &mut Input) {
        input.features.clear();
        input.features.extend_from_slice(pooled);
        for (task, place) in self.encoder.tasks().iter().zip(self.places.iter()) {
            let values = numbers.values[place.clone()].iter();
            input
                .features
                .extend(values.map(|value| logit(*value, task.kind)));
        }
        let places = self.plan.sentiment_places(&self.places);
        input.general = places.map(|place| logit(numbers.values[place], TaskKind::Softmax));
    }
}

/// The logit of a calibrated probability; a regression as it is.
fn logit(value: f32, kind: TaskKind) -> f32 {
    match kind {
        TaskKind::Softmax => value.max(LEAST).ln(),
        TaskKind::Sigmoid => {
            let value = value.clamp(LEAST, 1.0 - LEAST);
            (value / (1.0 - value)).ln()
        }
        TaskKind::Regression => value,
    }
}
