//! Processor time, which a measurement can have on a machine that others use too.

/// Processor time of this thread, in seconds.
pub(crate) fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos: f64 = text.split(' ').next().unwrap().parse().unwrap();
    nanos / 1e9
}
