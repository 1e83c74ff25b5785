//! The protocol by which the bench speaks with a peer (`peers/README.md`), for peers written in Rust.
//!
//! A program implements [`Engine`] and calls [`serve`], which reads requests, writes answers, and sees to it that every
//! run gives what the first gave.

mod clock;
mod request;
#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::{self, BufRead, Write};

use alloy_primitives::{Bytes, U64};
use serde::Serialize;

pub use clock::{Time, timed};
use request::Request;
pub use request::{
    AccessListItem, Account, Alloc, Authorization, Block, Fork, Header, Message, Transaction,
};

/// The error is the text of the answer: why the request cannot be served.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What a program says of itself at its start.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Hello {
    pub name: &'static str,
    pub version: &'static str,
    /// `message`, `block`, or both.
    pub does: &'static [&'static str],
    /// Whether blocks are executed on several threads too.
    pub threads: bool,
}

/// What an execution gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Gas without refunds.
    Message {
        success: bool,
        output: Bytes,
        gas_used: U64,
    },
    /// The gas of each receipt, refunds subtracted.
    Block { gas_used: Vec<U64> },
}

impl Answer {
    pub fn message(success: bool, output: Bytes, gas_used: u64) -> Self {
        Self::Message {
            success,
            output,
            gas_used: U64::from(gas_used),
        }
    }

    pub fn block(gas_used: impl IntoIterator<Item = u64>) -> Self {
        Self::Block {
            gas_used: gas_used.into_iter().map(U64::from).collect(),
        }
    }
}

/// An engine holds one piece of work, ready to be run again and again.
pub trait Engine {
    /// Makes a message ready, in place of the last work.
    fn message(&mut self, _message: Message) -> Result<()> {
        Err("this engine does no messages".into())
    }

    /// Makes a block ready, in place of the last work.
    fn block(&mut self, _block: Block) -> Result<()> {
        Err("this engine does no blocks".into())
    }

    /// Runs what was made ready last, from the state it was given with. Only the engine's own part is to be in
    /// [`timed`]: preparation before it, and reading of the result after it, are not. Called only when there is work.
    fn run(&mut self) -> Result<(Answer, Time)>;
}

/// Answers the requests of standard input on standard output until the input ends.
pub fn serve(hello: Hello, mut engine: impl Engine) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let mut write = |line: &Line| {
        serde_json::to_writer(&mut output, line)?;
        output.write_all(b"\n")?;
        output.flush()
    };
    write(&Line::Hello(hello))?;
    let mut first = None;
    for request in io::stdin().lock().lines() {
        let line = answer(&mut engine, &mut first, &request?);
        write(&line.unwrap_or_else(|error| Line::Failure {
            error: error.to_string(),
        }))?;
    }
    Ok(())
}

/// A line of output.
#[derive(Serialize)]
#[serde(untagged)]
enum Line {
    Hello(Hello),
    Answer(Answer),
    Times { wall_ns: Vec<u64>, cpu_ns: Vec<u64> },
    Failure { error: String },
}

/// `first` is what the work at hand gave when it ran first. A request that fails leaves no work, so that no later run
/// is taken for its.
fn answer(engine: &mut impl Engine, first: &mut Option<Answer>, request: &str) -> Result<Line> {
    let last = first.take();
    match serde_json::from_str(request)? {
        Request::Message(message) => engine.message(message)?,
        Request::Block(block) => engine.block(block)?,
        Request::Run { times } => {
            let last = last.ok_or("nothing to run: the last message or block was not served")?;
            return again(engine, first.insert(last), times);
        }
    }
    Ok(Line::Answer(first.insert(engine.run()?.0).clone()))
}

fn again(engine: &mut impl Engine, first: &Answer, times: usize) -> Result<Line> {
    let mut wall_ns = Vec::with_capacity(times);
    let mut cpu_ns = Vec::with_capacity(times);
    for _ in 0..times {
        let (answer, time) = engine.run()?;
        if answer != *first {
            return Err(format!("a run gave {answer:?}, the first gave {first:?}").into());
        }
        wall_ns.push(time.wall_ns);
        cpu_ns.push(time.cpu_ns);
    }
    Ok(Line::Times { wall_ns, cpu_ns })
}
