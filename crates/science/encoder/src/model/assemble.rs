//! From tensors and a configuration to a model.

use std::path::PathBuf;
use std::sync::Arc;

use super::{
    CONFIG, Config, Dense, Embeddings, Head, Heads, Layer, Model, ModelError, Norm, Numbers, Sizes, Task,
    Tensors,
};

/// Reads the tensors that the configuration needs.
pub(super) fn assemble(config: &Config, tensors: &Tensors<'_>) -> Result<Model, ModelError> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let dense = |name: &str, outputs: usize, inputs: usize| -> Result<Dense, ModelError> {
        Ok(Dense {
            weight: tensors.numbers(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: tensors.numbers(&format!("{name}.bias"), &[outputs])?,
        })
    };
    let norm = |name: &str| -> Result<Norm, ModelError> {
        Ok(Norm {
            scale: tensors.numbers(&format!("{name}.weight"), &[hidden])?,
            shift: tensors.numbers(&format!("{name}.bias"), &[hidden])?,
        })
    };
    let embeddings = embeddings(config, tensors, norm("embeddings.LayerNorm")?)?;
    let layers = (0..config.layers)
        .map(|i| {
            let name = |part: &str| format!("encoder.layer.{i}.{part}");
            Ok(Layer {
                query: dense(&name("attention.self.query"), hidden, hidden)?,
                key: dense(&name("attention.self.key"), hidden, hidden)?,
                value: dense(&name("attention.self.value"), hidden, hidden)?,
                context: dense(&name("attention.output.dense"), hidden, hidden)?,
                context_norm: norm(&name("attention.output.LayerNorm"))?,
                expand: dense(&name("intermediate.dense"), inner, hidden)?,
                contract: dense(&name("output.dense"), hidden, inner)?,
                output_norm: norm(&name("output.LayerNorm"))?,
            })
        })
        .collect::<Result<Vec<Layer>, ModelError>>()?;

    let head = |prefix: &str, index: usize, task: &Task| -> Result<Head, ModelError> {
        let name = format!("{prefix}.{}", task.name);
        let hidden_name = format!("{name}.dense");
        let hidden_layer = if tensors.has(&format!("{hidden_name}.weight")) {
            Some(dense(&hidden_name, hidden, 2 * hidden)?)
        } else {
            None
        };
        let inputs = if hidden_layer.is_some() {
            hidden
        } else {
            2 * hidden
        };
        let width = task.width();
        Ok(Head {
            task: index,
            kind: task.kind,
            range: task.range.unwrap_or([0.0, 1.0]),
            hidden: hidden_layer,
            output: dense(&name, width, inputs)?,
            slopes: match &task.temperatures {
                Some(each) => each.iter().map(|t| 1.0 / t).collect(),
                None => vec![1.0 / task.temperature.unwrap_or(1.0); width],
            },
            biases: task.biases.clone().unwrap_or_else(|| vec![0.0; width]),
            confidence: None,
        })
    };
    let mut heads = Vec::new();
    for exits in &config.exits {
        let mut at_exit = Vec::new();
        for name in &exits.tasks {
            let found = config
                .tasks
                .iter()
                .enumerate()
                .find(|(_, task)| task.name == *name);
            let (index, task) = found.ok_or_else(|| ModelError::Missing {
                path: PathBuf::from(CONFIG),
                tensor: format!("tasks.{name}"),
            })?;
            let mut head = head(&format!("exits.{}", exits.layer), index, task)?;
            // An exit has its own calibration, or none.
            head.slopes = match exits.temperatures.get(name) {
                Some(Numbers::One(t)) => vec![1.0 / t; task.width()],
                Some(Numbers::Each(each)) => each.iter().map(|t| 1.0 / t).collect(),
                None => vec![1.0; task.width()],
            };
            head.biases = exits
                .biases
                .get(name)
                .cloned()
                .unwrap_or_else(|| vec![0.0; task.width()]);
            head.confidence = exits.confidence.get(name).copied();
            at_exit.push(head);
        }
        heads.push(Heads {
            layer: exits.layer,
            heads: at_exit,
        });
    }
    let last = config
        .tasks
        .iter()
        .enumerate()
        .map(|(index, task)| head("heads", index, task));
    heads.push(Heads {
        layer: config.layers,
        heads: last.collect::<Result<_, _>>()?,
    });
    Ok(Model {
        version: config.version.clone(),
        sizes: Sizes {
            hidden,
            heads: config.attention_heads,
            inner,
            max_tokens: config.max_tokens,
            epsilon: config.layer_norm_eps,
        },
        embeddings: Arc::new(embeddings),
        layers,
        heads: Arc::new(heads),
        tasks: Arc::new(config.tasks.clone()),
    })
}

fn embeddings(config: &Config, tensors: &Tensors<'_>, norm: Norm) -> Result<Embeddings, ModelError> {
    let hidden = config.hidden_size;
    let rows = |name: &str| {
        tensors
            .shape(name)
            .map(|shape| shape.first().copied().unwrap_or(0))
    };
    let words = "embeddings.word_embeddings.weight";
    let positions = "embeddings.position_embeddings.weight";
    let types = "embeddings.token_type_embeddings.weight";
    let vocabulary = rows(words)?;
    // The file may have more positions than are used.
    let there = rows(positions)?.max(config.max_tokens);
    let mut position_rows = tensors.numbers(positions, &[there, hidden])?;
    position_rows.truncate(config.max_tokens * hidden);
    let type_rows = tensors.numbers(types, &[rows(types)?.max(1), hidden])?;
    for row in position_rows.chunks_exact_mut(hidden) {
        for (x, kind) in row.iter_mut().zip(&type_rows) {
            *x += kind;
        }
    }
    Ok(Embeddings {
        words: tensors.numbers(words, &[vocabulary, hidden])?,
        positions: position_rows,
        norm,
        vocabulary,
    })
}
