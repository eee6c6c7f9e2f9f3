//! An ad platform with random failures, for tests under load.
//!
//! `cargo run -p limbic-ad-platforms --features testing --example misbehaving_platform -- [PORT [SEED [PER_MILLE]]]`:
//! prints its URL, accepts deliveries at `POST /ads`, and returns at `GET /effects` the number of requests and of
//! effects. `PER_MILLE` is the share of each kind of failure: throttles, errors, lost answers, resets. Runs until it is
//! killed.

use std::io::Write as _;

use limbic_ad_platforms::testing::{Chaos, PlatformServer, ServerOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| arguments.next().map_or(Ok(default), |text| text.parse::<u64>());
    let port = u16::try_from(number(0)?)?;
    let seed = number(1)?;
    let share = u32::try_from(number(50)?)?;
    let chaos = Chaos {
        seed,
        refuse: 0,
        throttle: share,
        fail: share,
        lose_answer: share,
        reset: share,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let options = ServerOptions {
        port,
        chaos,
        ..ServerOptions::default()
    };
    let server = PlatformServer::start(runtime.handle(), options)?;
    writeln!(std::io::stdout(), "{}", server.url())?;
    runtime.block_on(std::future::pending::<()>());
    Ok(())
}
