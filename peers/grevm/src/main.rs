//! Galxe grevm for evmcore's bench: blocks on its parallel scheduler, or in turn on the revm beneath it.

mod convert;

use std::sync::Arc;

use grevm::test_utils::common::storage::InMemoryDB;
use grevm::{GrevmConfig, ParallelState, ParallelTakeBundle, Scheduler, TxExecutionOutcome};
use peer_protocol::{Answer, Block, Engine, Hello, Result, Time, serve, timed};
use rayon::{ThreadPool, ThreadPoolBuilder};
use revm::context::result::ExecutionResult;
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::database::State;
use revm::database::states::bundle_state::BundleRetention;
use revm::{Context, ExecuteCommitEvm, MainBuilder, MainContext};

/// The allocator of grevm's benchmarks.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::io::Result<()> {
    let hello = Hello {
        name: "grevm",
        version: concat!(env!("CARGO_PKG_VERSION"), " (25b71ed, on revm 40.0.3)"),
        does: &["block"],
        threads: true,
    };
    serve(hello, Grevm::default())
}

#[derive(Default)]
struct Grevm {
    work: Option<Work>,
}

/// A block in grevm's own form.
struct Work {
    rules: CfgEnv,
    header: BlockEnv,
    transactions: Arc<Vec<TxEnv>>,
    /// The state before the block. Code in it is analysed.
    state: Arc<InMemoryDB>,
    /// `None`: the block is executed in turn.
    threads: Option<ThreadPool>,
}

impl Engine for Grevm {
    fn block(&mut self, block: Block) -> Result<()> {
        let threads = match block.threads {
            0 => return Err("a block needs a thread at least".into()),
            1 => None,
            threads => Some(ThreadPoolBuilder::new().num_threads(threads).build()?),
        };
        self.work = Some(Work {
            rules: convert::rules(block.fork, block.chain_id)?,
            header: convert::header(&block.header),
            transactions: Arc::new(convert::transactions(block.transactions, block.chain_id)),
            state: Arc::new(convert::state(block.alloc, block.block_hashes)?),
            threads,
        });
        Ok(())
    }

    fn run(&mut self) -> Result<(Answer, Time)> {
        let work = self.work.as_ref().ok_or("no block is ready")?;
        match &work.threads {
            None => work.in_turn(),
            Some(threads) => work.in_parallel(threads),
        }
    }
}

impl Work {
    /// As grevm's benchmarks do for comparison: plain revm over the same database, a commit after each transaction. This
    /// is faster than grevm's own fallback, whose caches are made to be shared by threads.
    fn in_turn(&self) -> Result<(Answer, Time)> {
        let transactions = self.transactions.to_vec();
        let evm = Context::mainnet()
            .with_cfg(self.rules.clone())
            .with_block(self.header.clone());
        let database = self.state.clone();
        let (done, time) = timed(|| {
            let state = State::builder()
                .with_database_ref(database)
                .with_bundle_update()
                .build();
            let mut evm = evm.with_db(state).build_mainnet();
            let mut results = Vec::with_capacity(transactions.len());
            for (index, transaction) in transactions.into_iter().enumerate() {
                match evm.transact_commit(transaction) {
                    Ok(result) => results.push(result),
                    Err(error) => return Err(format!("transaction {index} failed: {error}")),
                }
            }
            let state = &mut evm.ctx.journaled_state.database;
            state.merge_transitions(BundleRetention::Reverts);
            let changes = state.take_bundle();
            Ok((results, changes, evm))
        });
        let (results, ..) = done?;
        Ok((
            Answer::block(results.iter().map(ExecutionResult::tx_gas_used)),
            time,
        ))
    }

    /// As grevm's documentation and benchmarks do. Grevm starts a worker for each of `threads`, and two threads more that
    /// see to the order; `threads` themselves gather what the block changed.
    fn in_parallel(&self, threads: &ThreadPool) -> Result<(Answer, Time)> {
        let config = GrevmConfig {
            concurrency_level: threads.current_num_threads(),
            // By default blocks of fewer than 64 transactions are executed in turn.
            min_parallel_txs: 0,
            ..GrevmConfig::default()
        };
        let (rules, header) = (self.rules.clone(), self.header.clone());
        let (transactions, database) = (self.transactions.clone(), self.state.clone());
        let (done, time) = timed(|| {
            let state = ParallelState::new(database, true, false);
            let scheduler = Scheduler::new_with_runtime_config(
                rules,
                header,
                transactions,
                state,
                None,
                config,
            );
            scheduler.execute()?;
            let (outcomes, mut state) = scheduler.take_result_and_state();
            let changes = threads.install(|| state.parallel_take_bundle(BundleRetention::Reverts));
            Ok::<_, Box<dyn std::error::Error>>((outcomes, changes, state))
        });
        let (outcomes, ..) = done?;
        let mut gas_used = Vec::with_capacity(outcomes.len());
        for (index, outcome) in outcomes.iter().enumerate() {
            match outcome {
                TxExecutionOutcome::Executed(result) => gas_used.push(result.tx_gas_used()),
                TxExecutionOutcome::Skipped(reason) => {
                    return Err(format!("transaction {index} is not valid: {reason}").into());
                }
            }
        }
        Ok((Answer::block(gas_used), time))
    }
}
