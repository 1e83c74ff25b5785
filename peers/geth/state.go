package main

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/triedb"
)

// database is a committed state in memory that any number of StateDBs start from.
//
// They read through the cache that a node's prefetcher fills ahead of its block processor: the first run fills it here, so
// that those after it look tries up no more than a node's do.
type database struct {
	root   common.Hash
	db     state.Database
	reader state.Reader
}

func newDatabase(accounts alloc) (*database, error) {
	disk := rawdb.NewMemoryDatabase()
	db := state.NewMPTDatabase(triedb.NewDatabase(disk, nil), state.NewCodeDB(disk))
	fresh, err := state.New(types.EmptyRootHash, db)
	if err != nil {
		return nil, err
	}
	for address, account := range accounts {
		fresh.CreateAccount(address)
		fresh.SetNonce(address, uint64(account.Nonce), tracing.NonceChangeGenesis)
		fresh.SetBalance(address, &account.Balance, tracing.BalanceIncreaseGenesisBalance)
		if len(account.Code) > 0 {
			fresh.SetCode(address, account.Code, tracing.CodeChangeGenesis)
		}
		for slot, value := range account.Storage {
			fresh.SetState(address, slot.Bytes32(), value.Bytes32())
		}
	}
	// Under the first rules, as these keep accounts that are there but empty.
	root, err := fresh.Commit(params.Rules{}, 0)
	if err != nil {
		return nil, err
	}
	_, reader, err := db.ReadersWithCacheStats(root)
	if err != nil {
		return nil, err
	}
	return &database{root, db, reader}, nil
}

func (d *database) open() (*state.StateDB, error) {
	return state.NewWithReader(d.root, d.db, d.reader)
}
