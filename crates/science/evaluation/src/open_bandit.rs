//! Reader of the Open Bandit Dataset's format (Saito et al. 2021, "Open Bandit Dataset and Pipeline", section 3): a
//! folder with a log and `item_context.csv`.
//!
//! The columns of the log are found by name: `item_id`, `click`, and if present `position`, `propensity_score` and
//! `user_feature_*`. Features are built as in the reference implementation. A context is the one-hot encoding of its
//! user features, without the alphabetically first value of each. An arm is its `item_feature_*`: numbers as they
//! are, and categories as their rank among the sorted values of the column. Files that pandas has written are read too: a byte
//! order mark, `3.0` for 3, and `True` for 1.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::lines::{LineReader, Start, read_lines};
use crate::log::{BanditLog, LogRow, MixMap, RejectedRows, Situation, Sparse};
use crate::{EvaluateError, EvaluationOptions, supplied};

const ITEMS: &str = "item_context.csv";

/// Paths of the log and of the item file in a folder.
pub(super) fn locate(path: &Path) -> Result<(PathBuf, PathBuf), EvaluateError> {
    if path.is_file() {
        return Ok((path.to_owned(), path.with_file_name(ITEMS)));
    }
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| EvaluateError::read(path, e))? {
        let file = entry.map_err(|e| EvaluateError::read(path, e))?.path();
        if file.extension().is_some_and(|e| e == "csv") && file.file_name().is_some_and(|n| n != ITEMS) {
            logs.push(file);
        }
    }
    match logs.as_slice() {
        [log] => Ok((log.clone(), path.join(ITEMS))),
        [] => Err(EvaluateError::malformed(
            path,
            "no log: expected one .csv file beside item_context.csv",
        )),
        _ => Err(EvaluateError::malformed(
            path,
            format!(
                "{} logs beside item_context.csv: name the file itself",
                logs.len()
            ),
        )),
    }
}

/// Reads the log and its items.
pub(super) fn read(
    options: &EvaluationOptions,
    progress: impl FnMut(u64, u64),
) -> Result<BanditLog, EvaluateError> {
    let (path, items) = locate(&options.log)?;
    let mut log = BanditLog::new();
    read_items(&items, &mut log)?;
    let (columns, start) = Columns::of(&path)?;
    let all_arms = log.set(&(0..log.arms.len() as u32).collect::<Vec<u32>>());
    let mut positions = PositionSet::default();
    let arms = log.arms.clone();
    let known: HashMap<&[u8], u32> = arms
        .iter()
        .zip(0..)
        .map(|(name, arm)| (name.as_bytes(), arm))
        .collect();
    let reader = || Reader::new(&columns, &arms, &known, options);
    let merge = |(mut part, seen): (BanditLog, PositionSet), lines| {
        positions.absorb(seen);
        for key in &mut part.keys {
            *key = supplied::key_of(&(*key + u128::from(lines)).to_string());
        }
        log.absorb(part, lines);
    };
    read_lines(&path, start, options.threads, reader, merge, progress)?;
    debug_assert_eq!(all_arms, 0);
    positions.make_dense(&mut log);
    drop_first_categories(&mut log);
    if columns.propensity.is_none() {
        log.notes
            .push("the log has no column `propensity_score`".to_owned());
    }
    Ok(log)
}

/// Reads the arms in the order of their ids, which must be 0, 1, 2...: priors are lists in that order.
fn read_items(path: &Path, log: &mut BanditLog) -> Result<(), EvaluateError> {
    let malformed = |reason: String| EvaluateError::malformed(path, reason);
    let file = std::fs::File::open(path).map_err(|e| EvaluateError::read(path, e))?;
    let mut table = csv::Reader::from_reader(file);
    let header = table.headers().map_err(|e| malformed(e.to_string()))?.clone();
    let id_column = header
        .iter()
        .position(|name| name.trim_start_matches('\u{feff}') == "item_id")
        .ok_or_else(|| malformed("no column `item_id`".to_owned()))?;
    let mut items = Vec::new();
    for record in table.records() {
        let record = record.map_err(|e| malformed(e.to_string()))?;
        let id: u32 = record[id_column]
            .strip_suffix(".0")
            .unwrap_or(&record[id_column])
            .parse()
            .map_err(|_| malformed(format!("`{}` is not an item id", &record[id_column])))?;
        items.push((id, record));
    }
    items.sort_by_key(|&(id, _)| id);
    if let Some((expected, (found, _))) = (0..).zip(&items).find(|&(expected, (id, _))| expected != *id) {
        return Err(malformed(format!(
            "item ids must be 0, 1, 2...: found {found} instead of {expected}"
        )));
    }
    for (id, _) in &items {
        log.arm(&id.to_string());
    }
    log.arm_features = vec![Sparse::new(); items.len()];
    for (column, name) in header.iter().enumerate() {
        if is_row_number(name.trim_start_matches('\u{feff}')) || column == id_column {
            continue;
        }
        let values: Vec<&str> = items.iter().map(|(_, record)| &record[column]).collect();
        let feature = log.arm_feature_names.len() as u32;
        log.arm_feature_names.push(name.to_owned());
        for (arm, value) in numbers_or_ranks(&values).into_iter().enumerate() {
            log.arm_features[arm].push((feature, value));
        }
    }
    Ok(())
}

/// Whether this column numbers the rows. The data set gives it no name, and pandas writes `Unnamed: 0` when it saves the file again.
fn is_row_number(name: &str) -> bool {
    name.is_empty() || name.starts_with("Unnamed: ")
}

fn numbers_or_ranks(values: &[&str]) -> Vec<f64> {
    let numbers: Result<Vec<f64>, _> = values.iter().map(|value| value.parse::<f64>()).collect();
    match numbers {
        Ok(numbers) if numbers.iter().all(|number| number.is_finite()) => numbers,
        _ => {
            let mut sorted = values.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            let rank = |value: &&str| sorted.partition_point(|known| known < value) as f64;
            values.iter().map(rank).collect()
        }
    }
}

/// Indexes of the columns.
struct Columns {
    item: usize,
    click: usize,
    position: Option<usize>,
    propensity: Option<usize>,
    features: Vec<(usize, String)>,
    last: usize,
    count: usize,
}

impl Columns {
    fn of(path: &Path) -> Result<(Self, Start), EvaluateError> {
        let file = std::fs::File::open(path).map_err(|e| EvaluateError::read(path, e))?;
        let mut line = String::new();
        let bytes = std::io::BufRead::read_line(&mut std::io::BufReader::new(file), &mut line)
            .map_err(|e| EvaluateError::read(path, e))?;
        let names: Vec<&str> = line
            .trim_start_matches('\u{feff}')
            .trim_end()
            .split(',')
            .map(|name| name.trim_matches('"'))
            .collect();
        let find = |wanted: &str| names.iter().position(|&name| name == wanted);
        let demand = |wanted: &str| {
            find(wanted).ok_or_else(|| {
                EvaluateError::malformed(path, format!("no column `{wanted}` in the first line"))
            })
        };
        let features: Vec<(usize, String)> = names
            .iter()
            .enumerate()
            .filter(|(_, name)| name.starts_with("user_feature"))
            .map(|(column, name)| (column, (*name).to_owned()))
            .collect();
        let mut columns = Self {
            item: demand("item_id")?,
            click: demand("click")?,
            position: find("position"),
            propensity: find("propensity_score"),
            features,
            last: 0,
            count: names.len(),
        };
        let optional = [columns.position, columns.propensity].into_iter().flatten();
        columns.last = optional
            .chain(columns.features.iter().map(|&(column, _)| column))
            .chain([columns.item, columns.click])
            .max()
            .unwrap_or(0);
        let start = Start {
            byte: bytes as u64,
            lines: 1,
        };
        Ok((columns, start))
    }
}

/// The position numbers that occur. The reference implementation ranks them densely.
#[derive(Debug, Clone, Copy, Default)]
struct PositionSet(u64);

impl PositionSet {
    const MOST: u32 = 63;

    fn absorb(&mut self, other: Self) {
        self.0 |= other.0;
    }

    fn make_dense(self, log: &mut BanditLog) {
        for situation in &mut log.situations {
            let below = (1_u64 << situation.position) - 1;
            situation.position = (self.0 & below).count_ones();
        }
        log.positions = self.0.count_ones().max(1) as usize;
    }
}

struct Reader<'a> {
    columns: &'a Columns,
    known_arms: &'a HashMap<&'a [u8], u32>,
    reward_range: (f64, f64),
    /// Whether rows keep their line, as the key of their id.
    keyed: bool,
    log: BanditLog,
    positions: PositionSet,
    /// Index of a context by the raw bytes of its user features.
    contexts: HashMap<Vec<u8>, u32>,
    /// Index of a situation by context and position.
    situations: MixMap<(u32, u32), u32>,
    set: u32,
    key: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(
        columns: &'a Columns,
        arms: &[String],
        known_arms: &'a HashMap<&'a [u8], u32>,
        options: &EvaluationOptions,
    ) -> Self {
        let mut log = BanditLog::new();
        for name in arms {
            log.arm(name);
        }
        let set = log.set(&(0..arms.len() as u32).collect::<Vec<u32>>());
        Self {
            columns,
            known_arms,
            reward_range: options.reward_range,
            keyed: options.needs_keys(),
            log,
            positions: PositionSet::default(),
            contexts: HashMap::new(),
            situations: MixMap::default(),
            set,
            key: Vec::new(),
        }
    }

    /// The row, or the kind and the detail of its rejection.
    fn parse<'b>(&mut self, fields: &[&'b [u8]]) -> Result<LogRow, (&'static str, &'b [u8])> {
        let item = fields[self.columns.item];
        let arm = *self
            .known_arms
            .get(item.strip_suffix(b".0").unwrap_or(item))
            .ok_or(("unknown item_id", item))?;
        let click = fields[self.columns.click];
        let reward = match click {
            b"0" | b"False" | b"false" => 0.0,
            b"1" | b"True" | b"true" => 1.0,
            _ => number(click).ok_or(("click is not a number", click))?,
        };
        if !(self.reward_range.0..=self.reward_range.1).contains(&reward) {
            return Err(("click outside the reward range", click));
        }
        let propensity = match self.columns.propensity.map(|column| fields[column]) {
            None | Some(b"") => f64::NAN,
            Some(text) => match number(text) {
                Some(value) if value > 0.0 && value <= 1.0 => value,
                Some(_) => return Err(("propensity_score outside (0, 1]", text)),
                None => return Err(("propensity_score is not a number", text)),
            },
        };
        let position = match self.columns.position.map(|column| fields[column]) {
            None => 0,
            Some(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.strip_suffix(".0").unwrap_or(text).parse().ok())
                .filter(|&position| position <= PositionSet::MOST)
                .ok_or(("position is not a number from 0 to 63", text))?,
        };
        let context = self.context(fields)?;
        self.positions.0 |= 1 << position;
        let log = &mut self.log;
        let situation = *self.situations.entry((context, position)).or_insert_with(|| {
            log.situation(Situation {
                context,
                set: self.set,
                position,
            })
        });
        Ok(LogRow {
            situation,
            arm,
            reward,
            propensity,
        })
    }

    fn context<'b>(&mut self, fields: &[&'b [u8]]) -> Result<u32, (&'static str, &'b [u8])> {
        self.key.clear();
        for &(column, _) in &self.columns.features {
            self.key.extend_from_slice(fields[column]);
            self.key.push(b',');
        }
        if let Some(&known) = self.contexts.get(&self.key) {
            return Ok(known);
        }
        let mut features = Sparse::new();
        for (column, name) in &self.columns.features {
            let value = fields[*column];
            let text = std::str::from_utf8(value).map_err(|_| ("user feature is not UTF-8", value))?;
            // A missing value is not a category: all indicators of its column are 0.
            if !text.is_empty() {
                features.push((self.log.feature(&format!("{name}={text}")), 1.0));
            }
        }
        let context = self.log.context(&mut features);
        self.contexts.insert(self.key.clone(), context);
        Ok(context)
    }
}

fn number(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

impl LineReader for Reader<'_> {
    type Part = (BanditLog, PositionSet);

    fn read(&mut self, line: u64, bytes: &[u8]) {
        if bytes.contains(&b'"') {
            self.read_quoted(line, bytes);
            return;
        }
        let mut fields: [&[u8]; 64] = [b""; 64];
        if self.columns.last >= fields.len() {
            let fields: Vec<&[u8]> = bytes.split(|&byte| byte == b',').collect();
            self.read_fields(line, fields.len(), &fields);
            return;
        }
        let (mut begin, mut count) = (0, 0);
        for comma in memchr::memchr_iter(b',', bytes) {
            fields[count] = &bytes[begin..comma];
            count += 1;
            begin = comma + 1;
            if count > self.columns.last {
                break;
            }
        }
        if count <= self.columns.last {
            fields[count] = &bytes[begin..];
            count += 1;
        } else {
            count += 1 + memchr::memchr_iter(b',', &bytes[begin..]).count();
        }
        self.read_fields(line, count, &fields);
    }

    fn finish(self) -> Self::Part {
        (self.log, self.positions)
    }
}

impl Reader<'_> {
    fn read_fields(&mut self, line: u64, count: usize, fields: &[&[u8]]) {
        if count != self.columns.count {
            let detail = format!("{count} instead of {}", self.columns.count);
            self.log.rejections.add(line, "wrong number of fields", &detail);
            return;
        }
        match self.parse(fields) {
            Ok(row) => {
                if self.keyed {
                    self.log.keys.push(u128::from(line));
                }
                self.log.push(row, line);
            }
            Err((kind, text)) => reject(&mut self.log.rejections, line, kind, text),
        }
    }

    /// Reads a line with quoted fields. They are rare, so this path is slower. Line breaks inside quotes are not
    /// supported.
    fn read_quoted(&mut self, line: u64, bytes: &[u8]) {
        let mut table = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
        let mut record = csv::ByteRecord::new();
        match table.read_byte_record(&mut record) {
            Ok(true) => {
                let fields: Vec<&[u8]> = record.iter().collect();
                self.read_fields(line, fields.len(), &fields);
            }
            Ok(false) => self.log.rejections.add(line, "wrong number of fields", "0"),
            Err(error) => self
                .log
                .rejections
                .add(line, "not comma-separated values", &error.to_string()),
        }
    }
}

fn reject(rejections: &mut RejectedRows, line: u64, kind: &str, text: &[u8]) {
    let text = String::from_utf8_lossy(&text[..text.len().min(40)]);
    rejections.add(line, kind, &format!("`{text}`"));
}

/// Removes the alphabetically first value of each user feature, as the reference's one-hot encoding does.
fn drop_first_categories(log: &mut BanditLog) {
    let mut first: HashMap<&str, &str> = HashMap::new();
    for name in &log.feature_names {
        if let Some((column, value)) = name.split_once('=') {
            let least = first.entry(column).or_insert(value);
            *least = value.min(least);
        }
    }
    let mut kept = Vec::new();
    let renamed: Vec<Option<u32>> = log
        .feature_names
        .iter()
        .map(|name| {
            let is_first = name
                .split_once('=')
                .is_some_and(|(column, value)| first.get(column) == Some(&value));
            (!is_first).then(|| {
                kept.push(name.clone());
                kept.len() as u32 - 1
            })
        })
        .collect();
    for context in &mut log.contexts {
        *context = context
            .iter()
            .filter_map(|&(feature, value)| Some((renamed[feature as usize]?, value)))
            .collect();
    }
    log.feature_names = kept;
}
