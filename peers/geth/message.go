package main

import (
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/holiman/uint256"
)

// message is one call of EVM.Call on a StateDB.
type message struct {
	request  messageRequest
	evm      *vm.EVM
	state    *state.StateDB
	snapshot int

	output []byte
	gas    vm.GasBudget
	failed error
}

func newMessage(request messageRequest) (work, error) {
	chain, merged, err := chainAt(request.Fork, big.NewInt(1))
	if err != nil {
		return nil, err
	}
	database, err := newDatabase(request.Alloc)
	if err != nil {
		return nil, err
	}
	statedb, err := database.open()
	if err != nil {
		return nil, err
	}
	context := vm.BlockContext{
		CanTransfer: core.CanTransfer,
		Transfer:    core.Transfer,
		GetHash:     func(uint64) common.Hash { return common.Hash{} },
		BlockNumber: new(big.Int),
		Difficulty:  new(big.Int),
		BaseFee:     new(big.Int),
		BlobBaseFee: new(big.Int),
	}
	if merged {
		context.Random = new(common.Hash)
	}
	// The EVM keeps its analysis of jump destinations for its lifetime, as it does over the calls of a block.
	evm := vm.NewEVM(context, statedb, chain, vm.Config{})
	evm.SetTxContext(vm.TxContext{Origin: request.Sender, GasPrice: new(uint256.Int)})
	// The sender stands in for the coinbase, which Prepare would warm too.
	rules := evm.GetRules()
	statedb.Prepare(rules, request.Sender, request.Sender, &request.To, vm.ActivePrecompiles(rules), nil)
	return &message{request: request, evm: evm, state: statedb, snapshot: statedb.Snapshot()}, nil
}

// prepare takes back what the run before changed, warm addresses and slots included.
func (m *message) prepare() error {
	m.state.RevertToSnapshot(m.snapshot)
	m.snapshot = m.state.Snapshot()
	return nil
}

func (m *message) run() error {
	gas := vm.NewGasBudget(uint64(m.request.Gas), 0)
	m.output, m.gas, m.failed = m.evm.Call(m.request.Sender, m.request.To, m.request.Data, gas, common.U2560)
	return nil
}

func (m *message) answer() any {
	output := m.output
	if m.failed != nil && !errors.Is(m.failed, vm.ErrExecutionReverted) {
		output = nil
	}
	return messageAnswer{m.failed == nil, output, m.request.Gas - hexutil.Uint64(m.gas.ExecutionGas)}
}
