//! What messages and blocks have in common: the state before them, and the rules.

use peer_protocol::{Alloc, Fork, Result};
use revm::bytecode::Bytecode;
use revm::database::InMemoryDB;
use revm::primitives::hardfork::SpecId;
use revm::state::AccountInfo;

pub fn rules(fork: Fork) -> Result<SpecId> {
    Ok(match fork {
        Fork::Frontier => SpecId::FRONTIER,
        Fork::Homestead => SpecId::HOMESTEAD,
        Fork::TangerineWhistle => SpecId::TANGERINE,
        Fork::SpuriousDragon => SpecId::SPURIOUS_DRAGON,
        Fork::Byzantium => SpecId::BYZANTIUM,
        Fork::Constantinople => {
            return Err("revm has no rules of Constantinople before Petersburg".into());
        }
        Fork::Petersburg => SpecId::PETERSBURG,
        Fork::Istanbul => SpecId::ISTANBUL,
        Fork::Berlin => SpecId::BERLIN,
        Fork::London => SpecId::LONDON,
        Fork::Paris => SpecId::MERGE,
        Fork::Shanghai => SpecId::SHANGHAI,
        Fork::Cancun => SpecId::CANCUN,
        Fork::Prague => SpecId::PRAGUE,
        Fork::Osaka => SpecId::OSAKA,
    })
}

/// The accounts with their code analysed.
pub fn database(alloc: Alloc) -> Result<InMemoryDB> {
    let mut database = InMemoryDB::default();
    for (address, account) in alloc {
        let code = Bytecode::new_raw_checked(account.code)
            .map_err(|error| format!("the code of {address} is not valid: {error}"))?;
        let info = AccountInfo::new(account.balance, account.nonce, code.hash_slow(), code);
        database.insert_account_info(address, info);
        for (slot, value) in account.storage {
            database.insert_account_storage(address, slot, value)?;
        }
    }
    Ok(database)
}
