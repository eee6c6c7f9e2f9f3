//! Reader of Vowpal Wabbit's DSJSON: one joined decision per line.
//!
//! A line has the label (`_label_cost`, `_label_probability`, `_label_Action`, counted from 1), the context `c` with
//! its actions `_multi`, and the whole distribution (`a`, `p`). The reward is the negated cost. An arm is identified
//! by the features of its action. The features of a context are the rest of `c`, flattened to `namespace.name=text`,
//! and to `namespace.name` for numbers.
//!
//! Some lines are rejected because they are not supported: decisions with several slots (`_outcomes`), decisions that
//! were never activated (`_skipLearn`), and subsampled logs (`pdrop`). An event that is there twice, by its `EventId`, counts once.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::lines::{LineReader, Start, read_lines};
use crate::log::{BanditLog, LogRow, MixSet, Situation, Sparse};
use crate::{EvaluateError, EvaluationOptions, supplied};

/// Reads the log.
pub(super) fn read(
    options: &EvaluationOptions,
    progress: impl FnMut(u64, u64),
) -> Result<BanditLog, EvaluateError> {
    let mut log = BanditLog::new();
    let mut dangling = 0;
    let mut events = Vec::new();
    let reader = || Reader {
        log: BanditLog::new(),
        events: Vec::new(),
        reward_range: options.reward_range,
        dangling: 0,
        keyed: options.needs_keys(),
    };
    let merge = |part: Part, lines| {
        dangling += part.dangling;
        log.absorb(part.log, lines);
        events.extend(part.events.into_iter().map(|event: Event| Event {
            line: event.line + lines,
            ..event
        }));
    };
    read_lines(
        &options.log,
        Start::default(),
        options.threads,
        reader,
        merge,
        progress,
    )?;
    leave_out_doubles(&mut log, &events);
    if dangling > 0 {
        log.notes.push(format!(
            "{dangling} observations without a decision were left out (a joined log has them in its decisions)"
        ));
    }
    Ok(log)
}

/// Keeps the first row of each event.
fn leave_out_doubles(log: &mut BanditLog, events: &[Event]) {
    let mut known: MixSet<(u64, u64)> = MixSet::default();
    let mut is_first = Vec::with_capacity(events.len());
    for event in events {
        let first = event
            .id
            .is_none_or(|id| known.insert(((id >> 64) as u64, id as u64)));
        if !first {
            log.rejections.add(event.line, "an event that is there twice", "");
        }
        is_first.push(first);
    }
    if is_first.contains(&false) {
        log.retain(|row| is_first[row]);
        let missing = log.rows.iter().filter(|row| row.propensity.is_nan());
        log.without_propensity = missing.count() as u64;
    }
}

/// What identifies a row. There is one for each row, in the order of the rows.
struct Event {
    /// The `EventId`, hashed.
    id: Option<u128>,
    line: u64,
}

/// The content of one range of the file.
struct Part {
    log: BanditLog,
    events: Vec<Event>,
    dangling: u64,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "_label_cost")]
    cost: Option<f64>,
    #[serde(rename = "_label_probability")]
    probability: Option<f64>,
    #[serde(rename = "_label_Action")]
    action: Option<usize>,
    #[serde(default)]
    a: Vec<usize>,
    #[serde(default)]
    p: Vec<f64>,
    c: Option<Map<String, Value>>,
    #[serde(rename = "_outcomes")]
    outcomes: Option<Value>,
    #[serde(rename = "_skipLearn", default)]
    skipped: bool,
    #[serde(default)]
    pdrop: f64,
    #[serde(rename = "EventId")]
    id: Option<String>,
    #[serde(rename = "RewardValue")]
    observation: Option<Value>,
}

struct Reader {
    log: BanditLog,
    events: Vec<Event>,
    reward_range: (f64, f64),
    dangling: u64,
    /// Whether rows keep the key of their id.
    keyed: bool,
}

type Wrong = (&'static str, String);

/// A row, and what the line says beside it.
struct Parsed {
    row: LogRow,
    /// The propensity of each candidate.
    propensities: Option<Vec<f64>>,
    id: Option<String>,
}

impl Reader {
    fn parse(&mut self, bytes: &[u8]) -> Result<Option<Parsed>, Wrong> {
        let line: Line = serde_json::from_slice(bytes).map_err(|e| ("not a DSJSON line", e.to_string()))?;
        let missing = |field: &str| ("incomplete decision", format!("no `{field}`"));
        if line.outcomes.is_some() {
            return Err(("several slots in one decision are not supported", String::new()));
        }
        if line.c.is_none() && line.observation.is_some() {
            self.dangling += 1;
            return Ok(None);
        }
        if line.skipped {
            return Err(("a decision that was never activated (_skipLearn)", String::new()));
        }
        if line.pdrop != 0.0 {
            return Err(("thinned log is not supported", format!("pdrop {}", line.pdrop)));
        }
        let cost = line.cost.ok_or_else(|| missing("_label_cost"))?;
        let action = line.action.ok_or_else(|| missing("_label_Action"))?;
        let mut context = line.c.ok_or_else(|| missing("c"))?;
        let Some(Value::Array(actions)) = context.remove("_multi") else {
            return Err(missing("c._multi"));
        };
        if action == 0 || action > actions.len() {
            return Err((
                "the chosen action is not a candidate",
                format!("{action} of {}", actions.len()),
            ));
        }
        if line.a.len() != line.p.len() || line.a.len() > actions.len() {
            let lengths = format!("{} actions, {} probabilities", line.a.len(), line.p.len());
            return Err(("actions and probabilities differ in number", lengths));
        }
        let total: f64 = line.p.iter().sum();
        if !line.p.is_empty() && (total - 1.0).abs() > 1e-3 {
            return Err(("probabilities do not add up to 1", total.to_string()));
        }
        let reward = 0.0 - cost;
        if !(self.reward_range.0..=self.reward_range.1).contains(&reward) {
            return Err(("reward outside the reward range", reward.to_string()));
        }
        let propensity = match line.probability {
            None => f64::NAN,
            Some(p) if p > 0.0 && p <= 1.0 => p,
            Some(p) => return Err(("_label_probability outside (0, 1]", p.to_string())),
        };
        let mut features = Sparse::new();
        flatten(&mut self.log, "", &Value::Object(context), &mut features);
        let context = self.log.context(&mut features);
        let set = self.candidates(&actions);
        let arm = self.log.sets[set as usize][action - 1];
        let situation = self.log.situation(Situation {
            context,
            set,
            position: 0,
        });
        let row = LogRow {
            situation,
            arm,
            reward,
            propensity,
        };
        // `a` lists the actions, counted from 1, and `p` their probabilities.
        let mut propensities = vec![f64::NAN; actions.len()];
        for (&action, &p) in line.a.iter().zip(&line.p) {
            if let Some(place) = action
                .checked_sub(1)
                .and_then(|place| propensities.get_mut(place))
            {
                *place = p;
            }
        }
        let complete = propensities.iter().all(|p| !p.is_nan());
        Ok(Some(Parsed {
            row,
            propensities: complete.then_some(propensities),
            id: line.id,
        }))
    }

    /// The candidate set. Actions with the same features are distinguished by a number.
    fn candidates(&mut self, actions: &[Value]) -> u32 {
        let mut arms: Vec<u32> = Vec::with_capacity(actions.len());
        for action in actions {
            let name = action.to_string();
            let mut arm = self.log.arm(&name);
            let mut copy = 2;
            while arms.contains(&arm) {
                arm = self.log.arm(&format!("{name} #{copy}"));
                copy += 1;
            }
            arms.push(arm);
        }
        self.log.set(&arms)
    }
}

fn flatten(log: &mut BanditLog, path: &str, value: &Value, features: &mut Sparse) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Bool(true) => features.push((log.feature(path), 1.0)),
        Value::Number(number) => {
            let value = number.as_f64().unwrap_or(0.0);
            features.push((log.feature(path), value));
        }
        Value::String(text) => features.push((log.feature(&format!("{path}={text}")), 1.0)),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                flatten(log, &below(&index.to_string()), value, features);
            }
        }
        Value::Object(fields) => {
            // Names that begin with an underscore are instructions for Vowpal Wabbit, not features.
            for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with('_')) {
                flatten(log, &below(name), value, features);
            }
        }
    }
}

impl LineReader for Reader {
    type Part = Part;

    fn read(&mut self, line: u64, bytes: &[u8]) {
        match self.parse(bytes) {
            Ok(Some(parsed)) => {
                let id = parsed.id.as_deref();
                if self.keyed {
                    self.log.keys.push(supplied::key_of(id.unwrap_or_default()));
                }
                self.events.push(Event {
                    id: id.map(supplied::key_of),
                    line,
                });
                match parsed.propensities {
                    Some(propensities) => self.log.push_with_candidates(parsed.row, propensities, line),
                    None => self.log.push(parsed.row, line),
                }
            }
            Ok(None) => {}
            Err((kind, detail)) => self.log.rejections.add(line, kind, &detail),
        }
    }

    fn finish(self) -> Self::Part {
        Part {
            log: self.log,
            events: self.events,
            dangling: self.dangling,
        }
    }
}
