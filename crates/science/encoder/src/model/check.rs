//! Whether a configuration is consistent, and whether the kernels support it.

use super::{Config, FORMAT, Numbers, Task, TaskKind};

/// Checks that the configuration is consistent and that the kernels support it.
pub(super) fn check(config: &Config) -> Result<(), String> {
    debug_assert_eq!(config.format, FORMAT);
    let (hidden, heads) = (config.hidden_size, config.attention_heads);
    let multiple = |name: &str, n: usize, of: usize| match n {
        0 => Err(format!("{name} is zero")),
        n if n % of != 0 => Err(format!("{name} is {n}, but the kernels take multiples of {of}")),
        _ => Ok(()),
    };
    multiple("hidden_size", hidden, 64)?;
    multiple("intermediate_size", config.intermediate_size, 64)?;
    multiple("layers", config.layers, 1)?;
    multiple("attention_heads", heads, 1)?;
    if hidden % heads != 0 || hidden / heads % 16 != 0 {
        return Err(format!(
            "hidden_size {hidden} in {heads} attention heads: a head must be a multiple of 16 wide"
        ));
    }
    if config.max_tokens < 2 || config.max_tokens > 512 {
        return Err(format!(
            "max_tokens is {}, but must be within 2..=512",
            config.max_tokens
        ));
    }
    if config.layer_norm_eps.is_nan() || config.layer_norm_eps < 0.0 {
        return Err("layer_norm_eps is not a positive number".to_owned());
    }
    if config.tasks.is_empty() {
        return Err("there are no tasks".to_owned());
    }
    for task in &config.tasks {
        let width = task.width();
        fits(task, "temperatures", task.temperatures.as_deref())?;
        fits(task, "biases", task.biases.as_deref())?;
        fits(task, "thresholds", task.thresholds.as_deref())?;
        check_temperatures(
            task,
            task.temperature.iter().chain(task.temperatures.iter().flatten()),
        )?;
        if task.kind == TaskKind::Regression && width != 1 {
            return Err(format!(
                "task {} is a regression and has {width} labels",
                task.name
            ));
        }
        if config
            .tasks
            .iter()
            .filter(|other| other.name == task.name)
            .count()
            > 1
        {
            return Err(format!("task {} is there twice", task.name));
        }
    }
    let mut last = 0;
    for exits in &config.exits {
        if exits.layer <= last || exits.layer >= config.layers {
            return Err(format!(
                "an exit after layer {}: exits come in order, after layers 1..={}",
                exits.layer,
                config.layers - 1
            ));
        }
        last = exits.layer;
        if exits.tasks.is_empty() {
            return Err(format!("the exit after layer {last} has no tasks"));
        }
        for name in &exits.tasks {
            let Some(task) = config.tasks.iter().find(|task| task.name == *name) else {
                return Err(format!(
                    "the exit after layer {last} is for {name}, but there is no task {name}"
                ));
            };
            fits(task, "biases", exits.biases.get(name).map(Vec::as_slice))?;
            match exits.temperatures.get(name) {
                Some(Numbers::Each(each)) => {
                    fits(task, "temperatures", Some(each))?;
                    check_temperatures(task, each.iter())?;
                }
                Some(Numbers::One(one)) => check_temperatures(task, [one].into_iter())?,
                None => {}
            }
        }
    }
    Ok(())
}

/// Checks that there is one number per label, if there are any.
fn fits(task: &Task, what: &str, numbers: Option<&[f32]>) -> Result<(), String> {
    match numbers {
        Some(numbers) if numbers.len() != task.width() => Err(format!(
            "task {} has {} labels, but {} {what}",
            task.name,
            task.width(),
            numbers.len()
        )),
        _ => Ok(()),
    }
}

/// Checks that all temperatures are positive and finite.
fn check_temperatures<'a>(
    task: &Task,
    mut temperatures: impl Iterator<Item = &'a f32>,
) -> Result<(), String> {
    match temperatures.find(|t| !(t.is_finite() && **t > 0.0)) {
        Some(t) => Err(format!(
            "task {} has the temperature {t}: it must be above zero",
            task.name
        )),
        None => Ok(()),
    }
}
