//! From the protocol's form to revm's.

use std::collections::HashMap;

use grevm::test_utils::common::storage::InMemoryDB;
use peer_protocol::{
    AccessListItem, Account, Alloc, Authorization, Fork, Header, Result, Transaction,
};
use revm::bytecode::Bytecode;
use revm::context::either::Either;
use revm::context::transaction::{
    AccessList, AccessListItem as ListedAccount, Authorization as Delegation, SignedAuthorization,
};
use revm::context::{BlockEnv, CfgEnv, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database::PlainAccount;
use revm::primitives::hardfork::SpecId;
use revm::primitives::{B256, KECCAK_EMPTY, TxKind, U256};
use revm::state::AccountInfo;

pub fn rules(fork: Fork, chain_id: u64) -> Result<CfgEnv> {
    let spec = match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::TangerineWhistle => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Constantinople => return Err("revm has no Constantinople, only Petersburg".into()),
        Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
    };
    Ok(CfgEnv::new_with_spec(spec).with_chain_id(chain_id))
}

pub fn header(header: &Header) -> BlockEnv {
    BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.coinbase,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.unwrap_or_default(),
        difficulty: header.difficulty,
        prevrandao: Some(header.prev_randao),
        blob_excess_gas_and_price: header.excess_blob_gas.zip(header.blob_base_fee).map(
            |(excess_blob_gas, blob_gasprice)| BlobExcessGasAndPrice {
                excess_blob_gas,
                blob_gasprice,
            },
        ),
        ..BlockEnv::default()
    }
}

pub fn transactions(transactions: Vec<Transaction>, chain_id: u64) -> Vec<TxEnv> {
    transactions
        .into_iter()
        .map(|given| transaction(given, chain_id))
        .collect()
}

fn transaction(given: Transaction, chain_id: u64) -> TxEnv {
    TxEnv {
        tx_type: given.kind,
        caller: given.sender,
        gas_limit: given.gas_limit,
        gas_price: given
            .gas_price
            .or(given.max_fee_per_gas)
            .unwrap_or_default(),
        kind: given.to.map_or(TxKind::Create, TxKind::Call),
        value: given.value,
        data: given.data,
        nonce: given.nonce,
        chain_id: Some(chain_id),
        access_list: AccessList(
            given
                .access_list
                .unwrap_or_default()
                .into_iter()
                .map(listed)
                .collect(),
        ),
        gas_priority_fee: given.max_priority_fee_per_gas,
        blob_hashes: given.blob_versioned_hashes.unwrap_or_default(),
        max_fee_per_blob_gas: given.max_fee_per_blob_gas.unwrap_or_default(),
        authorization_list: given
            .authorization_list
            .unwrap_or_default()
            .into_iter()
            .map(|given| Either::Left(authorization(given)))
            .collect(),
    }
}

fn listed(given: AccessListItem) -> ListedAccount {
    ListedAccount {
        address: given.address,
        storage_keys: given.storage_keys,
    }
}

fn authorization(given: Authorization) -> SignedAuthorization {
    let delegation = Delegation {
        chain_id: given.chain_id,
        address: given.address,
        nonce: given.nonce,
    };
    SignedAuthorization::new_unchecked(delegation, given.y_parity, given.r, given.s)
}

pub fn state(alloc: Alloc, block_hashes: HashMap<u64, B256>) -> Result<InMemoryDB> {
    let mut state = InMemoryDB {
        block_hashes: block_hashes.into_iter().collect(),
        ..InMemoryDB::default()
    };
    for (address, given) in alloc {
        let account = account(given).map_err(|error| format!("code of {address}: {error}"))?;
        if let Some(code) = &account.info.code {
            state.bytecodes.insert(account.info.code_hash, code.clone());
        }
        state.accounts.insert(address, account);
    }
    Ok(state)
}

fn account(given: Account) -> Result<PlainAccount> {
    let (code_hash, code) = if given.code.is_empty() {
        (KECCAK_EMPTY, None)
    } else {
        let code = Bytecode::new_raw_checked(given.code)?;
        (code.hash_slow(), Some(code))
    };
    Ok(PlainAccount {
        info: AccountInfo {
            balance: given.balance,
            nonce: given.nonce,
            code_hash,
            code,
            ..AccountInfo::default()
        },
        storage: given.storage.into_iter().collect(),
    })
}
