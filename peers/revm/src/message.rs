//! A message: revm's execution of a transaction without what is around it.

use peer_protocol::{Answer, Message, Result, Time, timed};
use revm::context::result::{EVMError, InvalidTransaction};
use revm::context::{BlockEnv, ContextTr, JournalTr, LocalContextTr, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database::InMemoryDB;
use revm::handler::{Handler, MainnetContext, MainnetHandler};
use revm::interpreter::GasTracker;
use revm::primitives::{Address, B256, TxKind, U256, hardfork::SpecId};
use revm::{Context, MainBuilder, MainContext, MainnetEvm};

use crate::state;

type Evm = MainnetEvm<MainnetContext<InMemoryDB>>;
type Error = EVMError<std::convert::Infallible, InvalidTransaction>;

pub struct MessageRun {
    evm: Evm,
    rules: SpecId,
    transaction: TxEnv,
}

impl MessageRun {
    pub fn new(message: Message) -> Result<Self> {
        let rules = state::rules(message.fork)?;
        let zero = BlockEnv {
            number: U256::ZERO,
            beneficiary: Address::ZERO,
            timestamp: U256::ZERO,
            gas_limit: 0,
            basefee: 0,
            difficulty: U256::ZERO,
            prevrandao: Some(B256::ZERO),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas: 0,
                blob_gasprice: 0,
            }),
            slot_num: 0,
        };
        let evm = Context::mainnet()
            .with_db(state::database(message.alloc)?)
            .with_block(zero)
            .modify_cfg_chained(|cfg| cfg.set_spec_and_mainnet_gas_params(rules))
            .build_mainnet();
        let transaction = TxEnv {
            caller: message.sender,
            kind: TxKind::Call(message.to),
            data: message.data,
            gas_limit: message.gas,
            gas_price: 0,
            ..TxEnv::default()
        };
        Ok(Self {
            evm,
            rules,
            transaction,
        })
    }

    /// Of the four phases of `Handler::run`, only the third: the first frame, those that it calls, and their gas.
    pub fn run(&mut self) -> Result<(Answer, Time)> {
        self.prepare()?;
        let gas_limit = self.transaction.gas_limit;
        let evm = &mut self.evm;
        let (result, time) = timed(|| {
            let mut gas = GasTracker::new(gas_limit, gas_limit, 0);
            let checkpoint = evm.ctx.journal_mut().checkpoint();
            MainnetHandler::<_, Error, _>::default().execution(evm, checkpoint, &mut gas)
        });
        let result = result?
            .ok_or("out of gas before the first frame")?
            .into_interpreter_result();
        let answer = Answer::message(result.is_ok(), result.output, result.gas.total_gas_spent());
        Ok((answer, time))
    }

    /// Forgets what the last run changed, and has the sender, the callee and the precompiles warm.
    fn prepare(&mut self) -> Result<()> {
        let Self {
            evm,
            rules,
            transaction,
        } = self;
        let context = &mut evm.ctx;
        context.local.clear();
        context.tx = transaction.clone();
        let journal = &mut context.journaled_state;
        journal.finalize();
        journal.set_spec_id(*rules);
        journal.warm_precompiles(evm.precompiles.warm_addresses());
        journal.load_account_with_code(transaction.caller)?;
        if let TxKind::Call(callee) = transaction.kind {
            journal.load_account_with_code(callee)?;
        }
        Ok(())
    }
}
